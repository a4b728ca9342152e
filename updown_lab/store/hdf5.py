"""The HDF5 files of the VQA projects: hengyuan-hu's with a fixed number of boxes, BAN's with a varying one.

    image_features    (N, K, D), or (sum K, D) in BAN's
    image_bb          (N, K, 4), or (sum K, 4)      pixels
    spatial_features  (N, K, 6), or (sum K, 6)      x1/W, y1/H, x2/W, y2/H, w/W, h/H
    pos_boxes         (N, 2), only in BAN's: first row of an image and one past its last

Beside the file lies NAME_imgid2idx.pkl with {image id: row}. What we write also holds ``image_ids`` (N,) and
``image_size`` (N, 2), width and height; older readers do not look at them.
"""

import operator
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import atomic_path
from updown_lab.pickles import read_pickle
from updown_lab.progress import progress
from updown_lab.regions import Regions
from updown_lab.store.entries import Entry, Problem, note, read_id, size_around, size_from_fractions
from updown_lab.store.feature_store import FeatureStore

_CHUNK_BYTES = 1 << 18


def walk_hengyuan(path: Path | str, show: bool = False) -> Iterator[Entry]:
    """The images of a file with K boxes each.

    Args:
        path: the HDF5 file; its NAME_imgid2idx.pkl lies beside it.
        show: show a progress bar.

    Raises:
        DataMissing: there is no such file, or nothing that says which image has which row.
        DataInvalid: it is not such a file.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        features = need(file, "image_features", 3)
        names = _names(path, file, len(features))
        for row in progress(range(len(features)), f"reading {path.name}", unit="image", show=show):
            read = partial(_known, path, names, row, partial(_read, file, row, row))
            yield Entry(path, f"row {row}", names.get(row, ""), read)


def walk_ban(path: Path | str, show: bool = False) -> Iterator[Entry]:
    """The images of a file with a varying number of boxes; the arguments are those of ``walk_hengyuan``."""
    path = Path(path)
    with open_hdf5(path) as file:
        need(file, "image_features", 2)
        positions = need(file, "pos_boxes", 2)[:]
        names = _names(path, file, len(positions))
        for row, (start, stop) in enumerate(progress(positions, f"reading {path.name}", unit="image", show=show)):
            if row not in names and start == stop:
                continue  # BAN's converter leaves such rows for images that it did not find
            span = partial(_read, file, row, slice(int(start), int(stop)))
            yield Entry(path, f"row {row}", names.get(row, ""), partial(_known, path, names, row, span))


def write_hengyuan(
    items: Iterable[tuple[int | str, Regions]], path: Path | str, problems: list[Problem] | None = None
) -> None:
    """Write a file with K boxes an image.

    Args:
        items:    image ids and their regions; taken one by one.
        path:     the new file; it and its NAME_imgid2idx.pkl appear when they are whole.
        problems: collects images that the file cannot hold; without it the first one raises.

    Raises:
        DataInvalid: the images have different numbers of regions.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "val36.hdf5"
    >>> write_hengyuan([(7, Regions(torch.ones(36, 8), torch.zeros(36, 4), (640, 480), "demo"))], path)
    >>> h5py.File(path)["image_features"].shape, read_pickle(path.with_name("val36_imgid2idx.pkl"))
    ((1, 36, 8), {7: 0})
    """
    _write(items, Path(path), problems, fixed=True)


def write_ban(
    items: Iterable[tuple[int | str, Regions]], path: Path | str, problems: list[Problem] | None = None,
    dtype: str = "float32",
) -> None:  # fmt: skip
    """Write a file with a varying number of boxes; the arguments are those of ``write_hengyuan``.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "val.hdf5"
    >>> write_ban([(7, Regions(torch.ones(3, 8), torch.zeros(3, 4), (640, 480), "demo"))], path)
    >>> h5py.File(path)["pos_boxes"][:].tolist()
    [[0, 3]]
    """
    _write(items, Path(path), problems, fixed=False, dtype=dtype)


def export_hdf5(store: FeatureStore, path: Path | str, copy: bool = True) -> None:
    """Make a store readable with h5py, in BAN's layout.

    Args:
        store: what to write.
        path:  the new file; it appears when it is whole.
        copy:  False writes a small file that points to the store's own ``features.bin`` and ``boxes.bin``: no
               second copy on the disk, but the store must stay where it is.

    >>> import tempfile
    >>> from updown_lab.store.writer import FeatureWriter
    >>> folder = Path(tempfile.mkdtemp())
    >>> with FeatureWriter(folder / "store", feature_dim=2) as writer:
    ...     writer.append(17, Regions(torch.ones(3, 2), torch.zeros(3, 4), (8, 8), "demo"))
    ...     writer.finish()
    >>> export_hdf5(FeatureStore.open(folder / "store"), folder / "view.hdf5", copy=False)
    >>> h5py.File(folder / "view.hdf5")["image_features"][0].tolist()
    [1.0, 1.0]
    """
    if copy:
        write_ban(store.items(), path, dtype=store.manifest["dtype"])
        return
    ends = np.cumsum([store.count(image_id) for image_id in store.image_ids])
    rows = int(ends[-1])
    shapes = {"image_features": ("features", store.feature_dim, store.manifest["dtype"]),
              "image_bb": ("boxes", 4, "float32")}  # fmt: skip
    with atomic_path(path) as draft, h5py.File(draft, "w") as file:
        for name, (part, columns, dtype) in shapes.items():
            flat = str((store.path / f"{part}.bin").resolve())
            file.create_dataset(name, (rows, columns), dtype,
                                external=[(flat, 0, rows * columns * np.dtype(dtype).itemsize)])  # fmt: skip
        file["pos_boxes"] = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1).astype(np.int32)
        write_ids(file, "image_ids", store.image_ids)
        file["image_size"] = np.array([store.image_size(image_id) for image_id in store.image_ids], np.int64)


@contextmanager
def open_hdf5(path: Path):
    """An HDF5 file for reading, or a plain word about what is wrong with it."""
    if not path.exists():
        raise DataMissing(f"no file {path}; see docs/features.md for where features come from")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataInvalid(f"{path} is not a readable HDF5 file ({error}); was it cut off? fetch it again") from None
    with file:
        yield file


def need(file: h5py.File, name: str, dimensions: int) -> h5py.Dataset:
    """A dataset that must be there.

    Raises:
        DataInvalid: it is not, or has another number of dimensions.
    """
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != dimensions:
        seen = f"has shape {found.shape}" if isinstance(found, h5py.Dataset) else "is not there"
        raise DataInvalid(f"{file.filename}: {name} should have {dimensions} dimensions and {seen}")
    return found


def keys_of(path: Path) -> dict[str, int]:
    """Names of the datasets in a file and their dimensions; empty if it is no HDF5 file."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return {}
    try:
        with h5py.File(path, "r") as file:
            return {name: item.ndim for name, item in file.items() if isinstance(item, h5py.Dataset)}
    except OSError:
        return {}


