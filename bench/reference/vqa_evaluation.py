"""VQA accuracy the straightforward way: all ten answers are cleaned for each question, people left out in turn."""

import re

from updown_lab.metrics.vqa import _ARTICLES, _CONTRACTIONS, _DIGITS, _PUNCTUATION

THOUSANDS, PERIOD = re.compile(r"(\d)(\,)(\d)"), re.compile(r"(?!<=\d)(\.)(?!\d)")


def cleaned(text: str) -> str:
    """One answer: marks, then numbers, articles and apostrophes."""
    out = text
    for mark in _PUNCTUATION:
        if mark + " " in text or " " + mark in text or re.search(THOUSANDS, text) is not None:
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    out = PERIOD.sub("", out, 32)
    words = []
    for word in out.lower().split():
        word = _DIGITS.get(word, word)
        if word not in _ARTICLES:
            words.append(word)
    for place, word in enumerate(words):
        if word in _CONTRACTIONS:
            words[place] = _CONTRACTIONS[word]
    return " ".join(words)


def evaluate(predictions: dict, records) -> tuple[float, dict, dict]:
    """Overall, by answer type and by question type, in percent."""
    every, kinds, beginnings = [], {}, {}
    for record in records:
        answer = predictions[record.question_id].replace("\n", " ").replace("\t", " ").strip()
        given = [{"answer": text.replace("\n", " ").replace("\t", " ").strip()} for text in record.answers]
        if len({one["answer"] for one in given}) > 1:
            for one in given:
                one["answer"] = cleaned(one["answer"])
            answer = cleaned(answer)
        turns = []
        for place in range(len(given)):
            others = [one for number, one in enumerate(given) if number != place]
            turns.append(min(1.0, len([one for one in others if one["answer"] == answer]) / 3))
        score = sum(turns) / len(turns)
        every.append(score)
        kinds.setdefault(record.answer_type, []).append(score)
        beginnings.setdefault(record.question_type, []).append(score)
    mean = lambda scores: 100 * sum(scores) / len(scores)  # noqa: E731
    return mean(every), {k: mean(v) for k, v in kinds.items()}, {k: mean(v) for k, v in beginnings.items()}
