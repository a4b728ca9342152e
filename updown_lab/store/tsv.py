"""The tables of bottom-up features that the field passes around: tab-separated, arrays in base64.

    6 columns   image_id, width, height, n, boxes, features                      the authors' Caffe code
    10 columns  image_id, height, width, classes, scores, attributes, attribute_scores, n, boxes, features   LXMERT

Boxes and features are little-endian float32, (n, 4) pixels and (n, D). Class and attribute ids are int64 without
background. Mind the order: the first has width before height, the second height before width. The authors' grids
have an empty column of boxes.
"""

import binascii
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pybase64
import torch
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import atomic_path
from updown_lab.progress import progress
from updown_lab.regions import Regions
from updown_lab.store.entries import Entry, Problem, coco_number, note, read_id, sound
from updown_lab.vision.encoders import grid_boxes

__all__ = ["Problem", "coco_number", "read_bottom_up_tsv", "sniff_tsv", "walk_tsv", "write_tsv"]

_LABELS = {"classes": "<i8", "scores": "<f4", "attributes": "<i8", "attribute_scores": "<f4"}
_LAYOUTS = {
    6: ("image_id", "width", "height", "n", "boxes", "features"),
    10: ("image_id", "height", "width", *_LABELS, "n", "boxes", "features"),
}
#: No image needs a longer line: 100 regions of 2048 numbers are 1.1 MB.
LONGEST_LINE = 1 << 26
_MEGABYTE = 1 << 20


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

    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "demo.tsv"
    >>> write_tsv([(9, Regions(torch.ones(2, 3), torch.zeros(2, 4), (640, 480), "demo"))], table)
    >>> [(image_id, regions.features.shape) for image_id, regions in read_bottom_up_tsv(table)]
    [(9, torch.Size([2, 3]))]
    """
    return sound(walk_tsv(path), problems, feature_dim)


def walk_tsv(path: Path | str, show: bool = False) -> Iterator[Entry]:
    """The rows of a table, not decoded yet.

    Args:
        path: the file.
        show: show a progress bar.

    Raises:
        DataMissing: there is no such file.
    """
    path = Path(path)
    try:
        file = open(path, "rb", buffering=_MEGABYTE)  # noqa: SIM115 - closed below; a missing file should speak plainly
    except FileNotFoundError:
        raise DataMissing(f"no file {path}; see docs/features.md for where bottom-up features come from") from None
    total = path.stat().st_size // _MEGABYTE
    with file, progress(None, f"reading {path.name}", total, "MB", show=show) as bar:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            whole = len(line) < LONGEST_LINE or line.endswith(b"\n")
            rest = line
            while not whole and rest and not rest.endswith(b"\n"):
                rest = file.readline(LONGEST_LINE)
            columns = line.rstrip(b"\r\n").split(b"\t")
            if columns != [b""]:
                name = columns[0][:200].decode("utf-8", "replace")
                yield Entry(path, f"line {number}", read_id(name), partial(_parse_row, columns, whole))
            bar.update(file.tell() // _MEGABYTE - bar.n)


def sniff_tsv(path: Path, columns: int) -> bool:
    """Whether one of the first rows has this many columns, with numbers where they belong."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        rows = [file.readline(LONGEST_LINE).split(b"\t") for _ in range(3)]
    numbers = [_LAYOUTS[columns].index(name) for name in ("width", "height", "n")]
    return any(len(row) == columns and all(row[place].isdigit() for place in numbers) for row in rows)


