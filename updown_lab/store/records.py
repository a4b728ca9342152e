"""How a feature store lies on disk: flat files of rows, and an index with one line an image.

    index.jsonl     first line: the header (what the rows are); then [image_id, regions, width, height, crc32]
    features.bin    sum of K rows of D numbers, float16 or float32
    boxes.bin       sum of K rows of 4 numbers, float32
    classes.bin, scores.bin, attributes.bin, attribute_scores.bin     one number a row, if the encoder gives them
    manifest.json   written last: the store is finished
    statistics.npy  (2, D) float32: mean and deviation over the training images

Files are read by position, straight into the buffer of the batch; a memory map would read ahead what nobody asked
for, and is several times slower from a cold disk. ``bench/store.py`` measures it.
"""

import json
import os
import zlib
from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from updown_lab.errors import DataInvalid, DataMissing

FORMAT = 1
LABELS = {"classes": "int64", "scores": "float32", "attributes": "int64", "attribute_scores": "float32"}
COMMAND = "python -m updown_lab extract"


def row_shapes(header: dict) -> dict[str, tuple[np.dtype, int]]:
    """Number type and numbers in a row, for each flat file of a store.

    >>> row_shapes({"dtype": "float16", "feature_dim": 8, "labels": ["scores"]})
    {'features': (dtype('float16'), 8), 'boxes': (dtype('float32'), 4), 'scores': (dtype('float32'), 1)}
    """
    shapes = {"features": (np.dtype(header["dtype"]), header["feature_dim"]), "boxes": (np.dtype("float32"), 4)}
    return shapes | {name: (np.dtype(LABELS[name]), 1) for name in header["labels"]}


