"""VQA accuracy: ten annotators, left out one at a time."""

from types import SimpleNamespace as Record

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reference.vqa_evaluation import evaluate
from updown_lab.errors import DataInvalid
from updown_lab.metrics.vqa import _CONTRACTIONS, answer_accuracy, normalise_answer, quirks, vqa_accuracy


def question(number, answers, answer_type="other", question_type="what"):
    return Record(question_id=number, answers=tuple(answers), answer_type=answer_type, question_type=question_type)


@given(st.lists(st.sampled_from(["red", "blue", "green"]), min_size=2, max_size=10), st.sampled_from(["red", "pink"]))
def test_accuracy_equals_leaving_out_each_annotator_in_turn(given_answers, answer):
    turns = [given_answers[:left] + given_answers[left + 1 :] for left in range(len(given_answers))]
    expected = sum(min(others.count(answer) / 3, 1) for others in turns) / len(turns)

    assert answer_accuracy(answer, given_answers) == pytest.approx(expected, abs=1e-12)


def test_unanimous_annotators_switch_normalisation_off():
    assert answer_accuracy("Yes.", ["yes"] * 10) == 0.0  # a quirk of the official code, kept
    assert answer_accuracy("Yes.", ["yes"] * 9 + ["no"]) == 1.0
    assert answer_accuracy(" yes\n", ["yes"] * 10) == 1.0


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("a", ""),
        ("N/A", "n"),  # a blank for the slash, then "a" is an article
        ("none", "0"),
        ("T-shirt", "t shirt"),
        ("red- white", "red white"),  # beside a blank, the mark vanishes
        ("red-white - blue", "redwhite blue"),  # ... everywhere, also where it stood between letters
        ("1,000-2", "10002"),  # a thousands comma does that for all marks
        ("1.5.", "1.5"),
        ("." * 40, "." * 8),  # only 32 full stops go
        ("10:30", "10:30"),
        ("what's", "what's"),
        ("whats", "what's"),
        ("hadnt've", "hadn't've"),
        ("somebody'd", "somebodyd"),
        ("shes", "shes"),  # not in the official table
        ("two\tdogs", "2 dogs"),
    ],
)
def test_normalisation_keeps_the_official_quirks(typed, normal):
    assert normalise_answer(typed) == normal


def test_every_contraction_leads_to_a_form_that_stays():
    assert len(_CONTRACTIONS) == 114  # the official table without its capitals and its identities, which never act
    assert all(word not in _CONTRACTIONS for word in _CONTRACTIONS.values())


def test_scores_are_grouped_and_keep_their_question():
    records = [
        question(30, ["yes"] * 10, "yes/no", "is the"),
        question(10, ["2"] * 2 + ["3"] * 8, "number", "how many"),
        question(20, ["red"] * 3 + ["blue"] * 7, "other", "what"),
        question(40, ["a cat"] * 5 + ["dog"] * 5, "other", "what"),
    ]

    scores = vqa_accuracy({10: "two", 20: "Red", 30: "no", 40: "the cat"}, records)

    assert scores.per_question["question_id"].tolist() == [30, 10, 20, 40]
    assert scores.per_question["score"].tolist() == pytest.approx([0, 60, 90, 100])
    assert scores.by_answer_type == pytest.approx({"yes/no": 0, "number": 60, "other": 95})
    assert scores.by_question_type == pytest.approx({"is the": 0, "how many": 60, "what": 95})
    assert scores.overall == pytest.approx(62.5)


@pytest.mark.parametrize(
    ("predictions", "records", "message"),
    [
        ({}, [question(1, ["a"] * 10)], r"1 questions have no answer \(first: \[1\]"),
        ({1: "a", 2: "b"}, [question(1, ["a"] * 10)], r"1 answers belong to no question \(first: \[2\]"),
        ({1: "a"}, [question(1, ["a"]), question(1, ["a"])], "each question once"),
        ({}, [], "each question once"),
        ({1: "a"}, [question(1, [])], "no annotator answers"),
        ({1: None}, [question(1, ["a"] * 10)], "answer to question 1 must be a text, got None"),
        ({1: 3}, [question(1, ["a"] * 10)], "answer to question 1 must be a text, got 3"),
        ({1: float("nan")}, [question(1, ["a"] * 10)], "answer to question 1 must be a text, got nan"),
        ({"1": "a"}, [question(1, ["a"] * 10)], r"first: \[1\]\), 1 answers belong to no question \(first: \['1'\]"),
        ({"1": "a", 2: "a"}, [question(1, ["a"] * 10)], r"2 answers belong to no question \(first: \[2, '1'\]"),
    ],
)
def test_questions_and_answers_must_agree(predictions, records, message):
    with pytest.raises(DataInvalid, match=message):
        vqa_accuracy(predictions, records)


@pytest.mark.parametrize(
    ("typed", "strict", "mended"),
    [
        ("A", "", "a"),
        ("N/A", "n", "n"),
        ("red-white - blue", "redwhite blue", "red white blue"),
        ("1,000-2", "10002", "1000 2"),
        ("." * 40, "." * 8, ""),
        ("1.5.", "1.5", "1.5"),
        ("none", "0", "none"),
        ("the 2 Dogs", "2 dogs", "2 dogs"),
    ],
)
def test_mended_normalisation_differs_only_in_the_quirks(typed, strict, mended):
    assert (normalise_answer(typed), normalise_answer(typed, strict=False)) == (strict, mended)


def test_without_quirks_unanimous_people_are_understood_too():
    assert answer_accuracy("Yes.", ["yes"] * 10, strict=False) == 1.0
    assert quirks({1: "Yes."}, [question(1, ["yes"] * 10)])["mended"].tolist() == [100.0]
    assert quirks({1: "no"}, [question(1, ["yes"] * 10)]).empty


ODD = st.text(alphabet="ab no1,.'-\n\t", max_size=8)


@given(st.lists(ODD, min_size=2, max_size=10), ODD)
def test_blanks_around_answers_count_as_in_the_official_evaluation(given_answers, answer):
    record = Record(question_id=1, answer_type="other", question_type="what", answers=tuple(given_answers))

    official = evaluate({1: answer}, [record])[0]

    assert 100 * answer_accuracy(answer, given_answers) == pytest.approx(official)


def test_people_who_differ_in_blanks_only_agree():
    assert answer_accuracy("Yes.", ["yes", "yes ", "yes\n"] * 3) == 0.0  # so the raw text counts
