"""The small world of the notebooks."""

import pytest
import torch

from updown_lab.config import override, preset
from updown_lab.errors import DataMissing
from updown_lab.pipeline.lessons import open_lesson

FEW = {"world.train_images": 6, "world.validation_images": 2, "world.test_images": 3, "world.questions_per_image": 4}


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    return open_lesson(override(preset("lesson"), **FEW), tmp_path_factory.mktemp("lessons"))


def test_every_picture_is_seen_in_the_place_of_its_truth(lesson):
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        assert len(lesson.captions(split)) == count
        for record in lesson.source.detection(split):
            regions = lesson.store[record.image_id]
            torch.testing.assert_close(regions.boxes, record.boxes)
            assert regions.features[:, : len(lesson.names)].argmax(1).tolist() == record.classes.tolist()
            assert lesson.picture(record.image_id).shape == (3, record.height, record.width)


def test_opening_it_again_draws_nothing(lesson):
    before = {file: file.stat().st_mtime_ns for file in lesson.folder.rglob("*") if file.is_file()}

    again = open_lesson(lesson.cfg, lesson.folder)

    assert {file: file.stat().st_mtime_ns for file in again.folder.rglob("*") if file.is_file()} == before


def test_a_drawing_that_was_interrupted_is_finished(tmp_path):
    cfg = override(preset("lesson"), **FEW)
    (open_lesson(cfg, tmp_path).store.path / "manifest.json").unlink()

    assert len(open_lesson(cfg, tmp_path).store) == 11


def test_another_world_gets_another_place_and_so_do_other_trainings(lesson):
    other = override(lesson.cfg, **{"vqa_training.steps": 7})

    assert open_lesson(other, lesson.folder).store.path == lesson.store.path, "the same world"
    assert open_lesson(other, lesson.folder).place("vqa") != lesson.place("vqa")


def test_a_model_that_only_reads_is_given_no_regions(lesson):
    regions, words, owners, targets = lesson.questions("test", sees=False).batch([0, 1])

    assert regions.mask.shape[1] == 0 and len(words) == len(owners) == len(targets) == 2
    assert lesson.questions("test").batch([0])[0].features.shape[2] == lesson.store.feature_dim


def test_real_data_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataMissing, match="nowhere"):
        open_lesson(override(preset("paper"), data=str(tmp_path / "nowhere")), tmp_path)
