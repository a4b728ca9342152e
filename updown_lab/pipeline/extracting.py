"""Features of anybody's pictures: a folder of files into a store, and a list of those that could not be used."""

import csv
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing, UpdownError
from updown_lab.files import atomic_path
from updown_lab.pipeline.eyes import Eyes
from updown_lab.progress import progress
from updown_lab.regions import Regions
from updown_lab.store.writer import FeatureWriter
from updown_lab.vision.encoders import Encoder
from updown_lab.vision.images import ENDINGS, Picture, PictureInvalid, batches_of_one_size, read_picture
from updown_lab.vision.shapes import at_size

READERS = min(4, os.cpu_count() or 1)  # threads that decode while the network works


class Problem(NamedTuple):
    """A picture that is not in the store: its file below the folder, and why."""

    file: str
    reason: str


class Extraction(NamedTuple):
    """What came of it.

    Attributes:
        images:   how many pictures are in the store.
        fresh:    how many of them were not there before.
        problems: what was left out, and why.
        report:   the file that lists the problems, or None if there are none.
    """

    images: int
    fresh: int
    problems: list[Problem]
    report: Path | None


def extract_pictures(
    pictures: Path | str,
    store: Path | str,
    eyes: Eyes,
    *,
    batch_size: int = 8,
    dtype: str = "float16",
    report: Path | str | None = None,
    rename: Callable[[str], int | str] | None = None,
    command: str | None = None,
    show: bool = True,
) -> Extraction:
    """Encode every picture of a folder and of the folders in it; what cannot be used is listed.

    The id of a picture is its path below the folder without the ending: ``cats/001.jpg`` becomes "cats/001". After an
    interruption the same call goes on, and the store is the same in the end: pictures are seen in the same company.

    Args:
        pictures:   folder; files with other endings than ``ENDINGS`` are passed over, and hidden ones.
        store:      folder of the feature store.
        eyes:       from ``open_eyes``.
        batch_size: the most pictures that the network sees at once; halved when they do not fit in memory.
        dtype:      "float16" or "float32".
        report:     CSV file for the problems; by default STORE.problems.csv.
        rename:     gives the new id of an id, for instance ``coco_number``; may raise ValueError.
        command:    what a reader should run if the store turns out to be unfinished or damaged.
        show:       show a progress bar.

    Raises:
        DataMissing: no such folder, no picture in it, or not one that can be used.
        DataInvalid: the store holds features of other settings, or the folder is something else.
        UpdownError: the disk is full.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is 1 or more, got {batch_size}")
    store = Path(store)
    report = Path(report) if report else store.with_name(f"{store.name}.problems.csv")
    files, problems = find_pictures(pictures, rename)
    _refuse_other_folders(store)
    source = eyes.encoder.source
    settings = {"fingerprint": eyes.fingerprint, "about": eyes.about, "dtype": dtype, "source": source}
    settings["command"] = command or f"extract_pictures({str(pictures)!r}, {str(store)!r}, …) with {source}"
    try:
        images, fresh = _encode_all(Path(pictures), files, store, eyes.encoder, batch_size, settings, problems, show)
    except UpdownError:
        raise
    except OSError as error:
        raise UpdownError(f"writing {store} failed: {error}; make room and run the same command again") from None
    problems.sort()
    _write_report(problems, report)
    if not images:
        raise DataMissing(f"not one of {len(problems)} pictures in {pictures} can be used; {report} says why")
    return Extraction(images, fresh, problems, report if problems else None)


def find_pictures(
    folder: Path | str, rename: Callable[[str], int | str] | None = None
) -> tuple[dict[int | str, Path], list[Problem]]:
    """All picture files in a folder and below, by id, in order; and the names that cannot be used.

    Args:
        folder: where to look; links to folders are not followed, names that start with a dot are passed over.
        rename: gives the new id of an id.

    Raises:
        DataMissing: no such folder, or no name in it that ends like a picture.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = [(folder / name).touch() for name in ("b.png", "a.jpg", "a.png", "notes.txt")]
    >>> files, problems = find_pictures(folder)
    >>> list(files), problems
    (['a', 'b'], [Problem(file='a.png', reason="its id 'a' belongs to a.jpg already; rename one of them")])
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataMissing(f"no folder {folder}; extract wants a folder with pictures")
    files, problems = {}, []
    for name in sorted(_names(folder, problems)):
        path, shown = folder / name, _printable(name)
        try:
            if not path.is_file():
                raise ValueError(_kind(path))
            image_id = _printable(name[: -len(path.suffix)].replace(os.sep, "/"))
            image_id = rename(image_id) if rename else image_id
            if image_id in files:
                raise ValueError(f"its id {image_id!r} belongs to {files[image_id].relative_to(folder)} already; "
                                 "rename one of them")  # fmt: skip
            files[image_id] = path
        except (ValueError, OSError) as error:
            problems.append(Problem(shown, getattr(error, "strerror", None) or str(error)))
    if not files and not problems:
        raise DataMissing(f"no picture in {folder}; looked for files ending in {', '.join(ENDINGS)}")
    return files, problems


def _names(folder: Path, problems: list[Problem]) -> Iterator[str]:
    """Paths below the folder that end like a picture, folders with such names included, but not what is in those."""

    def closed(error: OSError) -> None:
        problems.append(Problem(_printable(os.path.relpath(error.filename, folder)), f"folder: {error.strerror}"))

    for place, folders, names in os.walk(folder, onerror=closed):
        odd = [name for name in folders if Path(name).suffix.lower() in ENDINGS]
        folders[:] = [name for name in folders if name not in odd and not name.startswith(".")]
        for name in (*odd, *names):
            if Path(name).suffix.lower() in ENDINGS and not name.startswith("."):
                yield os.path.relpath(os.path.join(place, name), folder)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder, not a picture; rename it if there are pictures inside"
    return "not a regular file" if path.exists() else "a link to a file that is not there"


