"""Hand-made question files: what is read, what is written back, and what every error says."""

import gzip
import json
from collections import Counter
from itertools import product

import pytest

from updown_lab.datasets.vqa import (
    QuestionRecord,
    answer_type_of,
    read_aokvqa,
    read_cocoqa,
    read_okvqa,
    read_visual_genome_questions,
    read_vqa,
    soft_to_answers,
    write_vqa,
)
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.text import AnswerVocabulary


@pytest.fixture
def write(tmp_path):
    def write_json(value, name="file.json"):
        path = tmp_path / name
        path.write_text(json.dumps(value))
        return path

    return write_json


def asked(question_id=9001, **changes):
    return {"question_id": question_id, "image_id": 9, "question": "Is it red?", **changes}


def annotated(question_id=9001, **changes):
    given = [{"answer_id": i + 1, "answer": "yes" if i else "no", "answer_confidence": "maybe"} for i in range(10)]
    whole = {"question_id": question_id, "image_id": 9, "question_type": "is it", "answer_type": "yes/no"}
    return {**whole, "multiple_choice_answer": "yes", "answers": given, **changes}


@pytest.fixture
def read_both(write):
    def read(questions, annotations):
        return read_vqa(write({"questions": questions}, "q.json"), write({"annotations": annotations}, "a.json"))

    return read


def test_questions_and_answers_are_joined_by_number_in_the_order_of_the_questions(read_both):
    second = annotated(9002, question_type="how many", answer_type="number", multiple_choice_answer="2")

    first, other = read_both([asked(9002), asked(9001)], [annotated(9001), second])

    answers = ("no", *["yes"] * 9)
    assert first == QuestionRecord(9002, 9, "Is it red?", "number", "how many", "2", answers)
    assert other == QuestionRecord(9001, 9, "Is it red?", "yes/no", "is it", "yes", answers)


def test_without_annotations_answers_are_empty_and_gzip_is_read(tmp_path):
    path = tmp_path / "questions.gzip"
    path.write_bytes(gzip.compress(json.dumps({"questions": [asked()]}).encode()))

    assert read_vqa(path) == [QuestionRecord(9001, 9, "Is it red?", "", "", "", ())]


def test_an_annotation_without_an_agreed_answer_takes_the_most_frequent(read_both):
    annotation = {name: value for name, value in annotated().items() if name != "multiple_choice_answer"}

    assert read_both([asked()], [annotation])[0].answer == "yes"  # 9 of 10


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([annotated(7)], "question 7: "),
        ([annotated(), annotated()], "question 9001 is annotated twice"),
        ([], "no annotation for 1 of 1 questions"),
        ([annotated(image_id=8)], "question 9001: it is about image 8 here, about 9 in the questions file"),
        ([annotated(answers=[])], "question 9001: 'answers' should list objects"),
        ([annotated(answers=["yes"])], "question 9001: 'answers' should list objects"),
        ([annotated(answers=[{"answer": 2}])], "question 9001: 'answer' should be of type str, got 2"),
        ([annotated(answer_type=None)], "question 9001: 'answer_type' should be of type str"),
        ([{"image_id": 9}], "annotation entry 1: no field 'question_id'"),
    ],
)
def test_annotation_errors_name_file_and_question(read_both, annotations, message):
    with pytest.raises(DataInvalid) as caught:
        read_both([asked()], annotations)

    assert "a.json" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([asked(), asked()], "question 9001 is asked twice"),
        ([asked(), asked(2, image_id="9")], "question entry 2: 'image_id' should be of type int"),
        ([asked(question=None)], "question entry 1: 'question' should be of type str"),
    ],
)
def test_question_errors_name_file_and_entry(write, questions, message):
    with pytest.raises(DataInvalid, match=message):
        read_vqa(write({"questions": questions}))


def test_what_is_written_has_the_official_layout_and_is_read_back(tmp_path):
    records = [QuestionRecord(i, 9, "How many?", "number", "how many", "2", ("2",) * 9 + ("3",)) for i in (9001, 9002)]
    paths = tmp_path / "q.json", tmp_path / "a.json"

    write_vqa(records, *paths)

    questions, annotations = (json.loads(path.read_text()) for path in paths)
    official = {"info", "task_type", "data_type", "data_subtype", "license", "questions"}
    assert set(questions) == official
    assert set(annotations) == official - {"task_type", "questions"} | {"annotations"}
    assert set(annotations["annotations"][0]) == set(annotated())
    assert [answer["answer_id"] for answer in annotations["annotations"][0]["answers"]] == list(range(1, 11))
    assert read_vqa(*paths) == records


def test_records_without_answers_are_written_as_questions_only(tmp_path):
    record = QuestionRecord(9001, 9, "How many?", "", "", "", ())

    with pytest.raises(ValueError, match="question 9001 has no answers"):
        write_vqa([record], tmp_path / "q.json", tmp_path / "a.json")
    assert not list(tmp_path.iterdir())
    write_vqa([record], tmp_path / "q.json")
    assert read_vqa(tmp_path / "q.json") == [record]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("no", "yes/no"),
        ("0", "number"),
        ("2.5", "number"),
        ("Forty", "number"),
        ("fourteen", "number"),
        ("eighty", "number"),
        ("none", "other"),
        ("2 dogs", "other"),
        ("tenteen", "other"),
        ("", "other"),
    ],
)
def test_answer_types_are_told_by_the_answer(answer, expected):
    assert answer_type_of(answer) == expected


