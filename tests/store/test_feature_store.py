"""Feature store: what goes in comes out, and no accident goes unnoticed."""

import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from updown_lab.errors import DataInvalid, DataMissing, UpdownError
from updown_lab.regions import Regions, collate_regions
from updown_lab.store.feature_store import FeatureStore, FeatureWriter, write_features
from updown_lab.store.hdf5 import export_hdf5

COUNTS = [3, 1, 5, 2, 4]  # regions of images 10, 11, 12, 13, 14
SIZE = 6


def make_regions(seed: int, count: int, labels: bool = True, size: int = SIZE) -> Regions:
    noise = torch.Generator().manual_seed(seed)
    features = torch.rand(count, size, generator=noise) * 10
    boxes = torch.rand(count, 4, generator=noise) * 100
    if not labels:
        return Regions(features, boxes, (640, 480 + seed), "demo")
    scores = torch.rand(count, generator=noise)
    return Regions(features, boxes, (640, 480 + seed), "demo", torch.arange(count), scores,
                   torch.arange(count) - 1, 1 - scores)  # fmt: skip


def originals(labels: bool = True) -> dict[int, Regions]:
    return {10 + number: make_regions(number, count, labels) for number, count in enumerate(COUNTS)}


def fill(path, regions: dict, dtype="float32", training_ids=(), fingerprint="a") -> FeatureStore:
    with FeatureWriter(path, SIZE, dtype, "demo", fingerprint, command="make features") as writer:
        for image_id, item in regions.items():
            if image_id not in writer:
                writer.append(image_id, item)
        writer.finish(training_ids)
    return FeatureStore.open(path)


def assert_same(got: Regions, wanted: Regions, **tolerance):
    assert got.image_size == wanted.image_size and got.source == wanted.source
    for name in ("features", "boxes", "classes", "scores", "attributes", "attribute_scores"):
        one, two = getattr(got, name), getattr(wanted, name)
        assert (one is None) == (two is None), name
        if one is not None:
            torch.testing.assert_close(one, two, **tolerance if name == "features" else {"rtol": 0, "atol": 0})


@pytest.mark.parametrize("labels", [True, False])
def test_what_goes_in_comes_out_exactly_in_float32(tmp_path, labels):
    wanted = originals(labels)

    store = fill(tmp_path, wanted)

    assert len(store) == 5 and 12 in store and 99 not in store
    assert store.image_ids == [10, 11, 12, 13, 14]
    assert (store.feature_dim, store.source, store.fingerprint) == (SIZE, "demo", "a")
    for image_id, regions in wanted.items():
        assert_same(store[image_id], regions, rtol=0, atol=0)
    store.verify()


def test_float16_keeps_eleven_bits_and_gives_float32(tmp_path):
    wanted = originals()

    store = fill(tmp_path, wanted, dtype="float16")

    assert store[12].features.dtype == torch.float32
    torch.testing.assert_close(store[12].features, wanted[12].features, rtol=2**-11, atol=0)  # half a last bit
    assert (tmp_path / "features.bin").stat().st_size == sum(COUNTS) * SIZE * 2


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("image_ids", [[11], [14, 10, 12], [13, 13, 10]])
def test_a_batch_equals_collating_one_by_one(tmp_path, dtype, image_ids):
    store = fill(tmp_path, originals(), dtype)

    got = store.batch(image_ids)

    wanted = collate_regions([store[image_id] for image_id in image_ids])
    for one, two in ((got.features, wanted.features), (got.boxes, wanted.boxes), (got.mask, wanted.mask)):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_images_without_regions_are_kept(tmp_path):
    store = fill(tmp_path, {1: make_regions(0, 0), 2: make_regions(1, 2), 3: make_regions(2, 0)})

    assert store[1].count == store[3].count == 0 and store[2].count == 2
    assert store.batch([1, 2]).mask.tolist() == [[False, False], [True, True]]
    assert store.batch([1, 3]).features.shape == (2, 0, SIZE)


