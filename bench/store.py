"""Reading features: the store beside one HDF5 dataset an image, the TSV beside csv + base64, and memory.

The reference for the store reads features alone, ours reads features, boxes and the mask. torch gets one thread, as in
the worker of a loader. Cold runs drop the files from the page cache and read in a fresh process; the cache of the host
below a virtual machine is not controlled.
"""

import base64
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import torch

from bench.harness import Record, compare, record_of
from updown_lab.regions import Regions
from updown_lab.store.convert import convert_features
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.tsv import read_bottom_up_tsv
from updown_lab.store.writer import FeatureWriter

COUNT, SIZE, BATCH = 36, 2048, 64
MEGABYTE = 1 << 20


def records(quick: bool = False) -> list[Record]:
    """store-read-warm, store-read-cold (and both in float16), tsv-read, store-memory."""
    rounds = 5 if quick else 11
    with _one_thread(), _folder() as folder:
        images = _make_stores(folder, 400 if quick else 2000)
        found = []
        for name, warm, cold in (("float32", 6.0, 3.5), ("float16", 0.0, 0.0)):
            ending, note = ("", "") if name == "float32" else ("-float16", "half the bytes; float32 out; ")
            found.append(_warm(f"store-read-warm{ending}", folder, images, name, warm, rounds, note))
            found.append(_cold(f"store-read-cold{ending}", folder, images, name, cold, rounds, note))
    with _folder() as folder:
        found.append(_tsv(folder, 100 if quick else 500, rounds))
    with _folder() as folder:
        found.append(_memory(folder, 300 if quick else 5000))
    return found


# The straightforward ways.


def read_hdf5(file: h5py.File, image_ids: list[int]) -> torch.Tensor:
    """One dataset an image, as many projects keep their features: (B, K, D)."""
    return torch.stack([torch.from_numpy(file[str(image_id)][()]) for image_id in image_ids])


def read_tsv(path: Path) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The csv module and base64, as every converter of the field does it."""
    csv.field_size_limit(sys.maxsize)
    names = ["image_id", "image_w", "image_h", "num_boxes", "boxes", "features"]
    with open(path) as file:
        for row in csv.DictReader(file, delimiter="\t", fieldnames=names):
            count = int(row["num_boxes"])
            boxes, features = (
                np.frombuffer(base64.b64decode(row[name]), dtype=np.float32).reshape(count, -1)
                for name in ("boxes", "features")
            )
            yield int(row["image_id"]), boxes, features


# The comparisons.


def _warm(name: str, folder: Path, images: int, dtype: str, target: float, rounds: int, note: str) -> Record:
    store, generator = FeatureStore.open(folder / dtype), np.random.default_rng(1)
    order: list[int] = []

    with h5py.File(folder / "per_image.hdf5", "r") as file:
        if dtype == "float32":
            assert read_hdf5(file, [3, 1]).equal(store.batch([3, 1]).features)

        def reference():
            order[:] = generator.permutation(images)[: 6 * BATCH].tolist()
            for batch in _batches(order):
                read_hdf5(file, batch)

        def ours():
            for batch in _batches(order):
                store.batch(batch)

        read_hdf5(file, list(range(images)))
        _read_whole(folder)
        reference()
        note += f"{6 * BATCH} random reads of 36 x 2048 of {images}"
        return compare(name, reference, ours, target, rounds, note=note)


def _cold(name: str, folder: Path, images: int, dtype: str, target: float, rounds: int, note: str) -> Record:
    pairs = []
    for number in range(rounds):
        sides = [("reference", "per_image.hdf5"), ("ours", dtype)]
        timed = {}
        for side, path in sides if number % 2 == 0 else sides[::-1]:
            _drop_from_cache(folder)
            timed[side] = _child("cold", side, folder / path, images, number)
        pairs.append((timed["reference"], timed["ours"]))
    return record_of(name, pairs, target, f"{note}{3 * BATCH} random reads of 36 x 2048 of {images}, fresh process")


def _tsv(folder: Path, rows: int, rounds: int) -> Record:
    path = folder / "features.tsv"
    _make_tsv(path, rows)
    for (image_id, boxes, features), (ours_id, regions) in zip(read_tsv(path), read_bottom_up_tsv(path), strict=True):
        assert image_id == ours_id
        assert np.array_equal(features, regions.features) and np.array_equal(boxes, regions.boxes)
    note = f"{rows} rows of 36 x 2048, {path.stat().st_size / MEGABYTE:.0f} MB, warm; ours checks every number"
    sides = (lambda: _exhaust(read_tsv(path)), lambda: _exhaust(read_bottom_up_tsv(path)))
    return compare("tsv-read", *sides, 6.0, rounds, note=note)


def _memory(folder: Path, megabytes: int) -> Record:
    free = shutil.disk_usage(folder).free // MEGABYTE
    megabytes = min(megabytes, free // 4)
    path = folder / "features.tsv"
    _make_tsv(path, megabytes * 1000 // 394)
    peak, seconds = _child("memory", path, folder / "store")
    note = (f"peak above the imports while a TSV of {path.stat().st_size / 1e9:.2f} GB became a float32 store with "
            f"statistics, was verified and read through; {seconds:.0f} s; the ratio is 1 GB / peak")  # fmt: skip
    return record_of("store-memory", [((1024.0, 0.0), (peak, 0.0))], 1.0, note, "MB")


# What runs in a process of its own: python -m bench.store cold|memory ...


def _child(*words) -> tuple[float, float]:
    command = [sys.executable, "-m", "bench.store", *map(str, words)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"},
    )
    first, second = done.stdout.split()
    return float(first), float(second)


def _child_cold(side: str, path: str, images: str, seed: str) -> tuple[float, float]:
    order = np.random.default_rng(int(seed)).permutation(int(images))[: 3 * BATCH].tolist()
    if side == "ours":
        store = FeatureStore.open(path)
        read = store.batch
    else:
        file = h5py.File(path, "r")
        read = lambda batch: read_hdf5(file, batch)  # noqa: E731
    wall, processor = time.perf_counter(), time.process_time()
    for batch in _batches(order):
        read(batch)
    return time.perf_counter() - wall, time.process_time() - processor


def _child_memory(source: str, target: str) -> tuple[float, float]:
    before, began = _peak(), time.perf_counter()
    done = convert_features([source], target, training_ids=None)
    store = FeatureStore.open(target)
    store.verify()
    for batch in _batches(store.image_ids):
        store.batch(batch)
    assert done.images == len(store) and not done.problems
    return _peak() - before, time.perf_counter() - began


def _peak() -> float:
    """Largest resident size of this process so far, in MB.

    Linux lets a child inherit the peak of its parent in getrusage, but not in VmHWM.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else MEGABYTE)


