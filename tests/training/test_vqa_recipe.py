"""What a VQA model starts from and what a step is made of, by hand."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from updown_lab.config import override, preset
from updown_lab.datasets.vqa import QuestionRecord
from updown_lab.regions import Regions
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.writer import write_features
from updown_lab.text import UNKNOWN, AnswerVocabulary, Vocabulary
from updown_lab.training.answering import Questions, balanced_pairs, new_vqa, pictures_of_answers, question_groups

ANSWERS = AnswerVocabulary(["fire truck", "yes", "gnu"])
SEEN = {1: [[4.0, 0.0], [2.0, 2.0]], 2: [[1.0, 5.0]], 3: [[2.0, 3.0]]}  # means (3, 1), (1, 5), (2, 3); of all (2, 3)


def record(number, image, answer, question="is it red", given=None):
    return QuestionRecord(number, image, question, "other", "is it", answer, tuple(given or (answer,) * 10))


RECORDS = [record(1, 1, "yes"), record(2, 1, "fire truck"), record(3, 2, "fire truck"), record(4, 3, "blue")]


@pytest.fixture
def store(tmp_path):
    def encode(images):
        found = [torch.tensor(SEEN[image]) for image in images]
        return [Regions(features, torch.zeros(len(features), 4), (8, 8), "toy") for features in found]

    items = [(image, lambda image=image: image) for image in SEEN]
    write_features(encode, items, tmp_path / "store", 2, dtype="float32", training_ids=SEEN, progress=False)
    return FeatureStore.open(tmp_path / "store")


@pytest.fixture
def glove(tmp_path):
    (tmp_path / "glove.txt").write_text("red 1 2 3\nfire 4 0 0\ntruck 0 2 0\nyes 1 1 1\n")
    return str(tmp_path / "glove.txt")


WORDS = Vocabulary(["is", "red"])


def questions(records=RECORDS, store=None, maximum_words=14, targets="soft"):
    return Questions(records, store, WORDS, ANSWERS, maximum_words, "cpu", targets)


def settings(**changes):
    small = {"hidden_size": 6, "embedding_size": 3, "classifier": "two-stream", "standardise": False} | changes
    return override(preset("tiny"), **{f"vqa.{name}": value for name, value in small.items()})


def test_words_of_questions_and_answers_start_from_the_vectors_of_the_file(store, glove):
    """By hand: "fire truck" is the mean of (4, 0, 0) and (0, 2, 0); "is", "<unknown>" and "gnu" have no vector."""
    model = new_vqa(questions(store=store), WORDS, settings(word_vectors=glove))

    rows = model.embedding.weight.tolist()
    assert rows[4:] == [[0, 0, 0], [1, 2, 3]] and rows[UNKNOWN] == [0, 0, 0]
    assert model.classifier.text.weight.tolist() == [[2, 1, 0], [1, 1, 1], [0, 0, 0]]


def test_the_answers_of_a_single_classifier_have_no_vectors(store, glove):
    model = new_vqa(questions(store=store), WORDS, settings(word_vectors=glove, classifier="single"))

    assert model.embedding.weight[5].tolist() == [1, 2, 3] and model.classifier.answer.weight.shape == (3, 6)


def test_words_are_as_wide_as_their_vectors_if_nobody_says_how_wide(store, glove):
    model = new_vqa(questions(store=store), WORDS, settings(word_vectors=glove, embedding_size=0))

    assert model.embedding.weight.shape == (6, 3) and model.cfg.embedding_size == 3


def test_one_setting_is_enough_for_glove_from_pypi(store, monkeypatch):
    """Whatever the preset's width: the package has 50 numbers a word."""
    monkeypatch.setattr("updown_lab.training.answering.word_vectors", lambda source, words: (torch.ones(6, 50), 6))
    monkeypatch.setattr("updown_lab.training.answering.answer_vectors", lambda source, answers: torch.ones(3, 50))

    cfg = settings()
    cfg = replace(cfg, vqa=replace(cfg.vqa, word_vectors="pypi"))  # ``override`` would ask for the package
    model = new_vqa(questions(store=store), WORDS, cfg)

    assert model.cfg.embedding_size == 50 and model.classifier.text.weight.shape == (3, 50)