def test_ids_may_be_text_or_numpy_numbers(tmp_path):
    store = fill(tmp_path, {"COCO_1": make_regions(0, 2), np.int64(7): make_regions(1, 1)})

    assert store.image_ids == ["COCO_1", 7]
    assert store[np.int64(7)].count == 1 and store["COCO_1"].count == 2
    with pytest.raises(TypeError):
        fill(tmp_path, {7.5: make_regions(0, 1)})


def test_mean_and_deviation_come_from_the_training_images_alone(tmp_path):
    regions = originals()
    regions[14] = Regions(regions[14].features * 1e3, regions[14].boxes, (4, 4), "demo", *[
        getattr(regions[14], name) for name in ("classes", "scores", "attributes", "attribute_scores")
    ])  # fmt: skip

    store = fill(tmp_path, regions, training_ids=[12, 10, 11])

    seen = torch.cat([regions[image_id].features for image_id in (10, 11, 12)]).double()  # the obvious way
    torch.testing.assert_close(store.mean, seen.mean(0).float())
    torch.testing.assert_close(store.deviation, seen.std(0, unbiased=False).float())


def test_a_channel_that_never_changes_has_deviation_one(tmp_path):
    flat = Regions(torch.full((3, SIZE), 2.0), torch.zeros(3, 4), (4, 4), "demo")

    store = fill(tmp_path, {1: flat}, training_ids=[1])

    assert store.mean.tolist() == [2.0] * SIZE and store.deviation.tolist() == [1.0] * SIZE


def test_statistics_follow_the_training_ids_of_the_last_finish(tmp_path):
    fill(tmp_path, originals(), training_ids=[10])

    store = fill(tmp_path, originals(), training_ids=[11])

    torch.testing.assert_close(store.mean, originals()[11].features.mean(0))
    assert fill(tmp_path, originals()).manifest["statistics"] is None
    with pytest.raises(DataMissing, match="without training ids"):
        _ = FeatureStore.open(tmp_path).mean


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), file=st.sampled_from(["index.jsonl", "features.bin", "attribute_scores.bin"]))
def test_cut_off_anywhere_it_goes_on_to_the_same_store(tmp_path, cut, file):
    shutil.rmtree(tmp_path)
    whole = fill(tmp_path / "whole", originals(), training_ids=[10, 12])
    shutil.copytree(tmp_path / "whole", tmp_path / "torn")
    (tmp_path / "torn" / "manifest.json").unlink()
    with open(tmp_path / "torn" / file, "r+b") as handle:
        handle.truncate(round(cut * (tmp_path / "torn" / file).stat().st_size))

    mended = fill(tmp_path / "torn", originals(), training_ids=[10, 12])

    mended.verify()
    for name in [path.name for path in whole.path.iterdir()]:
        assert (mended.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_after_a_power_cut_it_may_go_on_with_other_images(tmp_path):
    fill(tmp_path, originals())
    with open(tmp_path / "features.bin", "r+b") as handle:
        handle.truncate(4 * SIZE * 4)  # rows of images 10 and 11: the index is ahead by three images

    store = fill(tmp_path, {10: None, 11: None, "z": make_regions(9, 1)})

    store.verify()
    assert store.image_ids == [10, 11, "z"]


def test_appending_reopens_a_finished_store(tmp_path):
    fill(tmp_path, originals())

    with FeatureWriter(tmp_path, SIZE, "float32", "demo", "a") as writer:
        writer.append(99, make_regions(9, 1))

    with pytest.raises(DataMissing, match="not finished"):
        FeatureStore.open(tmp_path)


def test_a_failed_write_leaves_no_trace(tmp_path, monkeypatch):
    wanted = originals()
    with FeatureWriter(tmp_path, SIZE, "float32", "demo", "a") as writer:
        writer.append(10, wanted[10])
        monkeypatch.setattr(writer, "_write_line", lambda entry: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            writer.append(11, wanted[11])
        monkeypatch.undo()
        writer.append(12, wanted[12])
        writer.finish()

    store = FeatureStore.open(tmp_path)
    store.verify()
    assert_same(store[12], wanted[12], rtol=0, atol=0)


WRITE_FOR_EVER = """
import sys, torch
from updown_lab.regions import Regions
from updown_lab.store.feature_store import FeatureWriter
from updown_lab.store.hdf5 import export_hdf5
with FeatureWriter(sys.argv[1], 64, "float32", "demo", "a") as writer:
    for number in range(len(writer), 10**6):
        features, boxes = torch.full((number % 7, 64), float(number)), torch.zeros(number % 7, 4)
        writer.append(number, Regions(features, boxes, (9, 9), "demo"))
"""


def test_a_killed_process_loses_at_most_the_image_it_was_writing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)])
    index = tmp_path / "index.jsonl"
    while not index.exists() or index.stat().st_size < 2000:
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(UpdownError, match="another process"):
        FeatureWriter(tmp_path, 64, "float32", "demo", "a")
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = index.read_bytes().count(b"\n") - 1

    with FeatureWriter(tmp_path, 64, "float32", "demo", "a") as writer:
        assert len(writer) == lines
        writer.append(lines, Regions(torch.ones(2, 64), torch.zeros(2, 4), (9, 9), "demo"))
        writer.finish()

    store = FeatureStore.open(tmp_path)
    store.verify()
    assert all((store[number].features == number).all() for number in range(lines))


