"""Readers of questions about photos: VQA v2 and, in the same shape, four other collections.

Every reader gives ``QuestionRecord``s. Answers are left as the files write them (Visual Genome's lose their capital
and full stop); the official normalisation of answers belongs to the metric.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from sys import intern

from updown_lab.datasets.json_stream import need, stream_records
from updown_lab.errors import DataInvalid
from updown_lab.files import write_json

ANNOTATORS = 10
_NUMBER = re.compile(
    r"\d+(\.\d+)?|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred"
    r"|(thir|four|fif|six|seven|eigh|nine)teen|(twen|thir|for|fif|six|seven|eigh|nine)ty"
)


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """One question about one photo.

    Attributes:
        question_id:   unique within its collection.
        image_id:      COCO's number of the photo (Visual Genome's own for ``read_visual_genome_questions``).
        question:      as it was asked.
        answer_type:   "yes/no", "number" or "other"; "" if nobody answered.
        question_type: VQA's first words ("what color is the"), COCO-QA's type ("color"), else "".
        answer:        the one agreed on; "" if nobody answered.
        answers:       what the annotators said, usually ten; none in a test set.
    """

    question_id: int
    image_id: int
    question: str
    answer_type: str
    question_type: str
    answer: str
    answers: tuple[str, ...]


def answer_type_of(answer: str) -> str:
    """VQA's three kinds of answer, for collections that do not name them.

    >>> [answer_type_of(answer) for answer in ("Yes", "12", "two", "two dogs")]
    ['yes/no', 'number', 'number', 'other']
    """
    answer = answer.strip().lower()
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if _NUMBER.fullmatch(answer) else "other"


def read_vqa(questions_path: Path | str, annotations_path: Path | str | None = None) -> list[QuestionRecord]:
    """Read VQA v2: questions in one file, ten answers to each in another, joined by ``question_id``.

    Args:
        questions_path:   ``v2_OpenEnded_mscoco_*_questions.json``, plain or gzipped.
        annotations_path: ``v2_mscoco_*_annotations.json``, or None for a test set: answers are then empty.

    Returns:
        One record a question, in the order of the questions file. An annotation without
        ``multiple_choice_answer`` gets the most frequent of its answers.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a missing or wrong field, a question asked or answered twice or not at all, or two files that
            disagree about the photo; the message names file and question.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> record = QuestionRecord(9001, 9, "Is it red?", "yes/no", "is it", "yes", ("yes",) * 10)
    >>> write_vqa([record], folder / "questions.json", folder / "annotations.json")
    >>> read_vqa(folder / "questions.json", folder / "annotations.json") == [record]
    True
    """
    asked: dict[int, QuestionRecord] = {}
    for number, entry in enumerate(stream_records(questions_path, "questions"), 1):
        record = _unanswered(entry, f"{questions_path}, question entry {number}")
        if record.question_id in asked:
            raise DataInvalid(f"{questions_path}: question {record.question_id} is asked twice; keep one of them")
        asked[record.question_id] = record
    if annotations_path is None:
        return list(asked.values())
    answered: set[int] = set()
    for number, entry in enumerate(stream_records(annotations_path, "annotations"), 1):
        question_id = need(entry, "question_id", int, f"{annotations_path}, annotation entry {number}")
        place = f"{annotations_path}, question {question_id}"
        if question_id not in asked:
            raise DataInvalid(f"{place}: {questions_path} asks no such question; give two files of the same split")
        if question_id in answered:
            raise DataInvalid(f"{place} is annotated twice; keep one of the annotations")
        asked[question_id] = _annotated(asked[question_id], entry, place)
        answered.add(question_id)
    missing = asked.keys() - answered
    if missing:
        raise DataInvalid(
            f"{annotations_path} has no annotation for {len(missing)} of {len(asked)} questions of {questions_path}, "
            f"for instance question {min(missing)}; give two files of the same split"
        )
    return list(asked.values())


def _unanswered(entry: dict, place: str) -> QuestionRecord:
    question_id, image_id = need(entry, "question_id", int, place), need(entry, "image_id", int, place)
    return QuestionRecord(question_id, image_id, need(entry, "question", str, place), "", "", "", ())


def _annotated(asked: QuestionRecord, entry: dict, place: str) -> QuestionRecord:
    image_id = need(entry, "image_id", int, place)
    if image_id != asked.image_id:
        raise DataInvalid(f"{place}: it is about image {image_id} here, about {asked.image_id} in the questions file")
    answers = need(entry, "answers", list, place)
    if not answers or not all(isinstance(answer, dict) for answer in answers):
        raise DataInvalid(f"{place}: 'answers' should list objects with an 'answer', got {answers!r:.60}")
    given = tuple(intern(need(answer, "answer", str, place)) for answer in answers)  # few words, said millions of times
    agreed = need(entry, "multiple_choice_answer", str, place) if "multiple_choice_answer" in entry else _common(given)
    answer_type, question_type = need(entry, "answer_type", str, place), need(entry, "question_type", str, place)
    return replace(asked, answer_type=answer_type, question_type=question_type, answer=agreed, answers=given)


def _common(answers: Sequence[str]) -> str:
    return Counter(answers).most_common(1)[0][0] if answers else ""


def write_vqa(
    records: Iterable[QuestionRecord], questions_path: Path | str, annotations_path: Path | str | None = None
) -> None:
    """Write questions, and their answers, in the official layout of VQA v2, so that any VQA code can read them.

    Args:
        records:          the questions.
        questions_path:   where the questions go.
        annotations_path: where the answers go, or None to keep them back.

    Raises:
        ValueError: answers are to be written but a record has none.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "questions.json"
    >>> write_vqa([QuestionRecord(9001, 9, "Is it red?", "", "", "", ())], path)
    >>> read_vqa(path)[0].question
    'Is it red?'
    """
    records = list(records)
    annotations = [] if annotations_path is None else [_annotation(record) for record in records]
    questions = [
        {name: getattr(record, name) for name in ("question_id", "image_id", "question")} for record in records
    ]
    head = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": ""}
    write_json(questions_path, {**head, "task_type": "Open-Ended", "questions": questions})
    if annotations_path is not None:
        write_json(annotations_path, {**head, "annotations": annotations})


def _annotation(record: QuestionRecord) -> dict:
    if not record.answers:
        raise ValueError(f"question {record.question_id} has no answers to write; leave annotations_path out")
    answers = [
        {"answer_id": i, "answer": answer, "answer_confidence": "yes"} for i, answer in enumerate(record.answers, 1)
    ]
    same = {name: getattr(record, name) for name in ("question_id", "image_id", "question_type", "answer_type")}
    return {**same, "multiple_choice_answer": record.answer, "answers": answers}


def _collect(path: Path | str, convert: Callable[[dict, str], Iterable[QuestionRecord]]) -> list[QuestionRecord]:
    """Read a file that is one array; ``convert`` makes the records of an entry, given its place for messages."""
    records: dict[int, QuestionRecord] = {}
    for number, entry in enumerate(stream_records(path), 1):
        place = f"{path}, entry {number}"
        for record in convert(entry, place):
            if record.question_id in records:
                raise DataInvalid(f"{place}: question {record.question_id} is listed twice; keep one of them")
            records[record.question_id] = record
    return list(records.values())


def _answered(asked: QuestionRecord, answers: Sequence[str], question_type: str = "") -> QuestionRecord:
    answer = _common(answers)
    answer_type = answer_type_of(answer) if answers else ""
    return replace(asked, answer_type=answer_type, question_type=question_type, answer=answer, answers=tuple(answers))


def read_visual_genome_questions(path: Path | str) -> list[QuestionRecord]:
    """Read Visual Genome's ``question_answers.json``; its one answer stands for ten that agree.

    "An office." becomes "an office": VQA's annotators typed no capitals and no full stops.

    Args:
        path: the file, plain or gzipped.

    Returns:
        One record a question-answer pair. ``image_id`` and ``question_id`` are Visual Genome's, not COCO's.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a field is missing or wrong, or a pair is listed twice.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "question_answers.json"
    >>> pair = {"qa_id": 5, "image_id": 2, "question": "What color is the car?", "answer": "Red."}
    >>> _ = path.write_text(json.dumps([{"id": 2, "qas": [pair]}]))
    >>> read_visual_genome_questions(path)[0].answer
    'red'
    """

    def convert(image: dict, place: str):
        for number, pair in enumerate(need(image, "qas", list, place), 1):
            spot = f"{place}, pair {number}"
            if not isinstance(pair, dict):
                raise DataInvalid(f"{spot}: expected an object, got {pair!r:.60}")
            asked = _unanswered({**pair, "question_id": need(pair, "qa_id", int, spot)}, spot)
            yield _answered(asked, [need(pair, "answer", str, spot).strip().rstrip(".").lower()] * ANNOTATORS)

    return _collect(path, convert)


def read_cocoqa(path: Path | str) -> list[QuestionRecord]:
    """Read COCO-QA as a list of {question_id, image_id, question, answer, type}; one answer stands for ten.

    The questions were made from captions by a program, so their grammar is rough.

    Args:
        path: the file, plain or gzipped; ``type`` is object, number, color or location.

    Returns:
        One record a question; ``question_type`` is the file's ``type``.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a field is missing or wrong, or a question is listed twice.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cocoqa.json"
    >>> entry = {"question_id": 1, "image_id": 9, "question": "how many cats", "answer": "two", "type": "number"}
    >>> _ = path.write_text(json.dumps([entry]))
    >>> read_cocoqa(path)[0].answer_type
    'number'
    """

    def convert(entry: dict, place: str):
        answers = [need(entry, "answer", str, place)] * ANNOTATORS
        yield _answered(_unanswered(entry, place), answers, need(entry, "type", str, place))

    return _collect(path, convert)


def read_aokvqa(path: Path | str) -> list[QuestionRecord]:
    """Read A-OKVQA's ``aokvqa_v1p0_*.json``: questions that need knowledge, with ten free answers.

    Args:
        path: the file, plain or gzipped.

    Returns:
        One record a question. ``answer`` is the most frequent of the ten, the earlier one if two are. The file's
        question ids are text; ``question_id`` is the first 48 bits of their SHA-256, the same in every subset.
        A test set has no ``direct_answers``: answers are then empty.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a field is missing or wrong, or a question is listed twice.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "aokvqa.json"
    >>> answers = ["icing"] * 6 + ["frosting"] * 4
    >>> entry = {"question_id": "2C8r", "image_id": 9, "question": "What is on top?", "direct_answers": answers}
    >>> _ = path.write_text(json.dumps([entry]))
    >>> read_aokvqa(path)[0].answer
    'icing'
    """

    def convert(entry: dict, place: str):
        digest = hashlib.sha256(need(entry, "question_id", str, place).encode()).digest()
        answers = need(entry, "direct_answers", list, place) if "direct_answers" in entry else []
        if not all(isinstance(answer, str) for answer in answers):
            raise DataInvalid(f"{place}: 'direct_answers' should list texts, got {answers!r:.60}")
        yield _answered(_unanswered({**entry, "question_id": int.from_bytes(digest[:6])}, place), answers)

    return _collect(path, convert)


def read_okvqa(path: Path | str) -> list[QuestionRecord]:
    """Read OK-VQA in LXMERT's form: {sent, question_id, image_id or img_id, label: {answer: soft score}}.

    Args:
        path: the file, plain or gzipped.

    Returns:
        One record a question; the soft scores are turned back into answers by ``soft_to_answers``.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a field is missing or wrong, a score is not in (0, 1], or a question is listed twice.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "okvqa.json"
    >>> entry = {"sent": "Who?", "question_id": 95, "image_id": 9, "label": {"artist": 1, "mason": 0.667}}
    >>> _ = path.write_text(json.dumps([entry]))
    >>> Counter(read_okvqa(path)[0].answers)
    Counter({'artist': 8, 'mason': 2})
    """

    def convert(entry: dict, place: str):
        digits = str(entry.get("img_id")).rpartition("_")[2]  # COCO_val2014_000000011511
        image_id = entry.get("image_id", int(digits) if digits.isdecimal() else None)
        asked = _unanswered({**entry, "image_id": image_id, "question": need(entry, "sent", str, place)}, place)
        yield _answered(asked, soft_to_answers(need(entry, "label", dict, place), place))

    return _collect(path, convert)


def soft_to_answers(scores: dict[str, float], place: str = "scores") -> tuple[str, ...]:
    """Turn soft scores back into the ten answers they came from, as far as that is possible.

    The score s = min(1, n / 3) says n for one or two answers (n = round(3 s)). A score of 1 only says "three or
    more": such answers share what is left of ten evenly, the earlier ones get the rest. In OK-VQA (five people,
    each counted twice) that is exact unless two answers scored 1, where 4 + 6 and 5 + 5 look alike.

    Args:
        scores: answer to soft score in (0, 1].
        place:  file and entry, for the message.

    Returns:
        The answers, equal ones together. Fewer than ten if no answer scored 1 and the list left rare ones out.

    Raises:
        DataInvalid: a score is not in (0, 1].

    >>> soft_to_answers({"red": 1, "dark red": 0.667})
    ('red', 'red', 'red', 'red', 'red', 'red', 'red', 'red', 'dark red', 'dark red')
    """
    for answer, score in scores.items():
        if not isinstance(score, int | float) or not 0 < score <= 1:
            raise DataInvalid(f"{place}: the score of {answer!r} should be above 0 and at most 1, got {score!r}")
    counts = {answer: max(1, round(3 * score)) for answer, score in scores.items()}
    sure = [answer for answer, score in scores.items() if score == 1]
    for number in range(ANNOTATORS - sum(counts.values()) if sure else 0):
        counts[sure[number % len(sure)]] += 1
    return tuple(answer for answer, times in counts.items() for _ in range(times))