def test_pictures_of_answers_are_what_their_photos_have_beside_all_others(store):
    """By hand: "fire truck" is right for photos 1 and 2, (3, 1) and (1, 5): mean (2, 3), as of all photos, so zero.
    "yes" for photo 1 alone: (3, 1) - (2, 3) = (1, -2), of length 1 (1, -2) / sqrt(5). Nobody said "gnu"."""
    pictures = pictures_of_answers(questions(store=store))
    model = new_vqa(questions(store=store), WORDS, settings())

    expected = torch.tensor([[0.0, 0.0], [1.0, -2.0], [0.0, 0.0]]) / 5**0.5
    torch.testing.assert_close(pictures, expected)
    torch.testing.assert_close(model.classifier.image.weight.detach(), expected)


def test_photos_count_by_how_right_the_answer_is(store):
    """By hand: "yes" scores 1 for photo 1 and 1/3 for photo 2: (3 * (3, 1) + (1, 5)) / 4 - (2, 3) of both photos."""
    asked = [record(1, 1, "yes"), record(2, 2, "no", given=["yes"] + ["no"] * 9)]

    wanted = torch.tensor([2.5, 2.0]) - torch.tensor([2.0, 3.0])

    torch.testing.assert_close(pictures_of_answers(questions(asked, store))[1], wanted / wanted.norm())


def test_the_picture_stream_may_start_from_chance(store):
    model = new_vqa(questions(store=store), WORDS, settings(answer_pictures=False))

    assert (model.classifier.image.weight.abs() > 0).all()


def test_long_questions_are_cut(store):
    asked = questions([record(1, 1, "yes", "is red is red red")], store, maximum_words=3)

    assert asked.batch([0])[1].tolist() == [[4, 5, 4]]


def test_hard_targets_are_one_for_the_commonest_answer_and_soft_ones_for_all(store):
    said = [
        record(1, 1, "yes", given=["yes"] * 8 + ["fire truck"] * 2),
        record(2, 1, "blue", given=["blue"] * 9 + ["yes"]),
    ]

    assert questions(said, targets="hard").targets([0, 1]).tolist() == [[0, 1, 0], [0, 0, 0]]
    torch.testing.assert_close(questions(said).targets([0, 1]), torch.tensor([[2 / 3, 1, 0], [0, 1 / 3, 0]]))


ASKED = [record(1, 1, "yes"), record(2, 1, "gnu"), record(3, 2, "yes"), record(4, 3, "gnu"), record(5, 4, "no", "what")]


def test_a_step_is_made_of_what_the_settings_say():
    """By hand: 1 and 2 ask about one photo, 1 and 3 have one answer, so 1 waits for 4, and 2 goes with 3."""
    sets = questions(ASKED)

    def groups(**changes):
        return question_groups(
            sets, override(settings(group_by_image=False, **changes), **{"vqa_training.batch_size": 5})
        )

    assert groups(pairs=True) == ([[1, 2], [0, 3], [4]], 3)
    assert groups() == ([[0], [1], [2], [3], [4]], 5)
    assert question_groups(sets, settings(group_by_image=True))[0] == [[0, 1], [2], [3], [4]]


def slow_pairs(records):
    """Each question goes with the first one before it that waits and differs in photo and answer."""
    waiting, pairs = [], []
    for row, new in enumerate(records):
        for other in waiting:
            old = records[other]
            if old.question == new.question and old.answer != new.answer and old.image_id != new.image_id:
                waiting.remove(other)
                pairs.append([other, row])
                break
        else:
            waiting.append(row)
    return pairs + [[row] for row in waiting]


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc"), st.sampled_from("xy")), max_size=30))
def test_pairs_are_those_of_the_slow_method(asked):
    records = [record(number, image, answer, question) for number, (image, answer, question) in enumerate(asked)]

    assert balanced_pairs(records) == slow_pairs(records)
