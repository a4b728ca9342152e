"""The results file of the VQA challenge: written, and checked as the server would."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import read_json, write_json

SHOWN = 3


def write_results(path: Path | str, answers: Mapping[int, str]) -> None:
    """Write ``[{"question_id": 1, "answer": "yes"}, ...]`` in one atomic move.

    Args:
        path:    of the json file.
        answers: {question_id: answer}.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "results.json"
    >>> write_results(path, {7: "yes"})
    >>> read_results(path, [7])
    {7: 'yes'}
    """
    write_json(path, [{"question_id": int(number), "answer": str(answer)} for number, answer in answers.items()])


def read_results(path: Path | str, questions: Iterable[int]) -> dict[int, str]:
    """Read a results file and refuse what the server would refuse, with all that is wrong in one message.

    Args:
        path:      of the json file.
        questions: the ids of all questions of the split.

    Returns:
        {question_id: answer}.

    Raises:
        DataMissing: no such file.
        DataInvalid: not a list of question_id and answer; questions without an answer, with two, or unknown ones.
    """
    path = Path(path)
    if not path.is_file():
        raise DataMissing(f"no file {path}; the VQA stages of a run write results.json")
    try:
        entries = read_json(path)
    except ValueError as error:
        raise DataInvalid(f"{path} is no JSON ({error})") from None
    if not isinstance(entries, list):
        raise DataInvalid(f"{path} must hold a list of objects, got {type(entries).__name__}")
    asked, answers, wrong = set(questions), {}, []
    for place, entry in enumerate(entries):
        number = entry.get("question_id") if isinstance(entry, dict) else None
        answer = entry.get("answer") if isinstance(entry, dict) else None
        if type(number) is not int or not isinstance(answer, str):
            wrong.append(f'entry {place}: wants {{"question_id": number, "answer": text}}, got {entry!r:.80}')
        elif number in answers:
            wrong.append(f"entry {place}: question {number} is answered twice")
        elif number not in asked:
            wrong.append(f"entry {place}: question {number} is not in this split")
        else:
            answers[number] = answer
    if missing := sorted(asked - answers.keys()):
        wrong.append(f"{len(missing)} of {len(asked)} questions have no answer, first: {missing[:SHOWN]}")
    if wrong:
        rest = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise DataInvalid(f"the server would refuse {path}:\n  " + "\n  ".join(wrong[:SHOWN]) + rest)
    return answers