# Material.


@contextmanager
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _folder():
    with tempfile.TemporaryDirectory(prefix="updown-bench-") as name:
        yield Path(name)


def _make_stores(folder: Path, images: int) -> int:
    """The same features as one HDF5 dataset an image, and as stores in float32 and float16."""
    noise = torch.Generator().manual_seed(0)
    boxes = torch.rand(COUNT, 4, generator=noise) * 640
    writers = {dtype: FeatureWriter(folder / dtype, SIZE, dtype) for dtype in ("float32", "float16")}
    with h5py.File(folder / "per_image.hdf5", "w") as file:
        for number in range(images):
            features = torch.randn(COUNT, SIZE, generator=noise).clamp(min=0)
            file[str(number)] = features.numpy()
            for writer in writers.values():
                writer.append(number, Regions(features, boxes, (640, 480), "bench"))
    for writer in writers.values():
        with writer:
            writer.finish()
    return images


def _make_tsv(path: Path, rows: int) -> None:
    """Rows of 394 kB; eight different sets of features take turns."""
    noise = np.random.default_rng(0)
    kinds = [
        b"\t".join(base64.b64encode(array.astype("<f4").tobytes()) for array in (
            noise.random((COUNT, 4)) * 640, np.maximum(noise.standard_normal((COUNT, SIZE)), 0)))
        for _ in range(8)
    ]  # fmt: skip
    with open(path, "wb") as file:
        for number in range(rows):
            file.write(b"%d\t640\t480\t%d\t%s\r\n" % (number, COUNT, kinds[number % 8]))


def _batches(order) -> Iterator[list]:
    left = iter(order)
    while batch := list(islice(left, BATCH)):
        yield batch


def _exhaust(items) -> None:
    for _ in items:
        pass


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _read_whole(folder: Path) -> None:
    for path in _files(folder):
        path.read_bytes()


def _drop_from_cache(folder: Path) -> None:
    for path in _files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


if __name__ == "__main__":
    work = {"cold": _child_cold, "memory": _child_memory}[sys.argv[1]]
    print(*work(*sys.argv[2:]))
