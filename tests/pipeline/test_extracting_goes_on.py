"""Extraction that is cut, comes back, or does not fit in memory: in the end the store is the same."""

import sys
from pathlib import Path

import pytest
import torch

from updown_lab.errors import DataMissing, UpdownError
from updown_lab.pipeline import extracting
from updown_lab.pipeline.extracting import Problem, encode_within_memory, extract_pictures
from updown_lab.pipeline.eyes import Eyes, open_eyes
from updown_lab.store.feature_store import FeatureStore, FeatureWriter
from updown_lab.vision.images import read_picture

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "vision")]
from odd_images import scene  # noqa: E402
from toy_eyes import BROKEN, Mean, contents, interrupted, photos, simple  # noqa: E402
from untrained_run import untrained_run  # noqa: E402


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return open_eyes("regions", untrained_run(tmp_path_factory.mktemp("run")), device="cpu")


# ------------------------------------------------------------------------------------------------ interruptions

SIZES = [(40, 30), (30, 40), (40, 30), (60, 20), (40, 30), (30, 40), (40, 30)]  # windows of three, several sizes each


class CutEncoder:
    """The untrained detector, until Ctrl-C is pressed in call ``at``."""

    def __init__(self, encoder, at):
        self.encoder, self.left = encoder, at
        self.feature_dim, self.source = encoder.feature_dim, encoder.source

    def encode(self, images, records=None):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.encoder.encode(images)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, eyes):
    """Seven pictures and a bad one, in one go: where they are, the store, and what was in it."""
    folder = tmp_path_factory.mktemp("cut")
    photos(folder / "pictures", SIZES)
    (folder / "pictures/03-bad.jpg").write_bytes(BROKEN)
    extract(folder, eyes)
    return folder, contents(folder / "store")


def extract(folder, eyes):
    return extract_pictures(folder / "pictures", folder / "store", eyes, batch_size=3, show=False)


def emptied(folder):
    for path in (*(folder / "store").iterdir(), *folder.glob("*.csv")):
        path.unlink()


@pytest.mark.parametrize("at", range(6))  # calls: two sizes, then two and a bad file, then two
def test_a_run_cut_while_the_network_works_ends_in_the_same_bytes(uninterrupted, eyes, at):
    folder, whole = uninterrupted
    emptied(folder)

    with interrupted():
        extract(folder, Eyes(CutEncoder(eyes.encoder, at), eyes.fingerprint, eyes.about))
    assert not (folder / "store/manifest.json").exists()
    with pytest.raises(DataMissing):
        FeatureStore.open(folder / "store")
    done = extract(folder, eyes)

    assert contents(folder / "store") == whole
    assert done.images == 7 and [problem.file for problem in done.problems] == ["03-bad.jpg"]


@pytest.mark.parametrize("at", range(7))
def test_a_run_cut_between_two_pictures_of_a_batch_ends_in_the_same_bytes(uninterrupted, eyes, at, monkeypatch):
    folder, whole = uninterrupted
    emptied(folder)
    append = FeatureWriter.append

    def cut(writer, image_id, regions):
        if len(writer) == at:
            raise KeyboardInterrupt
        append(writer, image_id, regions)

    monkeypatch.setattr(FeatureWriter, "append", cut)
    with interrupted():
        extract(folder, eyes)
    monkeypatch.setattr(FeatureWriter, "append", append)
    done = extract(folder, eyes)

    assert contents(folder / "store") == whole
    assert (done.images, done.fresh) == (7, 7 - at)


def test_a_picture_is_seen_in_the_same_company_after_an_interruption(tmp_path, monkeypatch):
    """The network must get the whole window again, or a sum in another order would change the last bits."""
    folder, append = photos(tmp_path / "pictures", [(8, 8)] * 5), FeatureWriter.append

    def cut(writer, image_id, regions):
        if len(writer) == 2:
            raise KeyboardInterrupt
        append(writer, image_id, regions)

    monkeypatch.setattr(FeatureWriter, "append", cut)
    with interrupted():
        extract(tmp_path, simple(Mean()))
    monkeypatch.setattr(FeatureWriter, "append", append)
    encoder = Mean()
    extract_pictures(folder, tmp_path / "store", simple(encoder), batch_size=3, show=False)

    assert encoder.calls == [3, 2]


