"""Features that are there already: nobody looks again, and a picture that is missing is missed before training."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from updown_lab.cli import main
from updown_lab.config import load_config, override, preset, save_config
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.pipeline.extracting import extract_pictures
from updown_lab.pipeline.eyes import eyes_of_store, open_eyes
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.plans import make_plan
from updown_lab.pipeline.stages import Work
from updown_lab.pipeline.work import _open_store, adopt_store
from updown_lab.store.feature_store import FeatureStore, write_features
from updown_lab.vision.images import load_image

sys.path.insert(0, str(Path(__file__).parent))
from toy_eyes import Mean, photos
from untrained_run import OBJECTS, untrained_run


def seen(folder, count=3):
    """A small store: images 0, 1, ... in grey."""
    items = [(number, lambda number=number: torch.full((3, 4, 4), number / 10)) for number in range(count)]
    write_features(Mean().encode, items, folder, Mean.feature_dim, source="mean")
    return folder


def paper_with(store, **changes):
    return override(preset("paper"), encoders="regions", stores=f"regions={store}", data="somewhere", **changes)


def names(config, *stages):
    plan = make_plan(config, "run")
    return [stage.name for stage in (plan.upto(*stages) if stages else plan).stages]


def test_no_detector_is_trained_for_features_that_are_there(tmp_path):
    config = paper_with(seen(tmp_path / "store"))

    assert names(config, "captions-regions-scst") == [
        "features-regions", "captions-regions-cross-entropy", "captions-regions-scst"]  # fmt: skip
    assert "detector" not in names(config)


def test_a_kind_without_a_store_still_has_its_detector(tmp_path):
    config = override(paper_with(seen(tmp_path / "store")), encoders="regions,grid-detector-7")

    assert "detector" in names(config) and "detector" not in names(config, "vqa-regions")
    assert "detector" in names(config, "vqa-grid-detector-7")


def test_other_features_in_the_same_folder_make_everything_anew(tmp_path):
    def mark(count):
        plan = make_plan(paper_with(seen(tmp_path / f"{count}" / "store", count)), "run")
        manifest = (tmp_path / f"{count}/store/manifest.json").read_text()
        return plan.fingerprint(plan.find("vqa-regions")), manifest

    (first, told), (second, told_too) = mark(3), mark(4)

    assert told != told_too and first != second


@pytest.mark.parametrize("stores", ["regions", "regoins=a", "grid-pretrained-7=a", "=a"])
def test_a_store_is_given_to_a_kind_that_the_run_has(stores):
    with pytest.raises(ConfigError, match=r"KIND=FOLDER with a kind of this run \(regions\)"):
        make_plan(override(preset("paper"), encoders="regions", stores=stores), "run")


def test_the_stage_is_a_link_to_the_store(tmp_path):
    config, folder = paper_with(seen(tmp_path / "store")), tmp_path / "run/stages/features-regions"
    folder.mkdir(parents=True)

    for _ in range(2):  # resumed, it finds its own link
        adopt_store(Work(folder, tmp_path / "run", config, "regions"))

    assert FeatureStore.open(folder / "store").image_ids == [0, 1, 2] and (folder / "store").is_symlink()


def test_a_store_that_is_not_there_says_so_when_it_is_needed(tmp_path):
    work = Work(tmp_path, tmp_path, paper_with(tmp_path / "nowhere"), "regions")

    with pytest.raises(DataMissing, match="nowhere"):
        adopt_store(work)


def test_pictures_that_are_not_in_the_store_are_counted_before_training(tmp_path):
    seen(tmp_path / "stages/features-regions/store")
    work = Work(tmp_path, tmp_path, None, "regions")
    records = {split: [SimpleNamespace(image_id=number) for number in ids] for split, ids in
               {"train": (0, 1, 7, 8, 8), "val": (2,), "test": (9,)}.items()}  # fmt: skip

    with pytest.raises(DataMissing, match=r"3 pictures.*2 of train, 1 of test are missing, for instance 7"):
        _open_store(work, "regions", records)
    assert len(_open_store(work, "regions", {"val": records["val"]})) == 3


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """A store that an untrained run's networks filled."""
    folder = tmp_path_factory.mktemp("extracted")
    eyes = open_eyes("regions", untrained_run(folder / "run"), device="cpu", changes={"selection.maximum": 5})
    extract_pictures(photos(folder / "pictures", [(40, 30), (30, 40)]), folder / "store", eyes, show=False)
    return folder


def test_who_filled_a_store_looks_again_and_sees_the_same(extracted):
    store, eyes = FeatureStore.open(extracted / "store"), eyes_of_store(extracted / "store", device="cpu")
    config = override(preset("tiny"), encoders="regions", stores=f"regions={extracted / 'store'}")
    save_config(config, extracted / "mine/config.json")

    again = FinishedRun(extracted / "mine").see(load_image(extracted / "pictures/00.png"))

    assert eyes.fingerprint == store.fingerprint
    assert again.count == store["00"].count <= 5
    torch.testing.assert_close(again.features.half(), store["00"].features.half(), atol=1e-3, rtol=1e-2)
    assert FinishedRun(extracted / "mine").names()[0] == list(OBJECTS)


def test_eyes_that_have_changed_are_refused(extracted, tmp_path):
    weights = extracted / "run/stages/detector/model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-4] + bytes([before[-4] ^ 1]) + before[-3:])

    try:
        with pytest.raises(DataInvalid, match="any more: its networks or settings have changed"):
            eyes_of_store(extracted / "store", device="cpu")
    finally:
        weights.write_bytes(before)


def test_an_imported_store_has_no_eyes(tmp_path):
    with pytest.raises(DataMissing, match="does not say which networks filled it"):
        eyes_of_store(seen(tmp_path / "store"))


def test_the_command_keeps_where_the_store_lies_from_any_folder(tmp_path, monkeypatch, capsys):
    seen(tmp_path / "store")
    monkeypatch.chdir(tmp_path)

    main(["train", "features-regions", "--preset", "tiny", "--out", "run", "--set", "stores=regions=store",
          "--set", "world.train_images=2", "--set", "world.validation_images=1", "--set", "world.test_images=1",
          "--set", "world.crops=2"])  # fmt: skip

    assert load_config(tmp_path / "run/config.json").stores == (f"regions={tmp_path / 'store'}",)
    assert (tmp_path / "run/stages/features-regions/store").resolve() == tmp_path / "store"
