"""Feature folders with one npz an image: ruotianluo's three folders, his LMDB files, and MILVLG's one folder.

    NAME_att/ID.npz   ``feat`` (K, D), or (H, W, D) for a grid; in the published test archive the key is ``z``
    NAME_fc/ID.npy    (D,) the mean of the rows
    NAME_box/ID.npy   (K, 4) pixels
    NAME_att.lmdb, NAME_box.lmdb   the same files as values, the id as key

    ID.npz            ``x`` (K, D), ``bbox`` (K, 4) pixels, ``num_bbox``, ``image_h``, ``image_w``      MILVLG
                      ``info`` is a pickle: it is never opened

ruotianluo's layout has no image sizes; what we write holds them as ``image_size`` in NAME_att. Where they are missing
the size is the smallest whole one that holds the boxes. Where the boxes are missing too, the image is 1 x 1: a grid's
boxes are its cells, any other region gets the whole image.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.progress import progress
from updown_lab.regions import Regions
from updown_lab.store.entries import Entry, Problem, note, read_id, size_around, whole_image
from updown_lab.store.hdf5 import floats
from updown_lab.vision.encoders import grid_boxes


def walk_ruotianluo(path: Path | str, show: bool = False) -> Iterator[Entry]:
    """The images of NAME_att, with the boxes of NAME_box if it is there.

    Args:
        path: NAME_att or just NAME.
        show: show a progress bar.

    Raises:
        DataMissing: there is no such folder.
    """
    folder = attention_folder(path)
    boxes = folder.with_name(f"{_stem(folder)}_box")
    for file in progress(_files(folder), f"reading {folder.name}", unit="image", show=show):
        box = boxes / f"{file.stem}.npy"
        yield Entry(file, "", read_id(file.stem), partial(_read_attention, file, box if boxes.is_dir() else None))


def walk_lmdb(path: Path | str, show: bool = False) -> Iterator[Entry]:
    """The images of NAME_att.lmdb, with the boxes of NAME_box.lmdb if it is there.

    Args:
        path: the file or folder.
        show: show a progress bar.

    Raises:
        DataMissing: there is no such file, or the package lmdb is not installed.
        DataInvalid: it is no LMDB.
    """
    path = Path(path)
    boxes = path.with_name(path.name.replace("_att.lmdb", "_box.lmdb"))
    with ExitStack() as stack:
        database = stack.enter_context(_lmdb(path))
        places = stack.enter_context(_lmdb(boxes)) if boxes != path and boxes.exists() else None
        title, cursor = f"reading {path.name}", database.cursor()
        for key, value in progress(cursor, title, database.stat(None)["entries"], "image", show=show):
            if not key.startswith(b"__"):  # lmdbdict's own notes; some are pickles
                found = places.get(key) if places else None
                box = BytesIO(found) if found is not None else None
                yield Entry(path, "", read_id(key.decode("utf-8", "replace")),
                            partial(_read_attention, BytesIO(value), box))  # fmt: skip


def walk_milvlg(path: Path | str, show: bool = False) -> Iterator[Entry]:
    """The images of a MILVLG folder; the arguments are those of ``walk_ruotianluo``."""
    for file in progress(_files(Path(path)), f"reading {Path(path).name}", unit="image", show=show):
        yield Entry(file, "", read_id(file.stem), partial(_read_milvlg, file))


def write_ruotianluo(
    items: Iterable[tuple[int | str, Regions]], path: Path | str, problems: list[Problem] | None = None
) -> None:
    """Write NAME_att, NAME_fc and NAME_box.

    Args:
        items:    image ids and their regions; taken one by one.
        path:     NAME or NAME_att; the folders appear when they are whole.
        problems: collects images whose id cannot be a file name; without it the first one raises.

    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "cocobu"
    >>> write_ruotianluo([(7, Regions(torch.ones(3, 8), torch.zeros(3, 4), (640, 480), "demo"))], path)
    >>> np.load(f"{path}_att/7.npz")["feat"].shape, np.load(f"{path}_fc/7.npy").shape
    ((3, 8), (8,))
    """
    stem = Path(path).with_name(_stem(Path(path)))
    with (
        atomic_folder(f"{stem}_att") as attention,
        atomic_folder(f"{stem}_box") as boxes,
        atomic_folder(f"{stem}_fc") as means,
    ):
        for name, regions in _named(items, path, problems):
            features = regions.features.detach().cpu().numpy()
            np.savez(attention / f"{name}.npz", feat=features, image_size=np.array(regions.image_size, np.int64))
            np.save(boxes / f"{name}.npy", regions.boxes.detach().cpu().numpy())
            np.save(means / f"{name}.npy", features.mean(0) if regions.count else np.zeros_like(features, shape=(
                features.shape[1],)))  # fmt: skip


def write_milvlg(
    items: Iterable[tuple[int | str, Regions]], path: Path | str, problems: list[Problem] | None = None
) -> None:
    """Write a MILVLG folder, without ``info``; the arguments are those of ``write_ruotianluo``."""
    with atomic_folder(path) as folder:
        for name, regions in _named(items, path, problems):
            width, height = regions.image_size
            np.savez(folder / f"{name}.npz", x=regions.features.detach().cpu().numpy(), num_bbox=regions.count,
                     bbox=regions.boxes.detach().cpu().numpy(), image_h=height, image_w=width)  # fmt: skip


def attention_folder(path: Path | str) -> Path:
    """NAME_att for NAME or NAME_att.

    Raises:
        DataMissing: there is no such folder.
    """
    path = Path(path)
    beside = path.with_name(f"{_stem(path)}_att")
    for folder in (beside, path):
        if folder.is_dir():
            return folder
    raise DataMissing(f"no folder {beside}; the features of ruotianluo's projects are npz files in NAME_att")


def first_npz(path: Path) -> set[str]:
    """The keys of the first npz in a folder that can be opened; empty if there is none."""
    if not path.is_dir():
        return set()
    with os.scandir(path) as found:
        names = (entry.path for entry in found if entry.name.endswith(".npz"))
        for _, name in zip(range(20), names, strict=False):
            try:
                with np.load(name, allow_pickle=False) as file:
                    return set(file.files)
            except Exception:  # a damaged file says nothing here; the reader will report it
                continue
    return set()


@contextmanager
def atomic_folder(path: Path | str):
    """A new folder that appears under its name only when the block ends well."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.mkdir(parents=True)
    try:
        yield draft
        os.rename(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _stem(path: Path) -> str:
    return path.name.removesuffix("_att")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataMissing(f"no folder {folder}")
    return [folder / name for name in sorted(name for name in os.listdir(folder) if name.endswith(".npz"))]


def _arrays(source: Path | BytesIO, name: str, wanted: Iterable[str], optional: Iterable[str] = ()) -> dict:
    """Arrays of an npz, only those asked for: others may be pickles."""
    with np.load(source, allow_pickle=False) as file:
        if not hasattr(file, "files"):
            raise ValueError(f"{name} is one array instead of an npz")
        missing = [key for key in wanted if key not in file.files]
        if missing:
            raise ValueError(f"{name} has no {missing[0]!r}, only {', '.join(file.files) or 'nothing'}")
        return {key: file[key] for key in (*wanted, *(key for key in optional if key in file.files))}


def _read_attention(source: Path | BytesIO, box: Path | BytesIO | None) -> Regions:
    arrays = _arrays(source, "the file", (), ("feat", "z", "image_size"))
    if "feat" not in arrays and "z" not in arrays:
        raise ValueError("the npz has neither 'feat' nor 'z'")
    features = floats(arrays["feat"] if "feat" in arrays else arrays["z"])
    cells = features.shape[:2] if features.dim() == 3 else None
    features = features.reshape(-1, features.shape[-1])
    if box is not None:
        boxes = floats(np.load(box, allow_pickle=False))
    elif cells and cells[0] == cells[1]:
        boxes = grid_boxes(cells[0], 1, 1)
    else:
        boxes = whole_image(len(features))
    size = tuple(arrays["image_size"].tolist()) if "image_size" in arrays else size_around(boxes)
    return Regions(features, boxes, size, "ruotianluo npz")


def _read_milvlg(file: Path) -> Regions:
    arrays = _arrays(file, "the npz", ("x", "bbox"), ("num_bbox", "image_h", "image_w"))
    features, boxes = floats(arrays["x"]), floats(arrays["bbox"])
    if int(arrays.get("num_bbox", len(features))) != len(features):
        raise ValueError(f"x has {len(features)} rows, num_bbox says {int(arrays['num_bbox'])}")
    size = size_around(boxes)
    if "image_h" in arrays and "image_w" in arrays:
        size = int(arrays["image_w"]), int(arrays["image_h"])
    return Regions(features, boxes, size, "milvlg npz")


def _named(items, path: Path | str, problems: list[Problem] | None):
    """(file name, regions) of every image whose id can be a file name."""
    for image_id, regions in items:
        name = str(image_id)
        if not name or name.startswith(".") or "/" in name or "\0" in name or len(name.encode()) > 200:
            note(problems, Problem(Path(path), "", image_id, "the id cannot be the name of a file"))
            continue
        yield name, regions


@contextmanager
def _lmdb(path: Path) -> Callable:
    """A read transaction."""
    try:
        import lmdb
    except ImportError:
        raise DataMissing("LMDB files need a package: pip install 'updown_lab[formats]'") from None
    if not path.exists():
        raise DataMissing(f"no file {path}")
    try:
        base = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, map_size=1 << 41)
    except lmdb.Error as error:
        raise DataInvalid(f"{path} is not a readable LMDB ({error})") from None
    with base, base.begin() as transaction:
        yield transaction
