"""Which answers a VQA model may give, and which questions teach them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from updown_lab.config import VqaConfig
from updown_lab.datasets.vqa import QuestionRecord, read_vqa
from updown_lab.errors import DataInvalid
from updown_lab.metrics.vqa import normalise_answer
from updown_lab.pipeline.sources import SPLITS
from updown_lab.text import AnswerVocabulary

PUBLISHED_COUNT = 9  # questions that an answer of the published list of 3,129 needs


def answers_to_learn(asked: list, settings: VqaConfig) -> AnswerVocabulary:
    """The answers a model may give: those of a file, or those that enough training questions have.

    Raises:
        DataInvalid: no question has any of them.
    """
    given = [record.answer for record in asked]
    least = settings.answer_minimum_count
    answers = AnswerVocabulary.load(settings.answers) if settings.answers else \
        AnswerVocabulary.build([[answer] for answer in given], least)  # fmt: skip
    if not any(answer in answers.ids for answer in given):
        common = Counter(given).most_common(1)
        seen = f"the commonest of {len(given):,}, {common[0][0]!r}, has {common[0][1]:,}" if given else "there is none"
        wanted = f"a question with an answer of {settings.answers}" if settings.answers else \
            f"an answer of {least} training questions (vqa.answer_minimum_count)"  # fmt: skip
        raise DataInvalid(f"nothing to learn: no question is left that asks for {wanted}; {seen}")
    return answers


def with_more(asked: list, more: list, answers: AnswerVocabulary) -> list:
    """Questions, and those of another data set whose answer is in the vocabulary, under new numbers.

    The other set brings no answers of its own: a rare one would cost a row of the classifier and hardly ever be right.
    """
    free = max((record.question_id for record in asked), default=0) + 1
    kept = [record for record in more if record.answer in answers.ids]
    return [*asked, *(replace(record, question_id=free + number) for number, record in enumerate(kept))]


def common_answers(asked: Iterable[QuestionRecord], least: int = PUBLISHED_COUNT) -> AnswerVocabulary:
    """The answers of at least so many questions, after the official normalisation, the commonest first.

    So the published list of VQA v2 was made, of training and validation questions together. Normalising matters:
    "none" becomes "0" and "one way" "1 way"; raw, they would be answers of their own.

    >>> nobody = QuestionRecord(1, 1, "How many?", "number", "how many", "none", ("none",) * 10)
    >>> common_answers([nobody, replace(nobody, answer="0")], least=2).answers
    ['0']
    """
    return AnswerVocabulary.build([[normalise_answer(record.answer)] for record in asked], least)


def write_published_answers(folder: Path) -> int:
    """Write ``answers.json`` beside the prepared questions of VQA v2 (all splits), and say how many there are."""
    files = ((folder / f"questions_{split}.json", folder / f"annotations_{split}.json") for split in SPLITS)
    answers = common_answers(record for pair in files for record in read_vqa(*pair))
    answers.save(folder / "answers.json")
    return len(answers)
