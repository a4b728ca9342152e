"""Serving files from outside: a folder of anybody's pictures, a results file of anybody's model."""

from pathlib import Path

from updown_lab.datasets.coco import read_coco_captions
from updown_lab.datasets.vqa import read_vqa
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import read_json
from updown_lab.metrics.captions import score_captions
from updown_lab.metrics.vqa import vqa_accuracy
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.stages import Work
from updown_lab.pipeline.work import make_encoder
from updown_lab.store.writer import write_features
from updown_lab.vision.images import load_image

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def extract_pictures(pictures: Path | str, store: Path | str, run: Path | str, features: str) -> tuple[int, list[str]]:
    """Encode a folder of pictures with a run's networks; the file name without its ending becomes the id.

    Args:
        pictures: folder; files with other endings are passed over.
        store:    folder of the feature store; goes on where it was interrupted.
        run:      a finished run.
        features: kind of features.

    Returns:
        How many pictures are in the store, and one line for each that could not be read.

    Raises:
        DataMissing: no such folder, or no picture in it.
    """
    folder = Path(pictures)
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise DataMissing(f"no picture in {folder}; looked for files ending in {', '.join(ENDINGS)}")
    finished, problems, good = FinishedRun(run, features), [], []
    for file in files:
        try:
            load_image(file)
            good.append(file)
        except DataInvalid as error:
            problems.append(str(error))
    encoder = make_encoder(Work(finished.folder, finished.folder, finished.config, features), features)
    items = [(file.stem, lambda file=file: load_image(file)) for file in good]
    write_features(encoder.encode, items, store, encoder.feature_dim, source=features,
                   training_ids=[file.stem for file in good], batch_size=4)  # fmt: skip
    return len(good), problems


def score_file(results: Path | str, captions: str | None, questions: str | None, annotations: str | None) -> list[str]:
    """Lines with the official scores of a results file.

    Args:
        results:     JSON list of {image_id, caption} or of {question_id, answer}.
        captions:    COCO captions file, for captions.
        questions, annotations: VQA v2 files, for answers.

    Raises:
        DataInvalid: an entry lacks a field.
    """
    rows = read_json(results)
    keys = ("image_id", "caption") if captions else ("question_id", "answer")
    for number, row in enumerate(rows if isinstance(rows, list) else [rows]):
        if not isinstance(row, dict) or not all(key in row for key in keys):
            raise DataInvalid(f"{results}, entry {number}: expected the fields {keys}, got {row!r:.80}")
    said = {row[keys[0]]: row[keys[1]] for row in rows}
    if captions:
        records = read_coco_captions(captions, Path(captions).parent)
        scores = score_captions(said, {record.image_id: list(record.captions) for record in records})
        return [*(f"{name:<8} {100 * value:6.2f}" for name, value in scores.corpus.items()), *scores.notes]
    scores = vqa_accuracy(said, read_vqa(questions, annotations))
    return [
        f"overall  {scores.overall:6.2f}",
        *(f"{name:<8} {value:6.2f}" for name, value in scores.by_answer_type.items()),
    ]