def write_tsv(
    items: Iterable[tuple[int | str, Regions]],
    path: Path | str,
    problems: list[Problem] | None = None,
    columns: int = 6,
) -> None:
    """Write a table that the field's own readers understand.

    Args:
        items:    image ids and their regions; taken one by one.
        path:     the new file; it appears when it is whole.
        problems: collects images that a table cannot hold: no regions, or an id with a tab or a line break.
        columns:  6 or 10; 10 needs classes and attributes.

    Raises:
        DataInvalid: 10 columns are wanted and the regions have no classes and attributes; or an image cannot be
            held, and no list was given.
    """
    path = Path(path)
    with atomic_path(path) as draft, open(draft, "wb", buffering=_MEGABYTE) as file:
        for image_id, regions in items:
            try:
                cells = _cells(image_id, regions)
            except ValueError as error:
                note(problems, Problem(path, "", image_id, str(error)))
                continue
            missing = [name for name in _LAYOUTS[columns] if name not in cells]
            if missing:
                raise DataInvalid(
                    f"image {image_id!r} has no {', '.join(missing)}, which the table of {columns} columns needs; "
                    "write bottom-up-tsv instead"
                )
            file.write(b"\t".join(cells[name] for name in _LAYOUTS[columns]) + b"\r\n")


def _cells(image_id: int | str, regions: Regions) -> dict[str, bytes]:
    name = str(image_id)
    if not name or any(mark in name for mark in "\t\r\n"):
        raise ValueError("a table cannot hold an id that is empty or has a tab or a line break")
    if not regions.count:
        raise ValueError("the image has no regions, and a table has no row for that")
    width, height = (str(int(side)).encode() for side in regions.image_size)
    arrays = {name: getattr(regions, name) for name in _LABELS} | {"boxes": regions.boxes, "features": regions.features}
    return {"image_id": name.encode(), "width": width, "height": height, "n": str(regions.count).encode()} | {
        name: pybase64.b64encode(np.ascontiguousarray(tensor.detach().cpu().numpy(), _LABELS.get(name, "<f4")))
        for name, tensor in arrays.items() if tensor is not None
    }  # fmt: skip


def _parse_row(columns: list[bytes], whole: bool = True) -> Regions:
    if not whole:
        raise ValueError(f"the line is longer than {LONGEST_LINE} bytes: this is not a row of features")
    if len(columns) not in _LAYOUTS:
        raise ValueError(f"the row has {len(columns)} columns instead of 6 or 10: it was probably cut off")
    row = dict(zip(_LAYOUTS[len(columns)], columns, strict=False))
    if not row["image_id"]:
        raise ValueError("the row has no image id")
    width, height, count = (_whole_number(row, name) for name in ("width", "height", "n"))
    labels = {name: _decode(row, name, dtype, count, 1)[:, 0] for name, dtype in _LABELS.items() if name in row}
    features = _decode(row, "features", "<f4", count, None)
    side = round(count**0.5)
    if not row["boxes"] and side * side == count:  # the authors' grid baseline
        boxes = grid_boxes(side, width, height)
    else:
        boxes = _decode(row, "boxes", "<f4", count, 4)
    return Regions(features, boxes, (width, height), f"tsv {len(columns)} columns", **labels)


def _whole_number(row: dict[str, bytes], name: str) -> int:
    if not row[name].isdigit() or len(row[name]) > 9 or int(row[name]) == 0:
        raise ValueError(f"{name} should be a whole number above 0, got {row[name][:20]!r}")
    return int(row[name])


def _decode(row: dict[str, bytes], name: str, dtype: str, count: int, columns: int | None) -> Tensor:
    """A base64 column as (count, columns); with no ``columns`` the length decides."""
    try:
        data = pybase64.b64decode_as_bytearray(row[name], validate=True)
    except binascii.Error:
        raise ValueError(f"{name} is not base64: {_why_not_base64(row[name])}") from None
    size = np.dtype(dtype).itemsize
    rest = len(data) % (count * size) if columns is None else len(data) - count * columns * size
    if rest or not data:
        shape = f"({count}, {'D' if columns is None else columns})"
        raise ValueError(f"{name} has {len(data)} bytes, which does not make {shape} numbers of {size} bytes")
    native = np.frombuffer(data, dtype).astype(dtype.replace("<", "="), copy=False)
    return torch.from_numpy(native.reshape(count, -1))


def _why_not_base64(text: bytes) -> str:
    """The standard library's reason: it is slower and says more."""
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        return str(error)
    return "wrong padding at the end"
