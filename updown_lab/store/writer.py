"""Fill a feature store. It may be killed at any time and goes on after the last image that was whole."""

import fcntl
import hashlib
import json
import operator
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from updown_lab.config import fingerprint as digest
from updown_lab.errors import DataInvalid, DataMissing, UpdownError
from updown_lab.files import atomic_path, read_json, write_json
from updown_lab.progress import progress as progress_bar
from updown_lab.regions import Regions
from updown_lab.store.records import (
    COMMAND,
    FORMAT,
    LABELS,
    FlatFile,
    checksum,
    read_index,
    row_shapes,
    write_at,
)  # fmt: skip

#: Rows reach the disk at the latest after so many images, and so many are looked at after an interruption.
_SYNC = 256


class FeatureWriter:
    """Append the regions of image after image to a folder.

    The rows go to their files first, then one line goes to the index. A kill between the two leaves rows that no
    line speaks of; the next image is written over them.

    Args:
        path:        folder of the store; made if needed, continued if it holds a part.
        feature_dim: D.
        dtype:       "float16" (half the disk, rounding of 0.05 %) or "float32".
        source:      who makes the regions, for instance "regions" or "grid 10x10".
        fingerprint: text that changes with any setting of the encoder (``config.fingerprint``).
        command:     what a reader should run if the store turns out to be damaged.
        about:       what a person wants to know about the features later, for instance the encoder's settings; JSON.

    Raises:
        DataInvalid: the folder holds features of other settings, or its index is damaged.
        UpdownError: another process is writing here (its lock is gone when it ends).

    >>> import tempfile
    >>> regions = Regions(torch.ones(2, 8), torch.zeros(2, 4), (4, 4), "demo")
    >>> with FeatureWriter(tempfile.mkdtemp(), feature_dim=8) as writer:
    ...     writer.append(17, regions)
    ...     17 in writer
    True
    """

    def __init__(self, path: Path | str, feature_dim: int, dtype: str = "float16", source: str = "",
                 fingerprint: str = "", command: str = COMMAND, about: Mapping | None = None):  # fmt: skip
        if dtype not in ("float16", "float32"):
            raise ValueError(f"dtype must be 'float16' or 'float32', got {dtype!r}")
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._wanted = {
            "format": FORMAT, "dtype": dtype, "feature_dim": int(feature_dim), "source": source,
            "fingerprint": fingerprint, "command": command,
        } | ({"about": dict(about)} if about else {})  # fmt: skip
        self._files: dict[str, FlatFile] = {}
        self._descriptor = os.open(self.path / "index.jsonl", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._lock()
            self._index = read_index(self.path / "index.jsonl")
            if self._index.header:
                self._check_settings()
                self._open_files()
                self._forget_torn_images()
        except BaseException:
            self.close()
            raise
        os.ftruncate(self._descriptor, self._end)
        self._known = set(self._index.image_ids)

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __contains__(self, image_id) -> bool:
        return image_id in self._known

    def __len__(self) -> int:
        return len(self._known)

    def append(self, image_id: Hashable, regions: Regions) -> None:
        """Write one image.

        Args:
            image_id: whole number or text, not yet in the store.
            regions:  its regions, with the store's feature size, on any device.

        Raises:
            ValueError: the image is there already, the feature size differs, a label that the first image had is
                missing (or the other way round), or a feature is not finite in the store's dtype.
        """
        image_id = _plain_id(image_id)
        if image_id in self._known:
            raise ValueError(f"image {image_id!r} is already in {self.path}")
        arrays = self._arrays(image_id, regions)
        if not self._files:
            self._begin(labels=[name for name in LABELS if name in arrays])
        for name, rows in arrays.items():
            self._files[name].write(rows, self._index.starts[-1])
        entry = [image_id, regions.count, *map(int, regions.image_size), checksum(arrays.values())]
        if len(self) % _SYNC == 0:
            for file in self._files.values():
                file.sync()
        (self.path / "manifest.json").unlink(missing_ok=True)  # the store is unfinished again
        self._write_line(entry)
        self._index.add(*entry)
        self._known.add(image_id)

    def finish(self, training_ids: Iterable[Hashable] = ()) -> None:
        """Measure mean and deviation over the training images and write the manifest, which opens the store.

        Args:
            training_ids: images that the statistics may see; with none the store has no statistics.

        Raises:
            DataMissing: a training image is not in the store, or the store is empty.
        """
        wanted = sorted({_plain_id(image_id) for image_id in training_ids}, key=str)
        absent = [image_id for image_id in wanted if image_id not in self._known]
        if absent or not self._known:
            what = f"{len(absent)} training images, the first is {absent[0]!r}" if absent else "images: it is empty"
            raise DataMissing(f"{self.path} lacks {what}; run again: {self._wanted['command']}")
        for file in self._files.values():
            file.truncate(self._index.starts[-1])
        os.fsync(self._descriptor)
        manifest = self._index.header | {
            "images": len(self), "regions": self._index.starts[-1], "training_images": len(wanted),
            "training_digest": digest(wanted), "statistics": "statistics.npy" if wanted else None,
        }  # fmt: skip
        target = self.path / "manifest.json"
        if target.exists() and read_json(target) == manifest:
            return
        if wanted:
            with atomic_path(self.path / "statistics.npy") as draft, open(draft, "wb") as handle:
                np.save(handle, self._statistics(set(wanted)))
        write_json(target, manifest, indent=1)

    def close(self) -> None:
        """Close the files and give the lock back; what was appended stays."""
        for file in self._files.values():
            file.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def image_ids(self) -> list[int | str]:
        """The images that are there, in the order of the files."""
        return self._index.image_ids

    @property
    def _end(self) -> int:
        return self._index.ends[-1] if self._index.ends else 0

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpdownError(f"another process is writing {self.path}; wait for it or end it") from None

    def _check_settings(self) -> None:
        for name in ("fingerprint", "feature_dim", "dtype", "source"):
            there, wanted = self._index.header.get(name), self._wanted[name]
            if there != wanted:
                raise DataInvalid(
                    f"{self.path} holds features with {name} {there!r}, now {wanted!r} is wanted; mixing them would "
                    f"spoil every result: delete the folder or choose another one"
                )

    def _begin(self, labels: list[str]) -> None:
        self._write_line(self._wanted | {"labels": labels})
        self._index.header = self._wanted | {"labels": labels}
        self._open_files()

    def _open_files(self) -> None:
        for name, (dtype, columns) in row_shapes(self._index.header).items():
            self._files[name] = FlatFile(self.path / f"{name}.bin", dtype, columns, write=True)

    def _forget_torn_images(self) -> None:
        """After a power cut the index may be ahead of the data: step back to before the first image that is torn."""
        while total := len(self._index.image_ids):
            first = max(0, total - _SYNC)
            torn = next((row for row in range(first, total) if not self._is_whole(row)), total)
            while len(self._index.image_ids) > torn:
                self._index.drop_last()
            if torn > first:
                return

    def _is_whole(self, row: int) -> bool:
        start, stop = self._index.starts[row : row + 2]
        try:
            rows = [file.read(start, stop - start) for file in self._files.values()]
        except DataInvalid:  # the file ends before these rows
            return False
        return checksum(rows) == self._index.checksums[row]

    def _write_line(self, entry) -> None:
        line = json.dumps(entry).encode() + b"\n"
        write_at(self._descriptor, line, self._end)
        self._index.ends.append(self._end + len(line))

    def _arrays(self, image_id: Hashable, regions: Regions) -> dict[str, np.ndarray]:
        """The rows of one image, in the order and the types of the files."""
        if regions.features.shape[1] != self._wanted["feature_dim"]:
            raise ValueError(
                f"image {image_id!r} has features of size {regions.features.shape[1]}, "
                f"{self.path} holds {self._wanted['feature_dim']}"
            )
        given = [name for name in LABELS if getattr(regions, name) is not None]
        expected = self._index.header.get("labels", given)
        if given != expected:
            raise ValueError(f"image {image_id!r} comes with labels {given}, the images before with {expected}")
        header = self._wanted | {"labels": given}
        arrays = {}
        for name, (dtype, columns) in row_shapes(header).items():
            tensor = getattr(regions, name).detach().to("cpu", getattr(torch, dtype.name)).contiguous()
            arrays[name] = tensor.numpy().reshape(regions.count, columns)
        if not all(torch.isfinite(torch.from_numpy(arrays[name])).all() for name in ("features", "boxes")):
            raise ValueError(f"image {image_id!r} has features or boxes that are not finite in {header['dtype']}")
        return arrays

    def _statistics(self, wanted: set) -> np.ndarray:
        """Mean and deviation of each channel, image by image (Chan, Golub and LeVeque 1983, eq. 2.1)."""
        total, mean, squares = 0, 0.0, 0.0
        starts = self._index.starts
        for row, image_id in enumerate(self._index.image_ids):
            count = starts[row + 1] - starts[row]
            if image_id not in wanted or count == 0:
                continue
            rows = torch.from_numpy(self._files["features"].read(starts[row], count)).double().numpy()
            step = rows.mean(0) - mean
            squares = squares + ((rows - rows.mean(0)) ** 2).sum(0) + step**2 * (total * count / (total + count))
            mean = mean + step * (count / (total + count))
            total += count
        shape = (self._wanted["feature_dim"],)
        deviation = np.sqrt(np.broadcast_to(squares / max(total, 1), shape))
        return np.stack([np.broadcast_to(mean, shape), np.where(deviation > 0, deviation, 1.0)]).astype(np.float32)


def _plain_id(image_id: Hashable) -> int | str:
    """A whole number or text that JSON gives back unchanged; numpy's numbers become Python's."""
    return image_id if isinstance(image_id, str) else operator.index(image_id)


def encoder_fingerprint(settings, weights: Mapping[str, torch.Tensor]) -> str:
    """Text that changes with any setting and any weight of an encoder: features of two encoders never mix.

    Args:
        settings: dataclass or JSON types.
        weights:  ``network.state_dict()``.

    >>> one = encoder_fingerprint({"regions": 36}, {"weight": torch.zeros(2)})
    >>> one == encoder_fingerprint({"regions": 36}, {"weight": torch.tensor([0.0, 1e-9])})
    False
    """
    total = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest(settings, total.hexdigest())


def write_features(
    encoder_function: Callable[[list], Sequence[Regions]],
    items: Iterable[tuple[Hashable, Callable]],
    path: Path | str,
    feature_dim: int,
    *,
    dtype: str = "float16",
    source: str = "",
    fingerprint: str = "",
    training_ids: Iterable[Hashable] = (),
    batch_size: int = 8,
    progress: bool = True,
    command: str = COMMAND,
    about: Mapping | None = None,
) -> None:
    """Encode images and keep their regions; images that are there already are skipped.

    Args:
        encoder_function: list of images to one ``Regions`` each, for instance ``encoder.encode``.
        items:            pairs of image id and a function that loads the image; it is called once, when needed.
        path:             folder of the store.
        feature_dim:      D, ``encoder.feature_dim``.
        dtype, source, fingerprint, command, about: see ``FeatureWriter``.
        training_ids:     images for mean and deviation.
        batch_size:       images a call of the encoder.
        progress:         show a bar.

    Raises:
        ValueError: the encoder returned another number of ``Regions`` than it got images.

    >>> import tempfile
    >>> encode = lambda images: [Regions(image, torch.zeros(1, 4), (4, 4), "demo") for image in images]
    >>> folder = tempfile.mkdtemp()
    >>> write_features(encode, [(5, lambda: torch.ones(1, 3))], folder, feature_dim=3, progress=False)
    >>> (Path(folder) / "manifest.json").exists()
    True
    """
    settings = {"dtype": dtype, "source": source, "fingerprint": fingerprint, "command": command, "about": about}
    total = len(items) if hasattr(items, "__len__") else None
    with (
        FeatureWriter(path, feature_dim, **settings) as writer,
        progress_bar(None, f"features: {source or Path(path).name}", total, "image", show=progress) as bar,
    ):
        remaining = iter(items)
        while batch := list(islice(remaining, batch_size)):
            fresh = [(image_id, load) for image_id, load in batch if image_id not in writer]
            regions = encoder_function([load() for _, load in fresh]) if fresh else []
            if len(regions) != len(fresh):
                raise ValueError(f"the encoder got {len(fresh)} images and returned {len(regions)} Regions")
            for (image_id, _), found in zip(fresh, regions, strict=True):
                writer.append(image_id, found)
            bar.update(len(batch))
        writer.finish(training_ids)