def test_visual_genome_answers_lose_capital_and_full_stop(write):
    pairs = [{"qa_id": 5, "image_id": 2, "question": "Where?", "answer": "An office. "}]
    pairs.append({"qa_id": 6, "image_id": 2, "question": "How many?", "answer": "Two."})

    first, second = read_visual_genome_questions(write([{"id": 1, "qas": []}, {"id": 2, "qas": pairs}]))

    assert first == QuestionRecord(5, 2, "Where?", "other", "", "an office", ("an office",) * 10)
    assert (second.question_id, second.answer, second.answer_type) == (6, "two", "number")


def test_cocoqa_keeps_its_type_as_question_type(write):
    [record] = read_cocoqa(write([asked(answer="brown", type="color")]))

    assert record == QuestionRecord(9001, 9, "Is it red?", "other", "color", "brown", ("brown",) * 10)


def test_aokvqa_ids_do_not_depend_on_the_subset(write):
    both = [asked(name, direct_answers=["a", "b", "b"]) for name in ("2C8r", "9xYz")]

    first, second = read_aokvqa(write(both))
    [alone] = read_aokvqa(write(both[1:]))

    assert first.question_id != second.question_id == alone.question_id < 2**48
    assert (first.answer, first.answers) == ("b", ("a", "b", "b"))


def test_an_aokvqa_test_set_has_no_answers(write):
    [record] = read_aokvqa(write([asked("2C8r")]))

    assert (record.answer, record.answers, record.answer_type) == ("", (), "")


def test_okvqa_finds_the_photo_in_either_field(write):
    entry = {"sent": "Who?", "question_id": 95, "label": {"artist": 1}}
    named = {**entry, "question_id": 96, "img_id": "COCO_val2014_000000011511"}

    first, second = read_okvqa(write([{**entry, "image_id": 9}, named]))

    assert (first.image_id, second.image_id) == (9, 11511)
    assert first == QuestionRecord(95, 9, "Who?", "other", "", "artist", ("artist",) * 10)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"a": 1, "b": 0.667, "c": 0.667, "d": 0.667}, {"a": 4, "b": 2, "c": 2, "d": 2}),  # 10 - 3 * 2
        ({"a": 1, "b": 1, "c": 0.667}, {"a": 4, "b": 4, "c": 2}),
        ({"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),
        ({"a": 1}, {"a": 10}),
        ({"a": 0.667, "b": 0.333}, {"a": 2, "b": 1}),  # nobody to give the other seven to
        ({"a": 1, "b": 0.9, "c": 0.6, "d": 0.3}, {"a": 4, "b": 3, "c": 2, "d": 1}),  # the leave-one-out scores
        ({}, {}),
    ],
)
def test_soft_scores_become_the_answers_they_came_from(scores, expected):
    assert Counter(soft_to_answers(scores)) == expected


COMPOSITIONS_OF_FIVE = [c for size in range(1, 6) for c in product(range(1, 6), repeat=size) if sum(c) == 5]


@pytest.mark.parametrize("people", COMPOSITIONS_OF_FIVE)
def test_turning_answers_into_scores_and_back_keeps_every_score(people):
    """Five people, each counted twice, as in OK-VQA: scoring the result again gives the same soft scores."""
    answers = [str(number) for number, times in enumerate(people) for _ in range(2 * times)]
    vocabulary = AnswerVocabulary(str(number) for number in range(len(people)))
    scores = {vocabulary.answers[number]: score for number, score in vocabulary.soft_scores(answers).items()}

    back = soft_to_answers({answer: round(score, 3) for answer, score in scores.items()})

    assert len(back) == 10
    assert vocabulary.soft_scores(back) == vocabulary.soft_scores(answers)
    if sum(times > 1 for times in people) < 2:
        assert Counter(back) == Counter(answers)


@pytest.mark.parametrize(
    ("read", "entry", "message"),
    [
        (read_visual_genome_questions, {"id": 2}, "no field 'qas'"),
        (read_visual_genome_questions, {"id": 2, "qas": [3]}, "pair 1: expected an object"),
        (read_visual_genome_questions, {"id": 2, "qas": [{"qa_id": 5}]}, "pair 1: no field 'image_id'"),
        (read_cocoqa, asked(answer=2, type="number"), "'answer' should be of type str, got 2"),
        (read_aokvqa, asked(12), "'question_id' should be of type str, got 12"),
        (read_aokvqa, asked("a", direct_answers=[1]), "'direct_answers' should list texts"),
        (read_okvqa, {"sent": "Who?", "question_id": 95, "label": {}}, "'image_id' should be of type int"),
        (
            read_okvqa,
            {"sent": "Who?", "question_id": 95, "image_id": 9, "label": {"a": 2}},
            "the score of 'a' should be",
        ),
    ],
)
def test_errors_of_the_other_collections_name_file_and_entry(write, read, entry, message):
    path = write([entry])

    with pytest.raises(DataInvalid) as caught:
        read(path)

    assert str(caught.value).startswith(f"{path}, entry 1")
    assert message in str(caught.value)


def test_a_question_listed_twice_is_refused_in_every_collection(write):
    with pytest.raises(DataInvalid, match="entry 2: question 9001 is listed twice"):
        read_cocoqa(write([asked(answer="a", type="object")] * 2))


@pytest.mark.parametrize("read", [read_vqa, read_visual_genome_questions, read_cocoqa, read_aokvqa, read_okvqa])
def test_a_missing_question_file_is_named(tmp_path, read):
    with pytest.raises(DataMissing, match=r"none\.json; data/README\.md"):
        read(tmp_path / "none.json")