def test_pictures_that_come_later_are_added_and_those_there_are_not_read_again(tmp_path, monkeypatch):
    folder, read = photos(tmp_path / "pictures", [(8, 8), (9, 9)]), []
    extract_pictures(folder, tmp_path / "store", simple(Mean()), batch_size=1, show=False)
    scene().save(folder / "late.png")
    monkeypatch.setattr(extracting, "read_picture", lambda path: read.append(path.name) or read_picture(path))

    done = extract_pictures(folder, tmp_path / "store", simple(Mean()), batch_size=1, show=False)

    assert read == ["late.png"] and (done.images, done.fresh) == (3, 1)
    assert FeatureStore.open(tmp_path / "store").manifest["training_images"] == 3


def test_a_full_disk_is_said_in_words_and_the_rest_goes_on_later(tmp_path, monkeypatch):
    folder, append = photos(tmp_path / "pictures", [(8, 8)] * 2), FeatureWriter.append

    def full(writer, image_id, regions):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FeatureWriter, "append", full)
    with pytest.raises(UpdownError, match=r"No space left.*make room and run the same command again"):
        extract_pictures(folder, tmp_path / "store", simple(Mean()), show=False)
    monkeypatch.setattr(FeatureWriter, "append", append)

    assert extract_pictures(folder, tmp_path / "store", simple(Mean()), show=False).images == 2


# ------------------------------------------------------------------------------------------------ memory


def full_from(count, error):
    """A network that fails with so many pictures or more."""

    def fails(images, call):
        if len(images) >= count:
            raise error

    return fails


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(tmp_path, error):
    folder, encoder = photos(tmp_path / "pictures", [(8, 8)] * 7), Mean(full_from(3, error))

    done = extract_pictures(folder, tmp_path / "halved", simple(encoder), show=False)
    extract_pictures(folder, tmp_path / "whole", simple(Mean()), show=False)

    assert encoder.calls == [7, 3, 1, 2, 4, 2, 2] and done.problems == []
    halved, whole = (contents(tmp_path / name) for name in ("halved", "whole"))
    assert halved["features.bin"] == whole["features.bin"] and halved["index.jsonl"].split(b"\n")[1:] == whole[
        "index.jsonl"].split(b"\n")[1:]  # fmt: skip


def test_a_picture_that_does_not_fit_alone_is_listed_with_its_size(tmp_path):
    def fails(images, call):
        if max(image.numel() for image in images) > 1000:
            raise torch.OutOfMemoryError("out of memory")

    folder = photos(tmp_path / "pictures", [(8, 8), (50, 30), (8, 8)])

    done = extract_pictures(folder, tmp_path / "store", simple(Mean(fails)), show=False)

    assert FeatureStore.open(tmp_path / "store").image_ids == ["00", "02"]
    assert done.problems == [Problem("01.png", "the network needs more memory than there is for 50 x 30 pixels")]


def test_another_fault_of_the_network_is_not_taken_for_lack_of_memory():
    encoder = Mean(full_from(1, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))

    with pytest.raises(RuntimeError, match="mat1"):
        encode_within_memory(encoder.encode, [torch.rand(3, 4, 4)] * 4)

    assert encoder.calls == [4]


def test_the_network_never_sees_more_pictures_than_the_batch_allows(tmp_path):
    folder, encoder = photos(tmp_path / "pictures", [(8, 8)] * 11), Mean()

    extract_pictures(folder, tmp_path / "store", simple(encoder), batch_size=4, show=False)

    assert encoder.calls == [4, 4, 3]
    with pytest.raises(ValueError, match="batch_size is 1 or more"):
        extract_pictures(folder, tmp_path / "store", simple(encoder), batch_size=0)