def test_other_settings_are_not_mixed_in(tmp_path):
    fill(tmp_path, originals(), fingerprint="a")

    with pytest.raises(DataInvalid, match=r"fingerprint 'a', now 'b'"):
        FeatureWriter(tmp_path, SIZE, "float32", "demo", "b")
    with pytest.raises(DataInvalid, match="dtype 'float32', now 'float16'"):
        FeatureWriter(tmp_path, SIZE, "float16", "demo", "a")
    assert len(FeatureStore.open(tmp_path)) == 5


@pytest.mark.parametrize(
    "regions, message",
    [
        (make_regions(0, 2, size=7), "size 7"),
        (make_regions(0, 2, labels=False), "labels"),
        (Regions(torch.full((1, SIZE), 1e6), torch.zeros(1, 4), (4, 4), "demo"), "not finite in float16"),
        (Regions(torch.full((1, SIZE), torch.nan), torch.zeros(1, 4), (4, 4), "demo"), "not finite"),
    ],
)
def test_regions_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, regions, message):
    with FeatureWriter(tmp_path, SIZE, "float16") as writer:
        if message == "labels":
            writer.append(1, make_regions(1, 1))
        with pytest.raises(ValueError, match=message):
            writer.append(2, regions)
        with pytest.raises(ValueError, match="already in"):
            writer.append(3, make_regions(3, 2, labels=message == "labels"))
            writer.append(3, make_regions(3, 2, labels=message == "labels"))
        assert 2 not in writer


def test_a_missing_image_names_store_id_and_command(tmp_path):
    store = fill(tmp_path, originals())

    for read in (lambda: store[99], lambda: store.batch([10, 99])):
        with pytest.raises(DataMissing, match=rf"no image 99 in {tmp_path}.*make features"):
            read()
    with pytest.raises(DataMissing, match="2 training images, the first is 77"):
        fill(tmp_path, originals(), training_ids=[10, 77, 88])


def test_an_unfinished_or_absent_store_says_what_to_run(tmp_path):
    with FeatureWriter(tmp_path / "half", SIZE, command="make features") as writer:
        writer.append(1, make_regions(0, 1))
    with pytest.raises(DataMissing, match="not finished; go on with: make features"):
        FeatureStore.open(tmp_path / "half")
    with pytest.raises(DataMissing, match="no feature store at"):
        FeatureStore.open(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["features.bin", "boxes.bin", "scores.bin"])
def test_a_truncated_file_is_found_on_opening(tmp_path, name):
    fill(tmp_path, originals())
    with open(tmp_path / name, "r+b") as handle:
        handle.truncate(17)

    with pytest.raises(DataInvalid, match=rf"{name} has 17 bytes.*delete {tmp_path} and run: make features"):
        FeatureStore.open(tmp_path)


def test_a_store_that_shrinks_while_open_is_not_read_as_zeros(tmp_path):
    store = fill(tmp_path, originals())
    with open(tmp_path / "features.bin", "r+b") as handle:
        handle.truncate(17)

    for read in (lambda: store[14], lambda: store.batch([10, 14])):
        with pytest.raises(DataInvalid, match=r"cut short.*make features"):
            read()


