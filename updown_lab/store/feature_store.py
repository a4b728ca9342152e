"""What an encoder saw, kept on disk: regions by image id, and padded batches of them in one read."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import read_json
from updown_lab.progress import progress
from updown_lab.regions import RegionBatch, Regions
from updown_lab.store.records import COMMAND, FlatFile, checksum, read_index, row_shapes
from updown_lab.store.writer import FeatureWriter, write_features

__all__ = ["FeatureStore", "FeatureWriter", "write_features"]


class FeatureStore:
    """The regions of many images, read one by one or as a batch.

    Only the index stays in memory (about 100 bytes an image). Files are opened at the first read, so a store may be
    sent to the workers of a ``DataLoader``.

    Attributes:
        path:        the folder.
        image_ids:   all image ids, in the order they were written.
        feature_dim: D.
        source:      who made the regions.
        fingerprint: of the encoder's settings.
        manifest:    everything that is known about the store.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with FeatureWriter(folder, feature_dim=2, source="demo") as writer:
    ...     writer.append(17, Regions(torch.ones(3, 2), torch.zeros(3, 4), (640, 480), "demo"))
    ...     writer.finish(training_ids=[17])
    >>> store = FeatureStore.open(folder)
    >>> store[17].features.shape, store[17].image_size, store.mean.tolist()
    (torch.Size([3, 2]), (640, 480), [1.0, 1.0])
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        index = read_index(self.path / "index.jsonl")
        command = index.header.get("command", COMMAND)
        self.manifest = read_json(self.path / "manifest.json", hint=f"the store is not finished; go on with: {command}")
        self._mend = f"delete {self.path} and run: {self.manifest.get('command', command)}"
        self.image_ids: list[int | str] = index.image_ids
        self._starts = np.array(index.starts)
        self._widths, self._heights = index.widths, index.heights
        self._checksums = index.checksums
        self._rows = {image_id: row for row, image_id in enumerate(index.image_ids)}
        self._shapes = row_shapes(self.manifest)
        self._opened: dict[str, FlatFile] = {}
        self._check_sizes()

    @classmethod
    def open(cls, path: Path | str) -> "FeatureStore":
        """Open a finished store.

        Raises:
            DataMissing: no store there, or it is not finished.
            DataInvalid: a file is cut short; the message names it and the command that mends it.
        """
        return cls(path)

    @property
    def feature_dim(self) -> int:
        """D, the numbers in one feature."""
        return self.manifest["feature_dim"]

    @property
    def source(self) -> str:
        """Who made the regions."""
        return self.manifest["source"]

    @property
    def fingerprint(self) -> str:
        """Text that changes with any setting of the encoder."""
        return self.manifest["fingerprint"]

    @property
    def mean(self) -> Tensor:
        """(D,) float32, mean of each channel over all regions of the training images."""
        return self._statistics()[0]

    @property
    def deviation(self) -> Tensor:
        """(D,) float32, standard deviation of each channel; 1 where a channel never changes, so it can divide."""
        return self._statistics()[1]

    def __len__(self) -> int:
        return len(self.image_ids)

    def __contains__(self, image_id) -> bool:
        return image_id in self._rows

    def __getitem__(self, image_id: Hashable) -> Regions:
        """The regions of one image, as float32.

        Raises:
            DataMissing: the image is not in the store.
            DataInvalid: the files are cut short.
        """
        row = self._row(image_id)
        parts = {name: torch.from_numpy(rows) for name, rows in self._read(row).items()}
        features, boxes = parts.pop("features").float(), parts.pop("boxes")
        labels = {name: column[:, 0] for name, column in parts.items()}
        return Regions(features, boxes, self.image_size(image_id), self.source, **labels)

    def count(self, image_id: Hashable) -> int:
        """K of one image, without reading its features."""
        row = self._row(image_id)
        return int(self._starts[row + 1] - self._starts[row])

    def image_size(self, image_id: Hashable) -> tuple[int, int]:
        """(width, height) of one image in pixels, without reading its features."""
        row = self._row(image_id)
        return self._widths[row], self._heights[row]

    def items(self) -> Iterator[tuple[int | str, Regions]]:
        """All images in the order of the files, one in memory at a time."""
        for image_id in self.image_ids:
            yield image_id, self[image_id]

    def batch(self, image_ids: Sequence[Hashable]) -> RegionBatch:
        """Read several images straight into one padded batch: equal to ``collate_regions`` of them, and faster.

        Args:
            image_ids: B ids; an id may come twice.

        Returns:
            RegionBatch with float32 features (B, K, D), K the largest count; padding is zero.

        Raises:
            ValueError: no image ids.
            DataMissing: an image is not in the store.
        """
        if len(image_ids) == 0:
            raise ValueError("a batch needs at least one image id")
        rows = np.array([self._row(image_id) for image_id in image_ids])
        first = self._starts[rows]
        starts, counts = first.tolist(), (self._starts[rows + 1] - first).tolist()
        try:
            features, boxes = (self._file(name).read_padded(starts, counts) for name in ("features", "boxes"))
        except DataInvalid as error:
            raise DataInvalid(f"{error}; {self._mend}") from None
        mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
        return RegionBatch(torch.from_numpy(features).float(), torch.from_numpy(boxes), mask)

    def verify(self, show: bool = False) -> None:
        """Read everything once and compare it with the checksums of the day it was written.

        Args:
            show: show a progress bar.

        Raises:
            DataInvalid: some images are damaged; the message names the first ones and the command that mends it.
        """
        damaged = []
        for row, image_id in enumerate(progress(self.image_ids, f"verify {self.path.name}", unit="image", show=show)):
            if checksum(self._read(row).values()) != self._checksums[row]:
                damaged.append(image_id)
        if self.manifest["statistics"] and not torch.isfinite(self._statistics()).all():
            raise DataInvalid(f"{self.path}/statistics.npy holds numbers that are not finite; {self._mend}")
        if damaged:
            raise DataInvalid(f"{len(damaged)} damaged images in {self.path}, first {damaged[:5]}; {self._mend}")

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": {}}  # a worker opens its own files

    def _row(self, image_id: Hashable) -> int:
        try:
            return self._rows[image_id]
        except KeyError:
            example = repr(self.image_ids[0])
            raise DataMissing(
                f"no image {image_id!r} in {self.path} ({len(self)} images, ids like {example}); "
                f"to add it run: {self.manifest['command']}"
            ) from None

    def _file(self, name: str) -> FlatFile:
        if name not in self._opened:
            self._opened[name] = FlatFile(self.path / f"{name}.bin", *self._shapes[name])
        return self._opened[name]

    def _read(self, row: int) -> dict[str, np.ndarray]:
        """All arrays of one image, in the order of the files."""
        start, stop = self._starts[row], self._starts[row + 1]
        arrays = {}
        for name in self._shapes:
            file = self._file(name)
            arrays[name] = np.empty((stop - start, file.columns), file.dtype)
            try:
                file.read_into(arrays[name], int(start))
            except DataInvalid as error:
                raise DataInvalid(f"{error}; {self._mend}") from None
        return arrays

    def _check_sizes(self) -> None:
        """Find a truncated copy now, not in the middle of a training."""
        if self.manifest["images"] != len(self) or self.manifest["regions"] != self._starts[-1]:
            raise DataInvalid(
                f"{self.path}/index.jsonl lists {len(self)} images with {self._starts[-1]} regions, its manifest says "
                f"{self.manifest['images']} with {self.manifest['regions']}; {self._mend}"
            )
        for name, (dtype, columns) in self._shapes.items():
            file, wanted = self.path / f"{name}.bin", int(self._starts[-1]) * columns * dtype.itemsize
            found = file.stat().st_size if file.exists() else 0
            if found != wanted:
                raise DataInvalid(f"{file} has {found} bytes instead of {wanted}; {self._mend}")

    def _statistics(self) -> Tensor:
        if not self.manifest["statistics"]:
            raise DataMissing(f"{self.path} has no mean and deviation: it was finished without training ids")
        try:
            statistics = np.load(self.path / self.manifest["statistics"])
            if statistics.shape != (2, self.feature_dim):
                raise ValueError(f"its shape is {statistics.shape} instead of (2, {self.feature_dim})")
        except (OSError, ValueError, EOFError) as error:
            raise DataInvalid(f"{self.path}/statistics.npy cannot be read ({error}); {self._mend}") from None
        return torch.from_numpy(statistics)
