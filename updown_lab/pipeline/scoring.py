"""Official scores of anybody's results file: captions or answers."""

import math
import textwrap
from pathlib import Path

from updown_lab.datasets.coco import read_coco_captions
from updown_lab.datasets.vqa import read_vqa
from updown_lab.errors import DataInvalid
from updown_lab.files import read_json
from updown_lab.metrics.captions import CaptionScores, score_captions
from updown_lab.metrics.vqa import VqaScores, vqa_accuracy
from updown_lab.metrics.vqa_results import read_results

UNBROKEN = "\u00a0"  # a blank at which no line ends


def score_file(results: Path | str, captions: str | None, questions: str | None, annotations: str | None) -> list[str]:
    """Lines with the official scores of a results file.

    Args:
        results:     JSON list of {image_id, caption} or of {question_id, answer}.
        captions:    COCO captions file, for captions.
        questions, annotations: VQA v2 files, for answers.

    Raises:
        DataInvalid: an entry lacks a field, speaks of something that was said already, or of nothing that is known.
    """
    if captions:
        said = _read_captions(results)
        records = read_coco_captions(captions, Path(captions).parent)
        try:
            scores = score_captions(said, {record.image_id: list(record.captions) for record in records})
        except ValueError as error:
            raise DataInvalid(f"{results} against {captions}: {error}") from None
        return _caption_lines(scores)
    asked = read_vqa(questions, annotations)
    said = read_results(results, [record.question_id for record in asked])
    scores, mended = (vqa_accuracy(said, asked, strict) for strict in (True, False))
    odd = int((scores.per_question["score"] != mended.per_question["score"]).sum())
    return [
        f"overall  {scores.overall:6.2f}",
        *(f"{name:<8} {value:6.2f}" for name, value in scores.by_answer_type.items()),
        f"without the server's quirks {mended.overall:.2f}: {odd} questions differ",
        "by question type (questions):",
        *_question_types(scores),
    ]


def _caption_lines(scores: CaptionScores) -> list[str]:
    """A line a metric, with the reason where there is no figure; then what a reader must know besides."""
    notes = {note: note.partition(": NaN, ") for note in scores.notes}
    reasons = {name: reason for name, _, reason in notes.values() if reason}
    lines = []
    for name, value in scores.corpus.items():
        why = reasons.get(name, "no caption and no reference has such a fact")  # a part of SPICE
        lines.append(f"{name:<8} not measured: {why}" if math.isnan(value) else f"{name:<8} {100 * value:6.2f}")
    return [*lines, *(note for note, (_, _, reason) in notes.items() if not reason)]


def _question_types(scores: VqaScores) -> list[str]:
    """Accuracy of each beginning with its number of questions, the commonest first, several to a line."""
    counts = scores.per_question["question_type"].value_counts()
    known = sorted(scores.by_question_type.items(), key=lambda pair: (-counts[pair[0]], pair[0]))
    told = "; ".join(f"{name} {value:.2f} ({counts[name]:,})".replace(" ", UNBROKEN) for name, value in known)
    lines = textwrap.wrap(told, 118, break_long_words=False, break_on_hyphens=False)
    return [f"  {line}".replace(UNBROKEN, " ") for line in lines]


def _read_captions(path: Path | str) -> dict[int, str]:
    """What a results file says of each image."""
    rows, said = read_json(path), {}
    if not isinstance(rows, list):
        raise DataInvalid(f"{path}: expected a list of entries with 'image_id' and 'caption', got {rows!r:.80}")
    for number, row in enumerate(rows):
        fields = (row.get("image_id"), row.get("caption")) if isinstance(row, dict) else (None, None)
        if not isinstance(fields[0], int | str) or not isinstance(fields[1], str):
            raise DataInvalid(f"{path}, entry {number}: expected the fields 'image_id' and 'caption', got {row!r:.80}")
        if fields[0] in said:
            raise DataInvalid(f"{path}, entry {number}: image_id {fields[0]} comes twice; keep one entry each")
        said[fields[0]] = fields[1]
    return said
