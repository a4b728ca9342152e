"""Read the tables of bottom-up features that the field passes around: tab-separated, arrays in base64.

    6 columns   image_id, width, height, n, boxes, features                      the authors' Caffe code
    10 columns  image_id, height, width, classes, scores, attributes, attribute_scores, n, boxes, features   LXMERT

Boxes and features are little-endian float32, (n, 4) pixels and (n, D). Class and attribute ids are int64 without
background. Mind the order: the first has width before height, the second height before width.
"""

import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.regions import Regions

_LABELS = {"classes": "<i8", "scores": "<f4", "attributes": "<i8", "attribute_scores": "<f4"}
_LAYOUTS = {
    6: ("image_id", "width", "height", "n", "boxes", "features"),
    10: ("image_id", "height", "width", *_LABELS, "n", "boxes", "features"),
}


class Problem(NamedTuple):
    """One row that could not be read: where it is and why."""

    file: Path
    line: int
    image_id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, image {self.image_id or '?'}: {self.reason}"


def read_bottom_up_tsv(
    path: Path | str, problems: list[Problem] | None = None, feature_dim: int | None = None
) -> Iterator[tuple[int | str, Regions]]:
    """Give the images of a bottom-up TSV one after the other; the layout is told by the number of columns.

    Such files were often written by jobs that died: rows may be cut off or come twice. Give a list, and each bad row
    becomes a note in it while the others go on.

    Args:
        path:        the file; it is read as a stream, one row in memory.
        problems:    collects what could not be read; without it the first bad row raises.
        feature_dim: D that every row must have; by default the D of the first good row.

    Yields:
        image id (a whole number where the file has one, else the text) and float32 ``Regions``.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a bad row, and no list of problems was given.

    >>> import base64, tempfile
    >>> numbers = lambda count: base64.b64encode(np.zeros(count, "<f4").tobytes()).decode()
    >>> table = Path(tempfile.mkdtemp()) / "demo.tsv"
    >>> _ = table.write_text(f"9\\t640\\t480\\t2\\t{numbers(8)}\\t{numbers(6)}\\r\\n")
    >>> [(image_id, regions.features.shape) for image_id, regions in read_bottom_up_tsv(table)]
    [(9, torch.Size([2, 3]))]
    """
    path, seen = Path(path), set()
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the with below; a missing file should speak plainly
    except FileNotFoundError:
        raise DataMissing(f"no file {path}; see data/README.md for where bottom-up features come from") from None
    with file:
        for number, line in enumerate(file, start=1):
            columns = line.rstrip(b"\r\n").split(b"\t")
            if columns == [b""]:
                continue
            name = columns[0][:60].decode("utf-8", "replace")
            try:
                regions = _parse_row(columns, feature_dim)
                if name in seen:
                    raise ValueError("the image comes a second time; the first row is kept")
            except ValueError as error:
                problem = Problem(path, number, name, str(error))
                if problems is None:
                    raise DataInvalid(f"{problem}; give a list of problems to skip such rows") from None
                problems.append(problem)
                continue
            seen.add(name)
            feature_dim = regions.features.shape[1]
            yield (int(name) if name.isdecimal() else name), regions


def coco_number(name: int | str) -> int:
    """The COCO image id inside the file stem that LXMERT's tables use.

    Raises:
        ValueError: the name does not end in a number.

    >>> coco_number("COCO_train2014_000000132417")
    132417
    """
    tail = str(name).rsplit("_", 1)[-1]
    if not tail.isdecimal():
        raise ValueError(f"a COCO file stem ends in its number, like COCO_train2014_000000132417; got {name!r}")
    return int(tail)


def _parse_row(columns: list[bytes], feature_dim: int | None) -> Regions:
    if len(columns) not in _LAYOUTS:
        raise ValueError(f"the row has {len(columns)} columns instead of 6 or 10: it was probably cut off")
    row = dict(zip(_LAYOUTS[len(columns)], columns, strict=False))
    width, height, count = (_whole_number(row, name) for name in ("width", "height", "n"))
    labels = {name: _decode(row, name, dtype, count, 1)[:, 0] for name, dtype in _LABELS.items() if name in row}
    boxes = _decode(row, "boxes", "<f4", count, 4)
    features = _decode(row, "features", "<f4", count, feature_dim)
    if not (torch.isfinite(features).all() and torch.isfinite(boxes).all()):
        raise ValueError("features or boxes hold numbers that are not finite")
    return Regions(features, boxes, (width, height), f"tsv {len(columns)} columns", **labels)


def _whole_number(row: dict[str, bytes], name: str) -> int:
    if not row[name].isdigit() or int(row[name]) == 0:
        raise ValueError(f"{name} should be a whole number above 0, got {row[name][:20]!r}")
    return int(row[name])


def _decode(row: dict[str, bytes], name: str, dtype: str, count: int, columns: int | None) -> Tensor:
    """A base64 column as (count, columns); with no ``columns`` the length decides."""
    try:
        data = bytearray(binascii.a2b_base64(row[name], strict_mode=True))
    except binascii.Error as error:
        raise ValueError(f"{name} is not base64: {error}") from None
    size = np.dtype(dtype).itemsize
    rest = len(data) % (count * size) if columns is None else len(data) - count * columns * size
    if rest or not data:
        shape = f"({count}, {'D' if columns is None else columns})"
        raise ValueError(f"{name} has {len(data)} bytes, which does not make {shape} numbers of {size} bytes")
    native = np.frombuffer(data, dtype).astype(dtype.replace("<", "="), copy=False)
    return torch.from_numpy(native.reshape(count, -1))
