"""The small world of the notebooks."""

import dataclasses

import pytest
import torch

from updown_lab.config import override, preset
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.pipeline.lessons import hard_questions, open_lesson

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


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """So many pictures that a question has a partner with another answer."""
    more = {"world.train_images": 40, "world.test_images": 20, "world.questions_per_image": 60}
    return open_lesson(override(preset("lesson"), **FEW | more), tmp_path_factory.mktemp("larger"))


def true_boxes(lesson, record, word: str) -> list[list[float]]:
    """Boxes of the things that a word of a question means, in its picture."""
    shown = next(one for one in lesson.source.detection("train") if one.image_id == record.image_id)
    kind = lesson.source.nouns[word]
    return [box for c, box in zip(shown.classes.tolist(), shown.boxes.tolist(), strict=True) if lesson.names[c] == kind]


def test_questions_about_two_things_are_true_of_their_pictures(larger):
    asked = hard_questions(larger, "train", 60)
    left = [record for record in asked if record.question_type == "left of"]

    assert {record.question_type for record in asked} == {"left of", "holds", "more"} and len(left) >= 10
    for record in left:
        first, second = record.question.removeprefix("is the ").removesuffix(" ?").split(" left of the ")
        (one,), (other,) = (true_boxes(larger, record, word) for word in (first, second))
        assert record.answer == ("yes" if one[2] < other[0] else "no")


def test_two_thing_questions_agree_with_those_that_the_world_came_with(larger):
    given = {(r.image_id, r.question): r.answer for r in larger.source.questions("hard")}
    asked = {(r.image_id, r.question): r.answer for r in hard_questions(larger, "test", 200)}
    both = given.keys() & asked.keys()

    assert len(both) >= 10 and all(given[one] == asked[one] for one in both)


def test_two_thing_questions_come_in_balanced_pairs_and_again(larger):
    asked = hard_questions(larger, "train", 60)

    assert asked == hard_questions(larger, "train", 60) != hard_questions(larger, "train", 60, seed=2)
    assert all(a.question == b.question and a.answer != b.answer for a, b in zip(asked[::2], asked[1::2], strict=True))
    assert {record.image_id for record in asked} <= {record.image_id for record in larger.source.captions("train")}


def test_two_thing_questions_need_the_drawn_world(lesson):
    with pytest.raises(ConfigError, match="drawn world"):
        hard_questions(dataclasses.replace(lesson, source=object()), "train", 6)