def _printable(name: str) -> str:
    """A file name that any file and any screen takes; bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def _refuse_other_folders(store: Path) -> None:
    if store.exists() and not store.is_dir():
        raise DataInvalid(f"{store} is a file; choose another place for the store")
    if store.is_dir() and any(store.iterdir()) and not (store / "index.jsonl").exists():
        raise DataInvalid(f"{store} is a folder with other things in it; choose a new one for the store")


def _encode_all(folder: Path, files: dict, store: Path, encoder: Encoder, batch_size: int, settings: dict,
                problems: list[Problem], show: bool) -> tuple[int, int]:  # fmt: skip
    """Fill the store. Returns how many pictures it holds, and how many of them are new."""
    new = not store.exists()
    with (
        FeatureWriter(store, encoder.feature_dim, **settings) as writer,
        progress(None, f"features: {encoder.source}", len(files), "image", show=show) as bar,
    ):
        before = len(writer)
        for window in _windows(files, batch_size, writer, bar):
            for image_id, seen in _see(encoder, window):
                name = _printable(str(files[image_id].relative_to(folder)))
                try:
                    if isinstance(seen, str):
                        raise ValueError(seen)
                    if image_id not in writer:
                        writer.append(image_id, seen)
                except ValueError as error:
                    problems.append(Problem(name, str(error)))
            bar.update(len(window))
        images = len(writer)
        if images:
            writer.finish([image_id for image_id in files if image_id in writer])
    if not images and new:
        for leftover in store.iterdir():
            leftover.unlink()
        store.rmdir()
    return images, images - before


def _windows(files: dict, size: int, writer: FeatureWriter, bar) -> Iterator[dict[int | str, Picture | str]]:
    """The pictures that are not in the store yet, decoded, ``size`` files at a time; a text says why one is not.

    The windows are cut from the list of files, whatever is in the store. One that was cut by an interruption is decoded
    whole, so that each picture meets the same others in a batch, and has the same features to the last bit.
    """
    ids = list(files)
    windows = [ids[start : start + size] for start in range(0, len(ids), size)]
    waiting = [[image_id for image_id in window if image_id not in writer] for window in windows]
    bar.update(sum(len(window) for window, absent in zip(windows, waiting, strict=True) if not absent))
    pictures = _read_ahead(_try, [files[image_id] for absent in waiting for image_id in absent])
    for window, absent in zip(windows, waiting, strict=True):
        if not absent:
            continue
        found = {image_id: next(pictures) for image_id in absent}
        if len(absent) < len(window) and any(isinstance(picture, Picture) for picture in found.values()):
            found = {image_id: found.get(image_id) or _try(files[image_id]) for image_id in window}
        yield found


def _try(path: Path) -> Picture | str:
    """A picture, or why it cannot be had."""
    try:
        return read_picture(path)
    except PictureInvalid as error:
        return error.reason
    except DataMissing as error:
        return str(error)


def _read_ahead(read: Callable, items: Iterable) -> Iterator:
    """``map`` in the background, in order, a few items ahead: the network need not wait for files."""
    pool, waiting = ThreadPoolExecutor(READERS, "reader"), deque()
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _see(encoder: Encoder, window: dict[int | str, Picture | str]) -> list[tuple[int | str, Regions | str]]:
    """Regions of each picture, in order, in pixels of the original; or why there are none."""
    results = dict(window)
    names = [image_id for image_id, picture in window.items() if isinstance(picture, Picture)]
    for batch in batches_of_one_size([window[image_id].pixels for image_id in names]):
        group = [names[position] for position in batch]
        images = [window[image_id].floats() for image_id in group]  # not all at once: four times as large as bytes
        for image_id, seen in zip(group, encode_within_memory(encoder.encode, images), strict=True):
            results[image_id] = seen if isinstance(seen, str) else at_size(seen, window[image_id].size)
    return list(results.items())


def encode_within_memory(
    encode: Callable[[list[Tensor]], list[Regions]], images: Sequence[Tensor]
) -> list[Regions | str]:
    """Encode a batch; if it does not fit in memory, half of it at a time.

    Args:
        encode: images to one ``Regions`` each.
        images: (3, H, W) each.

    Returns:
        one ``Regions`` an image; for one that does not fit alone a text that says so, with its size.

    >>> def encode(images):
    ...     if sum(image.numel() for image in images) > 12:
    ...         raise RuntimeError("out of memory")
    ...     return [Regions(image.view(1, -1), torch.zeros(1, 4), (2, 2), "demo") for image in images]
    >>> small, large = torch.zeros(3, 2, 2), torch.zeros(3, 4, 5)
    >>> [regions.count for regions in encode_within_memory(encode, [small, small])]
    [1, 1]
    >>> encode_within_memory(encode, [large])
    ['the network needs more memory than there is for 5 x 4 pixels']
    """
    try:
        return list(encode(list(images)))
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
    # Here, not in the handler: the error holds on to everything that filled the memory.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(images) == 1:
        height, width = images[0].shape[-2:]
        return [f"the network needs more memory than there is for {width} x {height} pixels"]
    half = len(images) // 2
    return [*encode_within_memory(encode, images[:half]), *encode_within_memory(encode, images[half:])]


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def _write_report(problems: list[Problem], path: Path) -> None:
    """Write the list; one from an earlier try is removed."""
    if not problems:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as draft, open(draft, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Problem._fields)
        writer.writerows(problems)
