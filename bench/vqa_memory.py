"""Memory of a VQA training at full size: questions and features as many and as large as those of VQA v2.

The features are a sparse file of the true layout: all zeros, none of them on the disk, read like any other. A process
of its own reads the official files, builds the model of the paper's sizes, trains a few steps at batch 512, and says
the most memory that it ever had.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.harness import Record, record_of
from updown_lab.config import Config
from updown_lab.datasets.vqa import read_vqa
from updown_lab.files import read_json, write_json
from updown_lab.regions import Regions
from updown_lab.store.feature_store import FeatureStore, FeatureWriter
from updown_lab.text import AnswerVocabulary, Vocabulary
from updown_lab.training.answering import Questions, new_vqa, train_vqa

IMAGES, REGIONS, FEATURES = 123_287, 36, 2048
QUESTIONS, WORDS, ANSWERS = {"train": 443_757, "val": 214_354}, 19_000, 3_129
STEPS, TARGET_GB = 3, 4.0


def records(quick: bool = False) -> list[Record]:
    """vqa-memory: the ratio is 4 GB / peak; a tenth of the questions and photos if ``quick``."""
    part = 10 if quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sparse_store(folder / "store", IMAGES // part)
        for split, count in QUESTIONS.items():
            write_questions(folder, split, count // part, IMAGES // part)
        size = (folder / "store/features.bin").stat().st_size / 1e9
        command = [sys.executable, "-m", "bench.vqa_memory", name]
        peak = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    note = (
        f"peak resident memory of a process that trains {STEPS} steps of batch 512 on {QUESTIONS['train'] // part:,} "
        f"questions, features of {size:.1f} GB (sparse); the ratio is {TARGET_GB:.0f} GB / peak"
    )
    return [record_of("vqa-memory", [((TARGET_GB, 0.0), (peak, 0.0))], 1.0, note, "GB")]


def sparse_store(path: Path, images: int) -> None:
    """A finished feature store of zeros that takes no room: one image is written, the files are stretched."""
    one = Regions(torch.zeros(REGIONS, FEATURES), torch.zeros(REGIONS, 4), (640, 480), "sparse")
    with FeatureWriter(path, FEATURES, "float16", "sparse") as writer:
        writer.append(0, one)
        writer.finish(training_ids=[0])
    header, line = (path / "index.jsonl").read_text().splitlines()
    facts = json.loads(line)[1:]
    with open(path / "index.jsonl", "w") as index:
        index.write(header + "\n")
        index.writelines(json.dumps([image, *facts]) + "\n" for image in range(images))
    for name, bytes_a_row in (("features.bin", 2 * FEATURES), ("boxes.bin", 4 * 4)):
        with open(path / name, "r+b") as file:
            file.truncate(images * REGIONS * bytes_a_row)
    known = read_json(path / "manifest.json")
    write_json(path / "manifest.json", known | {"images": images, "regions": images * REGIONS}, indent=1)


def write_questions(folder: Path, split: str, count: int, images: int) -> None:
    """Official files of so many questions with ten answers each; rare words and answers are rare."""
    draw = np.random.default_rng(len(split))
    lengths, photos = draw.integers(4, 11, count), draw.integers(0, images, count)
    for name, kind, entries in (
        ("questions", "questions", _asked(draw, lengths, photos)), ("annotations", "annotations", _said(draw, photos)),
    ):  # fmt: skip
        with open(folder / f"{name}_{split}.json", "w") as file:
            file.write(f'{{"{kind}": [')
            for number, entry in enumerate(entries):
                file.write((",\n" if number else "\n") + json.dumps(entry))
            file.write("]}")


def _rare(draw: np.random.Generator, many: int, count: int) -> np.ndarray:
    """(count,) numbers below ``many``; n comes about 1 / n as often as the first."""
    return (many ** draw.random(count)).astype(int).clip(max=many - 1)


def _asked(draw: np.random.Generator, lengths: np.ndarray, photos: np.ndarray) -> Iterator[dict]:
    for number, (length, photo) in enumerate(zip(lengths.tolist(), photos.tolist(), strict=True)):
        words = " ".join(f"w{word}" for word in _rare(draw, WORDS, length))
        yield {"question_id": number, "image_id": photo, "question": f"{words}?"}


def _said(draw: np.random.Generator, photos: np.ndarray) -> Iterator[dict]:
    for number, photo in enumerate(photos.tolist()):
        most, *others = (f"a{answer}" for answer in _rare(draw, ANSWERS, 4))
        given = [{"answer": word, "answer_confidence": "yes", "answer_id": place}
                 for place, word in enumerate([most] * 7 + others, 1)]  # fmt: skip
        yield {"question_id": number, "image_id": photo, "question_type": "what is", "answer_type": "other",
               "multiple_choice_answer": most, "answers": given}  # fmt: skip


def train(folder: Path) -> float:
    """A few steps as ``updown-lab train vqa-regions`` makes them; gigabytes at the peak."""
    settings = Config()
    cfg = replace(settings, vqa_training=replace(settings.vqa_training, steps=STEPS, evaluate_every=STEPS))
    asked = {split: read_vqa(folder / f"questions_{split}.json", folder / f"annotations_{split}.json")
             for split in QUESTIONS}  # fmt: skip
    answers = AnswerVocabulary.build([[record.answer] for record in asked["train"]], cfg.vqa.answer_minimum_count)
    vocabulary = Vocabulary.build((record.question for record in asked["train"]), cfg.vqa.minimum_count)
    store = FeatureStore.open(folder / "store")
    sets = {split: Questions(rows, store, vocabulary, answers, cfg.vqa.maximum_words, "cpu")
            for split, rows in asked.items()}  # fmt: skip
    few = Questions(asked["val"][:512], store, vocabulary, answers, cfg.vqa.maximum_words, "cpu")
    model = new_vqa(sets["train"], vocabulary, cfg)
    train_vqa(model, sets["train"], few, cfg, folder / "run")
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e9


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