def grow(file: h5py.File, name: str, rows: np.ndarray, dtype=None) -> None:
    """Append rows to a dataset; it is made with the first ones."""
    if name not in file:
        chunk = max(1, _CHUNK_BYTES // max(1, rows[:1].nbytes))
        file.create_dataset(name, (0, *rows.shape[1:]), dtype or rows.dtype, maxshape=(None, *rows.shape[1:]),
                            chunks=(chunk, *rows.shape[1:]))  # fmt: skip
    dataset = file[name]
    start = len(dataset)
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows


def write_ids(file: h5py.File, name: str, image_ids: list[int | str]) -> None:
    """Image ids as numbers if all are, else as text."""
    numbers = all(isinstance(image_id, int) for image_id in image_ids)
    file[name] = np.array(image_ids, np.int64) if numbers else [str(image_id) for image_id in image_ids]


def read_ids(dataset: h5py.Dataset) -> list[int | str]:
    """What ``write_ids`` wrote, or another project."""
    if dataset.dtype.kind in "iu":
        return dataset[:].tolist()
    return [read_id(text) for text in dataset.asstr()[:]]


def floats(rows) -> Tensor:
    """An array from a file as a float32 tensor; half precision goes through torch, which is ten times as fast."""
    native = np.ascontiguousarray(rows)
    if native.dtype.kind not in "fiu":
        raise ValueError(f"expected numbers, got an array of {native.dtype}")
    return torch.from_numpy(native.astype(native.dtype.newbyteorder("="), copy=False)).float()


def ids_file(path: Path) -> Path:
    """The pickle beside the file that says which image has which row."""
    return path.with_name(f"{path.stem}_imgid2idx.pkl")


def _names(path: Path, file: h5py.File, rows: int) -> dict[int, int | str]:
    """The image id of each row."""
    beside = ids_file(path)
    if not beside.exists() and "image_ids" in file:
        return dict(enumerate(read_ids(file["image_ids"])))
    if not beside.exists():
        raise DataMissing(f"no file {beside}: it says which image has which row; put it beside {path.name}")
    table = read_pickle(beside)
    try:
        names = {operator.index(row): name if isinstance(name, str) else operator.index(name)
                 for name, row in table.items()}  # fmt: skip
    except (AttributeError, TypeError):
        raise DataInvalid(f"{beside} should hold {{image id: row}}, got {str(table)[:80]}") from None
    beyond = [row for row in names if not 0 <= row < rows]
    if beyond or len(names) != len(table):
        what = f"row {beyond[0]} for image {names[beyond[0]]}" if beyond else "one row for two images"
        raise DataInvalid(f"{beside} names {what}, {path} has {rows} rows: they do not belong together")
    return names


def _known(path: Path, names: dict, row: int, read) -> Regions:
    if row not in names:
        raise ValueError(f"{ids_file(path).name} names no image for this row")
    return read()


def _read(file: h5py.File, row: int, where: int | slice) -> Regions:
    if isinstance(where, slice) and not 0 <= where.start <= where.stop <= len(file["image_features"]):
        raise ValueError(f"pos_boxes gives rows {where.start} to {where.stop}, the file has "
                         f"{len(file['image_features'])}")  # fmt: skip
    features, boxes = floats(file["image_features"][where]), floats(file["image_bb"][where])
    if "image_size" in file:
        size = tuple(file["image_size"][row].tolist())
    elif "spatial_features" in file:
        size = size_from_fractions(boxes, floats(file["spatial_features"][where]))
    else:
        size = size_around(boxes)
    return Regions(features, boxes, size, "ban hdf5" if isinstance(where, slice) else "hengyuan hdf5")


def _fractions(regions: Regions) -> Tensor:
    width, height = regions.image_size
    corners = regions.boxes / torch.tensor([width, height, width, height])
    return torch.cat([corners, corners[:, 2:] - corners[:, :2]], dim=1)


def _write(items, path: Path, problems: list[Problem] | None, fixed: bool, dtype: str = "float32") -> None:
    names, ends, sizes = [], [0], []
    with atomic_path(path) as draft, atomic_path(ids_file(path)) as ids, h5py.File(draft, "w") as file:
        for image_id, regions in items:
            if "\0" in str(image_id):
                note(problems, Problem(path, "", image_id, "an id with a NUL cannot be held by HDF5"))
                continue
            if fixed and (regions.count == 0 or (names and regions.count != ends[1])):
                raise DataInvalid(
                    f"image {image_id!r} has {regions.count} regions{f', the first {ends[1]}' if names else ''}: this "
                    "layout holds one number for all; write ban-hdf5 instead"
                )
            parts = {"image_features": regions.features, "image_bb": regions.boxes,
                     "spatial_features": _fractions(regions)}  # fmt: skip
            for name, rows in parts.items():
                array = rows.detach().cpu().numpy()
                grow(file, name, array[None] if fixed else array, dtype if name == "image_features" else "float32")
            names.append(image_id)
            ends.append(ends[-1] + regions.count)
            sizes.append(regions.image_size)
        if not names:
            raise DataInvalid(f"no image to write to {path}")
        if not fixed:
            file["pos_boxes"] = np.stack([ends[:-1], ends[1:]], axis=1).astype(np.int32)
        write_ids(file, "image_ids", names)
        file["image_size"] = np.array(sizes, np.int64)
        ids.write_bytes(pickle.dumps({name: row for row, name in enumerate(names)}, protocol=2))
