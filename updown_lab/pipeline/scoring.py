"""Official scores of anybody's results file: captions or answers."""

from pathlib import Path

from updown_lab.datasets.coco import read_coco_captions
from updown_lab.datasets.vqa import read_vqa
from updown_lab.errors import DataInvalid
from updown_lab.files import read_json
from updown_lab.metrics.captions import score_captions
from updown_lab.metrics.vqa import vqa_accuracy


def score_file(results: Path | str, captions: str | None, questions: str | None, annotations: str | None) -> list[str]:
    """Lines with the official scores of a results file.

    Args:
        results:     JSON list of {image_id, caption} or of {question_id, answer}.
        captions:    COCO captions file, for captions.
        questions, annotations: VQA v2 files, for answers.

    Raises:
        DataInvalid: an entry lacks a field, speaks of something that was said already, or of nothing that is known.
    """
    said = _read_results(results, *(("image_id", "caption") if captions else ("question_id", "answer")))
    if captions:
        records = read_coco_captions(captions, Path(captions).parent)
        try:
            scores = score_captions(said, {record.image_id: list(record.captions) for record in records})
        except ValueError as error:
            raise DataInvalid(f"{results} against {captions}: {error}") from None
        return [*(f"{name:<8} {100 * value:6.2f}" for name, value in scores.corpus.items()), *scores.notes]
    scores = vqa_accuracy(said, read_vqa(questions, annotations))
    return [
        f"overall  {scores.overall:6.2f}",
        *(f"{name:<8} {value:6.2f}" for name, value in scores.by_answer_type.items()),
    ]


def _read_results(path: Path | str, key: str, text: str) -> dict[int, str]:
    """What a results file says of each image or question."""
    rows, said = read_json(path), {}
    if not isinstance(rows, list):
        raise DataInvalid(f"{path}: expected a list of entries with {key!r} and {text!r}, got {rows!r:.80}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get(key), int | str) or not isinstance(row.get(text), str):
            raise DataInvalid(f"{path}, entry {number}: expected the fields {key!r} and {text!r}, got {row!r:.80}")
        if row[key] in said:
            raise DataInvalid(f"{path}, entry {number}: {key} {row[key]} comes twice; keep one entry each")
        said[row[key]] = row[text]
    return said
