"""The official VQA v2 accuracy, with its text normalisation and its quirks."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import pandas as pd

from updown_lab.errors import DataInvalid

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(_NUMBERS)}}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_INSIDE_NUMBER = re.compile(r"(?<=\d),(?=\d)")
_BLANKS = str.maketrans(dict.fromkeys(_PUNCTUATION, " "))

_CONTRACTED = """
    ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't oughtn't
    shan't shouldn't wasn't weren't won't wouldn't could've might've must've not've should've would've
    couldn't've hadn't've mightn't've shouldn't've wouldn't've
    he'd he's he'd've how'd how'll how's it'd it'll it'd've she'd've that's
    somebody'll somebody's somebody'd've someone'd someone'll someone's someone'd've
    something'd something'll something'd've there'd there're there's there'd've
    they'd they'll they're they've they'd've we've we'd've you'd you'll you're you've you'd've
    what'll what're what's what've when's where'd where's where've who'd who'll who's who've who'd've
    why'll why're why's y'all y'all'll y'all'd've ma'am o'clock 'twas 'ow's'at
"""


def _with_one_apostrophe_lost(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place, letter in enumerate(word) if letter == "'"]


# What annotators type without an apostrophe gets it back. The official table has one word lose it instead.
_CONTRACTIONS = {wrong: word for word in _CONTRACTED.split() for wrong in _with_one_apostrophe_lost(word)} | {
    "somebody'd": "somebodyd"
}


@lru_cache(maxsize=1 << 16)
def normalise_answer(text: str, strict: bool = True) -> str:
    """The form in which the official evaluation compares answers.

    "Two dogs." and "2 dogs" are one answer: punctuation goes, number words become
    digits, articles go, apostrophes come back. The official quirks are kept: "a"
    becomes nothing, "none" becomes "0", a punctuation mark beside a blank vanishes while one
    between letters becomes a blank, and only the first 32 full stops go.

    Args:
        text:   an answer as typed.
        strict: keep the quirks, so that numbers equal the server's; False mends them: every mark but the comma and
            point inside a number becomes a blank, all full stops go, and an answer never becomes nothing.

    Returns:
        The normalised answer, in lower case.

    >>> normalise_answer("The T-shirt."), normalise_answer("dont know"), normalise_answer("10,000")
    ('t shirt', "don't know", '10000')
    >>> normalise_answer("A"), normalise_answer("A", strict=False), normalise_answer("red-white - blue", strict=False)
    ('', 'a', 'red white blue')
    """
    if not strict:
        return _mended(text)
    text = _stripped(text)
    cleaned = text
    thousands = _THOUSANDS.search(text) is not None
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if beside_blank or thousands else " ")
    cleaned = _PERIOD.sub("", cleaned, count=32)  # the official code passes a regex flag, 32, in the place of a count
    words = (_DIGITS.get(word, word) for word in cleaned.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _stripped(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _mended(text: str) -> str:
    cleaned = _INSIDE_NUMBER.sub("", text.lower())
    cleaned = _PERIOD.sub(" ", cleaned.translate(_BLANKS))
    words = [_CONTRACTIONS.get(word, word) if word != "somebody'd" else word for word in cleaned.split()]
    words = [_DIGITS.get(word, word) if word != "none" else word for word in words]
    return " ".join([word for word in words if word not in _ARTICLES] or words)


class Question(Protocol):
    """What this module reads of a ``datasets.vqa.QuestionRecord``."""

    question_id: int
    answer_type: str
    question_type: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class VqaScores:
    """VQA accuracies in percent, as the official evaluation prints them (but not rounded).

    Attributes:
        overall: mean over all questions.
        by_answer_type: mean for "yes/no", "number" and "other".
        by_question_type: mean for each beginning, for instance "how many".
        per_question: DataFrame [question_id, answer_type, question_type, score], in the order of the records.
    """

    overall: float
    by_answer_type: dict[str, float]
    by_question_type: dict[str, float]
    per_question: pd.DataFrame


def answer_accuracy(answer: str, given: Iterable[str], strict: bool = True) -> float:
    """Share of full marks for one answer.

    An answer that three other people gave is right. Each annotator is left out
    once, so that people can be scored by the same rule:

        acc = mean over the 10 sets of 9 of min(#same / 3, 1)       Antol et al. 2015, Sec. 3

    hence 1 match is worth 0.3, 2 are 0.6, 3 are 0.9 and 4 are 1. Where all annotators agree,
    the official code compares the raw text: "Yes." against ten "yes" is worth nothing.

    Args:
        answer: what the model says.
        given: what the annotators said, usually ten.
        strict: as the server counts; False normalises always, without its quirks.

    Returns:
        Accuracy in 0..1.

    >>> [round(answer_accuracy("red", ["red"] * times + ["blue"] * (10 - times)), 3) for times in (0, 1, 2, 3, 4)]
    [0.0, 0.3, 0.6, 0.9, 1.0]
    """
    given = [_stripped(other) for other in given]
    if not strict or len(set(given)) > 1:
        answer, given = normalise_answer(answer, strict), [normalise_answer(other, strict) for other in given]
    else:
        answer = _stripped(answer)
    same = given.count(answer)
    one_of_them_left_out = same * min(1.0, (same - 1) / 3)
    another_left_out = (len(given) - same) * min(1.0, same / 3)
    return (one_of_them_left_out + another_left_out) / len(given)


def vqa_accuracy(predictions: Mapping[int, str], records: Iterable[Question], strict: bool = True) -> VqaScores:
    """Score answers as the VQA v2 server does.

    Args:
        predictions: {question_id: answer}, raw text, one for each record.
        records: the questions with the answers people gave.
        strict: as the server counts; False mends its quirks.

    Returns:
        VqaScores, in percent.

    Raises:
        DataInvalid: the questions of the two do not agree, a question has no answers, or an answer is no text.

    >>> from types import SimpleNamespace as Record
    >>> record = Record(question_id=7, answer_type="yes/no", question_type="is the", answers=("yes",) * 7 + ("no",) * 3)
    >>> round(vqa_accuracy({7: "no"}, [record]).overall, 2)
    90.0
    """
    ids, answer_types, question_types, scores, silent = [], [], [], [], []
    _check_texts(predictions)
    for record in records:  # one at a time: whoever reads them from a file need not hold them
        said, people = predictions.get(record.question_id), record.answers
        ids.append(record.question_id)
        answer_types.append(record.answer_type)
        question_types.append(record.question_type)
        silent += [] if people else [record.question_id]
        known = said is not None and people
        scores.append(100 * answer_accuracy(said, people, strict) if known else math.nan)
    _check_same_questions(ids, predictions.keys(), silent)
    table = pd.DataFrame(
        {"question_id": ids, "answer_type": answer_types, "question_type": question_types, "score": scores}
    )
    return VqaScores(
        overall=float(table["score"].mean()),
        by_answer_type=table.groupby("answer_type")["score"].mean().to_dict(),
        by_question_type=table.groupby("question_type")["score"].mean().to_dict(),
        per_question=table,
    )


def quirks(predictions: Mapping[int, str], records: Iterable[Question]) -> pd.DataFrame:
    """Where the server's quirks change a score.

    Args:
        predictions, records: as for ``vqa_accuracy``.

    Returns:
        [question_id, answer, people, strict, mended], scores in percent; a row for each question that differs.

    >>> from types import SimpleNamespace as Record
    >>> record = Record(question_id=7, answer_type="yes/no", question_type="is the", answers=("yes",) * 10)
    >>> quirks({7: "Yes."}, [record])[["answer", "strict", "mended"]].values.tolist()
    [['Yes.', 0.0, 100.0]]
    """
    records = list(records)
    both = [vqa_accuracy(predictions, records, strict).per_question["score"].tolist() for strict in (True, False)]
    rows = [(record.question_id, predictions[record.question_id], " | ".join(dict.fromkeys(record.answers)), old, new)
            for record, old, new in zip(records, *both, strict=True) if old != new]  # fmt: skip
    return pd.DataFrame(rows, columns=["question_id", "answer", "people", "strict", "mended"])


def _check_texts(predictions: Mapping[int, str]) -> None:
    for number, answer in predictions.items():
        if not isinstance(answer, str):
            raise DataInvalid(f"the answer to question {number!r} must be a text, got {answer!r:.60}")


def _in_order(ids: Iterable) -> list:
    """Sorted, also if somebody has mixed up 1 and "1"."""
    return sorted(ids, key=lambda number: (type(number).__name__, number))


def _check_same_questions(ids: list[int], answered, silent: list[int]) -> None:
    asked = set(ids)
    if len(asked) != len(ids) or not ids:
        raise DataInvalid(f"expected each question once, got {len(ids)} records with {len(asked)} question ids")
    missing, unknown = _in_order(asked - answered), _in_order(answered - asked)
    if missing or unknown:
        raise DataInvalid(
            f"{len(missing)} questions have no answer (first: {missing[:3]}), {len(unknown)} answers belong to no "
            f"question (first: {unknown[:3]}); score the same split that you predicted"
        )
    if silent:
        raise DataInvalid(f"no annotator answers for questions {silent[:3]}; the test split cannot be scored here")
