"""The HDF5 files of updown-baseline (nocaps): one long row of numbers an image.

    image_id   (N,)
    num_boxes  (N,)
    features   (N,) rows of n * D numbers; older files have (N, K, D)
    boxes      (N,) rows of n * 4 numbers, pixels         ┐
    width, height  (N,)                                   ├ often, not always
    scores     (N,) rows of n numbers, the best class     ┘

Their extractor shrank images above 1024 pixels and kept the boxes in the pixels of the small image, beside the size of
the large one; nothing in the file tells which images these are, so boxes are given as they are.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from torch import Tensor

from updown_lab.errors import DataInvalid
from updown_lab.files import atomic_path
from updown_lab.progress import progress
from updown_lab.regions import Regions
from updown_lab.store.entries import Entry, Problem, note, size_around, whole_image
from updown_lab.store.hdf5 import floats, need, open_hdf5, read_ids, write_ids


def walk_updown_baseline(path: Path | str, show: bool = False) -> Iterator[Entry]:
    """The images of a file.

    Args:
        path: the HDF5 file.
        show: show a progress bar.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: it is not such a file.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        names = read_ids(need(file, "image_id", 1))
        for row, name in enumerate(progress(names, f"reading {path.name}", unit="image", show=show)):
            yield Entry(path, f"row {row}", name, partial(_read, file, row))


def write_updown_baseline(
    items: Iterable[tuple[int | str, Regions]], path: Path | str, problems: list[Problem] | None = None
) -> None:
    """Write such a file.

    Args:
        items:    image ids and their regions; taken one by one.
        path:     the new file; it appears when it is whole.
        problems: collects images that the file cannot hold; without it the first one raises.

    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "val.h5"
    >>> write_updown_baseline([(7, Regions(torch.ones(3, 8), torch.zeros(3, 4), (640, 480), "demo"))], path)
    >>> with h5py.File(path) as file:
    ...     file["features"][0].reshape(file["num_boxes"][0], -1).shape
    (3, 8)
    """
    path, names, counts, sizes = Path(path), [], [], []
    with atomic_path(path) as draft, h5py.File(draft, "w") as file:
        for image_id, regions in items:
            parts = {"features": regions.features, "boxes": regions.boxes, "scores": regions.scores}
            parts = {name: rows for name, rows in parts.items() if rows is not None}
            if "\0" in str(image_id) or (names and ("scores" in parts) != ("scores" in file)):
                reason = "the file cannot hold an id with a NUL, nor scores for some images only"
                note(problems, Problem(path, "", image_id, reason))
                continue
            for name, rows in parts.items():
                _append(file, name, rows.detach().cpu().numpy().reshape(-1))
            names.append(image_id)
            counts.append(regions.count)
            sizes.append(regions.image_size)
        if not names:
            raise DataInvalid(f"no image to write to {path}")
        write_ids(file, "image_id", names)
        file["num_boxes"] = np.array(counts, np.int64)
        file["width"], file["height"] = np.array(sizes, np.float32).T


def _append(file: h5py.File, name: str, row: np.ndarray) -> None:
    if name not in file:
        file.create_dataset(name, (0,), h5py.vlen_dtype(np.float32), maxshape=(None,), chunks=(64,))
    file[name].resize(len(file[name]) + 1, axis=0)
    file[name][-1] = row


def _read(file: h5py.File, row: int) -> Regions:
    features = floats(file["features"][row])
    count = int(file["num_boxes"][row]) if "num_boxes" in file else len(features)
    features = features[:count] if features.dim() == 2 else _rows(features, count, "features")
    if "boxes" in file:
        boxes = floats(file["boxes"][row])
        boxes = boxes[:count] if boxes.dim() == 2 else _rows(boxes, count, "boxes")
    else:
        boxes = whole_image(count)
    size = size_around(boxes)
    if "width" in file and "height" in file:
        size = int(file["width"][row]), int(file["height"][row])
    scores = floats(file["scores"][row])[:count] if "scores" in file else None
    if scores is not None and len(scores) != count:
        raise ValueError(f"there are {len(scores)} scores for {count} boxes")
    return Regions(features, boxes, size, "updown-baseline hdf5", scores=scores)


def _rows(numbers: Tensor, count: int, name: str) -> Tensor:
    if count < 1 or len(numbers) % count:
        raise ValueError(f"{name} has {len(numbers)} numbers, which does not make {count} rows")
    return numbers.reshape(count, -1)