class FlatFile:
    """One file of equal rows, read and written by position.

    There is no file cursor, so threads and forked workers may share it.

    Args:
        path:    the file.
        dtype:   type of one number.
        columns: numbers in a row.
        write:   open for writing, and make the file if there is none.
    """

    def __init__(self, path: Path, dtype: np.dtype, columns: int, write: bool = False):
        self.path, self.dtype, self.columns = path, dtype, columns
        self.row_bytes = dtype.itemsize * columns
        self._flags = getattr(os, "RWF_NOWAIT", 0)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT if write else os.O_RDONLY, 0o644)

    def read_into(self, rows: np.ndarray, start: int) -> None:
        """Fill ``rows`` (n, columns), contiguous, from row ``start`` on.

        Raises:
            DataInvalid: the file ends before the last row.
        """
        self._fill(memoryview(rows).cast("B") if rows.size else memoryview(b""), start * self.row_bytes)

    def read_padded(self, starts: Sequence[int], counts: Sequence[int]) -> np.ndarray:
        """The rows of several images in one buffer, zero behind the shorter ones.

        Args:
            starts: B first rows.
            counts: B numbers of rows.

        Returns:
            (B, K, columns), K the largest count.

        Raises:
            DataInvalid: the file ends before the last row.
        """
        buffer = np.empty((len(starts), max(counts), self.columns), self.dtype)
        if not buffer.size:
            return buffer
        target, step, late = memoryview(buffer).cast("B"), self.row_bytes * buffer.shape[1], []
        for item, (start, count) in enumerate(zip(starts, counts, strict=True)):
            view = target[item * step : item * step + count * self.row_bytes]
            if not self._is_at_hand(view, start * self.row_bytes):
                late.append((view, start * self.row_bytes))
            if count < buffer.shape[1]:
                buffer[item, count:] = 0
        self._announce(late)
        for view, offset in late:
            self._fill(view, offset)
        return buffer

    def _is_at_hand(self, view: memoryview, offset: int) -> bool:
        """Fill bytes if that needs no waiting for the disk; where a system cannot tell, wait."""
        try:
            return os.preadv(self._descriptor, [view], offset, self._flags) == len(view)
        except BlockingIOError:
            return False
        except OSError:  # some network file systems do not know the flag
            self._flags = 0
            return False

    def _announce(self, late: list[tuple[memoryview, int]]) -> None:
        """Name all that will be waited for, so that a cold disk fetches it in one go and not piece after piece."""
        if hasattr(os, "posix_fadvise"):  # macOS has no such call
            for view, offset in late:
                os.posix_fadvise(self._descriptor, offset, len(view), os.POSIX_FADV_WILLNEED)

    def _fill(self, view: memoryview, offset: int) -> None:
        """Fill bytes from a byte offset on; the system may give them in pieces."""
        while len(view):
            count = os.preadv(self._descriptor, [view], offset)
            if count == 0:
                raise DataInvalid(f"{self.path} is cut short: no data at byte {offset}")
            view, offset = view[count:], offset + count

    def read(self, start: int, count: int) -> np.ndarray:
        """(count, columns) from row ``start`` on."""
        rows = np.empty((count, self.columns), self.dtype)
        self.read_into(rows, start)
        return rows

    def write(self, rows: np.ndarray, start: int) -> None:
        """Put ``rows`` at row ``start``, over whatever an interrupted write left there."""
        write_at(self._descriptor, memoryview(rows).cast("B") if rows.size else b"", start * self.row_bytes)

    def truncate(self, rows: int) -> None:
        """Cut the file after so many rows and ask the system to put it on the disk."""
        os.ftruncate(self._descriptor, rows * self.row_bytes)
        self.sync()

    def sync(self) -> None:
        """Ask the system to put what was written on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self.__dict__.get("_descriptor"), None
        if descriptor is not None:
            os.close(descriptor)

    __del__ = close


def write_at(descriptor: int, data, offset: int) -> None:
    """Write all of ``data`` at a byte offset; the system may take it in pieces."""
    view = memoryview(data)
    while len(view):
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def checksum(arrays) -> int:
    """One number over all arrays of an image: it changes when any byte does.

    >>> checksum([np.zeros(2)]) == checksum([np.ones(2)])
    False
    """
    total = 0
    for rows in arrays:
        total = zlib.crc32(rows, total) if rows.size else total
    return total


@dataclass
class Index:
    """Which image has which rows.

    Attributes:
        header:    what the rows are: format, dtype, feature_dim, source, fingerprint, labels, command.
        image_ids: in the order of the rows.
        starts:    first row of each image, and one past the last row: one longer than ``image_ids``.
        widths:    of each image in pixels.
        heights:   of each image in pixels.
        checksums: CRC-32 of each image's rows.
        ends:      byte in index.jsonl where each line ends; the first is the header's.
    """

    header: dict = field(default_factory=dict)
    image_ids: list = field(default_factory=list)
    starts: array = field(default_factory=lambda: array("q", [0]))
    widths: array = field(default_factory=lambda: array("q"))
    heights: array = field(default_factory=lambda: array("q"))
    checksums: array = field(default_factory=lambda: array("q"))
    ends: array = field(default_factory=lambda: array("q"))

    def add(self, image_id: Hashable, count: int, width: int, height: int, check: int) -> None:
        """Note one more image."""
        self.image_ids.append(image_id)
        self.starts.append(self.starts[-1] + count)
        self.widths.append(width)
        self.heights.append(height)
        self.checksums.append(check)

    def drop_last(self) -> None:
        """Forget the last image."""
        for column in (self.image_ids, self.starts, self.widths, self.heights, self.checksums, self.ends):
            column.pop()


def read_index(path: Path) -> Index:
    """Read ``index.jsonl``; a line cut off by a kill is left out.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a whole line is damaged; the message names it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataMissing(f"no feature store at {path.parent}; make it with: {COMMAND}") from None
    index, end = Index(), 0
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            entry = json.loads(line)
            if number == 1:
                index.header = dict(entry)
                row_shapes(index.header)
            else:
                index.add(*entry)
        except (ValueError, TypeError, KeyError):
            command = index.header.get("command", COMMAND)
            raise DataInvalid(f"{path}, line {number} is damaged; delete {path.parent} and run: {command}") from None
        end += len(line) + 1
        index.ends.append(end)
    if index.header and index.header.get("format") != FORMAT:
        raise DataInvalid(f"{path} has format {index.header.get('format')!r}, this version reads {FORMAT}")
    return index
