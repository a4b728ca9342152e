"""Pieces of stages that can be tried without a run."""

from types import SimpleNamespace

import pytest

from updown_lab.config import VqaConfig, override, preset
from updown_lab.datasets.vqa import QuestionRecord, write_vqa
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.pipeline.answer_lists import answers_to_learn, common_answers, with_more
from updown_lab.pipeline.sources import GENOME_IDS, PicturebookSource, RealSource, told_apart
from updown_lab.pipeline.work import _of_the_eyes
from updown_lab.text import AnswerVocabulary


def question(number, answer, image=1):
    return QuestionRecord(question_id=number, image_id=image, question="what is it", answers=(answer,) * 10,
                          answer=answer, answer_type="other", question_type="what is")  # fmt: skip


def test_questions_of_another_set_bring_no_answers_and_clash_with_nobody():
    asked = [question(3, "cat"), question(8, "dog")]
    more = [question(3, "dog"), question(4, "zebra"), question(8, "cat")]

    both = with_more(asked, more, AnswerVocabulary(["cat", "dog"]))

    assert both[:2] == asked
    assert [(record.question_id, record.answer) for record in both[2:]] == [(9, "dog"), (10, "cat")]
    assert with_more(asked, [], AnswerVocabulary(["cat"])) == asked


def test_answers_come_from_the_training_questions_or_from_a_file(tmp_path):
    asked = [question(n, answer) for n, answer in enumerate(["cat", "cat", "dog"])]
    (tmp_path / "list.json").write_text('["dog", "gnu"]')
    (tmp_path / "numbers.json").write_text('{"gnu": 1, "dog": 0}')

    assert answers_to_learn(asked, VqaConfig(answer_minimum_count=2)).answers == ["cat"]
    for name in ("list", "numbers"):
        assert answers_to_learn(asked, VqaConfig(answers=str(tmp_path / f"{name}.json"))).answers == ["dog", "gnu"]


def test_nothing_to_learn_is_said_before_training_begins(tmp_path):
    asked = [question(1, "cat"), question(2, "cat"), question(3, "dog")]
    (tmp_path / "list.json").write_text('["gnu"]')

    with pytest.raises(DataInvalid, match=r"an answer of 9 training questions.*of 3, 'cat', has 2"):
        answers_to_learn(asked, VqaConfig())
    with pytest.raises(DataInvalid, match=r"an answer of .*list\.json; the commonest of 3, 'cat', has 2"):
        answers_to_learn(asked, VqaConfig(answers=str(tmp_path / "list.json")))
    with pytest.raises(DataInvalid, match="there is none"):
        answers_to_learn([], VqaConfig())


def test_the_published_rule_counts_answers_after_normalising_them():
    """By hand: "none" and "0" are one answer of two questions; the article of "a dog" goes."""
    asked = [question(n, answer) for n, answer in enumerate(["none", "0", "a dog", "dog", "cat"])]

    assert common_answers(asked, least=2).answers == ["0", "dog"]


def test_only_visual_genomes_training_questions_are_added():
    source = RealSource.__new__(RealSource)
    source.__dict__["_questions"] = {"train": [question(1, "a", 7), question(2, "b", GENOME_IDS + 7)],
                                     "test": [question(3, "c", GENOME_IDS + 8)]}  # fmt: skip

    assert [record.question_id for record in source.genome_questions()] == [2]


def test_questions_of_several_collections_keep_the_ids_that_others_know_them_by():
    """By hand: 5 comes twice, so both get numbers above the largest."""
    asked = [question(5, "a"), question(9, "b"), question(5, "c")]

    assert [(record.question_id, record.answer) for record in told_apart(asked)] == [(10, "a"), (9, "b"), (11, "c")]


def test_a_folder_of_vqa_questions_alone_is_enough_for_those_who_never_look(tmp_path):
    (tmp_path / "vqa2").mkdir()
    write_vqa([question(7, "cat")], tmp_path / "vqa2/questions_test.json", tmp_path / "vqa2/annotations_test.json")

    source = RealSource(tmp_path, 8)

    assert [record.question_id for record in source.questions("test")] == [7]
    assert source.question_files("test") == (tmp_path / "vqa2/questions_test.json",
                                             tmp_path / "vqa2/annotations_test.json")  # fmt: skip
    assert source.question_files("val") is None
    for read in (lambda: source.captions("test"), lambda: source.detection("test")):
        with pytest.raises(DataMissing, match="--data names a folder with vg_core, vg_vocab and coco_core"):
            read()
    with pytest.raises(DataMissing, match="no folder"):
        RealSource(tmp_path / "gone", 8)


def test_the_generated_world_has_no_second_set_of_questions(tmp_path):
    with pytest.raises(ConfigError, match="one kind of questions only"):
        PicturebookSource(tmp_path).genome_questions()


def test_world_and_detector_take_the_seed_of_the_eyes():
    tiny = override(preset("tiny"), seed=5)

    assert _of_the_eyes(SimpleNamespace(config=tiny)).seed == 5
    assert _of_the_eyes(SimpleNamespace(config=override(tiny, eyes_seed=2))).seed == 2