@pytest.mark.parametrize("name", ["features.bin", "boxes.bin", "classes.bin"])
def test_verify_finds_one_flipped_bit(tmp_path, name):
    store = fill(tmp_path, originals())
    damaged = bytearray((tmp_path / name).read_bytes())
    damaged[len(damaged) * 4 // 15] ^= 4  # 4 of 15 rows in: image 12 owns rows 4 to 8 (3 + 1 = 4)
    (tmp_path / name).write_bytes(damaged)

    with pytest.raises(DataInvalid, match=r"1 damaged images .* first \[12\]"):
        store.verify()


def test_a_damaged_line_of_the_index_is_named(tmp_path):
    fill(tmp_path, originals())
    lines = (tmp_path / "index.jsonl").read_text().splitlines(keepends=True)
    lines[2] = '["x", 3\n'
    (tmp_path / "index.jsonl").write_text("".join(lines))

    for open_it in (FeatureStore.open, lambda path: FeatureWriter(path, SIZE, "float32", "demo", "a")):
        with pytest.raises(DataInvalid, match="line 3 is damaged"):
            open_it(tmp_path)


def read_in_worker(store):
    return store.batch([10, 12]).features.sum().item(), store[14].features.sum().item()


def test_workers_may_share_an_open_store(tmp_path):
    store = fill(tmp_path, originals())
    wanted = read_in_worker(store)  # files are open now

    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        assert set(pool.map(read_in_worker, [store] * 8)) == {wanted}
    assert read_in_worker(pickle.loads(pickle.dumps(store))) == wanted


def test_write_features_loads_each_missing_image_once(tmp_path):
    loaded, calls = [], []

    def load(number):
        loaded.append(number)
        return torch.full((2, 3), float(number))

    def encode(images):
        calls.append(len(images))
        return [Regions(image, torch.zeros(2, 4), (4, 4), "demo") for image in images]

    items = [(number, lambda number=number: load(number)) for number in range(7)]
    write_features(encode, items[:3], tmp_path, 3, batch_size=2, progress=False)
    write_features(encode, iter(items), tmp_path, 3, batch_size=2, progress=False, training_ids=[6])

    store = FeatureStore.open(tmp_path)
    assert loaded == list(range(7)) and max(calls) == 2 and 0 not in calls
    assert store[5].features.tolist() == [[5.0] * 3] * 2 and store.mean.tolist() == [6.0] * 3
    write_features(None, items, tmp_path, 3, batch_size=2, progress=False, training_ids=[6])  # nothing left to encode


def test_an_encoder_that_drops_an_image_is_caught(tmp_path):
    with pytest.raises(ValueError, match="got 1 images and returned 0"):
        write_features(lambda images: [], [(1, lambda: None)], tmp_path, 3, progress=False)


def test_finishing_twice_changes_nothing(tmp_path):
    fill(tmp_path, originals(), training_ids=[10])
    before = (tmp_path / "manifest.json").stat().st_mtime_ns, (tmp_path / "statistics.npy").stat().st_mtime_ns

    fill(tmp_path, originals(), training_ids=[10])

    after = (tmp_path / "manifest.json").stat().st_mtime_ns, (tmp_path / "statistics.npy").stat().st_mtime_ns
    assert before == after
    assert json.loads((tmp_path / "manifest.json").read_text())["regions"] == sum(COUNTS)


def test_hdf5_holds_the_same_rows(tmp_path):
    wanted = originals()
    store = fill(tmp_path / "store", wanted)

    export_hdf5(store, tmp_path / "out.hdf5")

    with h5py.File(tmp_path / "out.hdf5") as file:
        start, stop = file["pos_boxes"][2]
        assert file["image_ids"][2] == 12 and (start, stop) == (4, 9)
        np.testing.assert_array_equal(file["image_features"][start:stop], wanted[12].features.numpy())
        x1, y1, x2, y2 = wanted[12].boxes[0].tolist()
        width, height = wanted[12].image_size
        spatial = [x1 / width, y1 / height, x2 / width, y2 / height, (x2 - x1) / width, (y2 - y1) / height]
        np.testing.assert_allclose(file["spatial_features"][start], spatial, rtol=1e-5, atol=1e-6)
