"""What a lesson needs before it can begin: a small world, seen and split, in under half a minute the first time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from updown_lab.analysis.compare import Run
from updown_lab.config import Config, fingerprint, override
from updown_lab.datasets.picturebook import make_picturebook
from updown_lab.datasets.picturebook.questions import HARD_KINDS, ask, hard_facts
from updown_lab.datasets.picturebook.scenes import Scene, Thing
from updown_lab.datasets.vqa import QuestionRecord
from updown_lab.errors import ConfigError
from updown_lab.files import read_json
from updown_lab.metrics.vqa import vqa_accuracy
from updown_lab.pipeline.sources import PicturebookSource, RealSource, sentences
from updown_lab.store.feature_store import FeatureStore, write_features
from updown_lab.text import AnswerVocabulary, Vocabulary
from updown_lab.training.answering import Questions, answer_all, new_vqa, train_vqa
from updown_lab.training.speaking import CaptionImages
from updown_lab.vision.encoders import Encoder, build_encoder
from updown_lab.vision.images import load_image

FOLDER = "runs/lessons"


@dataclass(frozen=True)
class Lesson:
    """Pictures with captions, questions and regions, split into train, val and test.

    Attributes:
        cfg:    all numbers.
        source: the records.
        store:  regions of every picture.
        folder: where trainings may write.
        device: where batches go.
    """

    cfg: Config
    source: PicturebookSource | RealSource
    store: FeatureStore
    folder: Path
    device: torch.device

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the training captions."""
        return Vocabulary.build(sentences(self.source.captions("train")), self.cfg.captioner.minimum_count)

    @cached_property
    def question_words(self) -> Vocabulary:
        """The words of the training questions."""
        asked = (record.question for record in self.source.questions("train"))
        return Vocabulary.build(asked, self.cfg.vqa.minimum_count)

    @cached_property
    def answers(self) -> AnswerVocabulary:
        """The answers a model may give."""
        given = [[record.answer] for record in self.source.questions("train")]
        return AnswerVocabulary.build(given, self.cfg.vqa.answer_minimum_count)

    def captions(self, split: str) -> CaptionImages:
        """Pictures of a split with their captions, ready to train on."""
        words = self.cfg.captioner.maximum_words
        return CaptionImages(self.source.captions(split), self.store, self.vocabulary, words, self.device)

    def questions(self, split: str, sees: bool = True) -> Questions:
        """Questions of a split, ready to train on; a model that does not see is given no regions."""
        cfg, store = self.cfg.vqa, self.store if sees else None
        records = self.source.questions(split)
        return Questions(records, store, self.question_words, self.answers, cfg.maximum_words, self.device, cfg.targets)

    def picture(self, image_id: int) -> Tensor:
        """The pixels of a picture, (3, H, W) in [0, 1]."""
        return load_image(self._files[image_id])

    @cached_property
    def _files(self) -> dict[int, Path]:
        return {record.image_id: record.file for record in self.source.pictures()}

    def place(self, name: str) -> Path:
        """A folder for one training; other numbers get another folder, so that what is found there fits."""
        return self.folder / f"{name}-{fingerprint(self.cfg)[:8]}"

    @property
    def names(self) -> Sequence[str]:
        """Class names, by id."""
        return self.source.names.objects


def open_lesson(
    cfg: Config, folder: Path | str = FOLDER, store: Path | str | None = None, device: torch.device | str = "cpu"
) -> Lesson:
    """Draw a small world and see it with perfect eyes; or open real data and the features that you extracted.

    In the drawn world the features are "symbolic": the true class, colour and place of each thing in ones and zeros. So
    the language models alone are the lesson, and nobody waits for a detector. What was drawn once is found again.

    Args:
        cfg:    ``preset("lesson")``, or ``preset("paper")`` with ``data`` set to a prepared folder.
        folder: where the drawn world and trainings live.
        store:  features of the real data; not read in the drawn world.
        device: where batches go.

    Raises:
        DataMissing: ``cfg.data`` is not a folder of real data, or there is no store.

    >>> import tempfile
    >>> from updown_lab.config import override, preset
    >>> few = {f"world.{split}_images": 3 for split in ("train", "validation", "test")}
    >>> lesson = open_lesson(override(preset("lesson"), **few), tempfile.mkdtemp())
    >>> len(lesson.captions("train")), lesson.store.source
    (3, 'symbolic')
    """
    folder, device = Path(folder), torch.device(device)
    if cfg.data:
        found = FeatureStore.open(store or Path(cfg.data) / "features")
        return Lesson(cfg, RealSource(Path(cfg.data), cfg.minimum_boxes), found, folder, device)
    world = folder / f"world-{fingerprint(cfg.world, cfg.seed)[:8]}"
    if not (world / "store" / "manifest.json").exists():
        _see(PicturebookSource(make_picturebook(world, cfg.world, cfg.seed).root), cfg, world / "store")
    return Lesson(cfg, PicturebookSource(world), FeatureStore.open(world / "store"), folder, device)


def seen_by(lesson: Lesson, encoder: Encoder) -> Lesson:
    """The same pictures, captions and questions through other eyes; what was seen once is found again.

    Args:
        lesson:  of which only the store changes.
        encoder: the eyes, for instance ``ul.demo().run.encoder("regions")``; their name is the store's.

    Returns:
        Lesson, with mean and deviation of the training pictures, so that models can standardise.
    """
    place = lesson.folder / f"eyes-{encoder.source}-{fingerprint(lesson.cfg.world, lesson.cfg.seed)[:8]}"
    items = [(record.image_id, lambda record=record: load_image(record.file)) for record in lesson.source.pictures()]
    write_features(encoder.encode, items, place, encoder.feature_dim, source=encoder.source,
                   training_ids=lesson.source.training_ids())  # fmt: skip
    return replace(lesson, store=FeatureStore.open(place))


def vqa_run(lesson: Lesson, level: str, seed: int, **changes) -> Run:
    """Train one VQA model and score every test question: one row's worth of an ablation.

    Args:
        lesson:  its questions and its eyes.
        level:   what the row is called.
        seed:    of weights and order.
        changes: settings that should differ, by dotted name, for instance ``{"vqa.attention": "uniform"}``.

    Returns:
        Run for ``analysis.compare``: official accuracy in percent of each test question, grouped by picture. Its
        settings are the features, and all those of the model and its training.

    Raises:
        ConfigError: an unknown setting.
    """
    cfg = replace(override(lesson.cfg, **changes), seed=seed)
    mine, eyes = replace(lesson, cfg=cfg), lesson.store.source
    questions = {split: mine.questions(split) for split in ("train", "val", "test")}
    model = new_vqa(questions["train"], mine.question_words, cfg).to(mine.device)
    train_vqa(model, questions["train"], questions["val"], cfg, mine.place(f"vqa-{eyes}"))
    records, chosen = questions["test"].records, answer_all(model, questions["test"])[0]
    said = {record.question_id: mine.answers.answers[n] for record, n in zip(records, chosen, strict=True)}
    scores = vqa_accuracy(said, records).per_question.set_index("question_id")["score"]
    images = pd.Series([record.image_id for record in records], index=scores.index)
    return Run(level, seed, {"features": eyes, "vqa": cfg.vqa, "training": cfg.vqa_training}, scores, images)


def hard_questions(lesson: Lesson, split: str, total: int, seed: int = 1) -> list[QuestionRecord]:
    """Questions about two things at once, for any split of the drawn world: what is left of what, on what, more than.

    The world comes with such questions about its test pictures only, because nobody is taught them. This asks them of
    other pictures, from what is written down there: boxes, classes, and what stands on what.

    Args:
        lesson: of the drawn world.
        split:  "train", "val" or "test".
        total:  about how many; they come in balanced pairs, as all questions of this world.
        seed:   draws them again.

    Returns:
        Records, with the kinds of ``HARD_KINDS`` as ``question_type``.

    Raises:
        ConfigError: the lesson is of real data.
    """
    if not isinstance(lesson.source, PicturebookSource):
        raise ConfigError("two-thing questions are asked of the drawn world, whose truth is known; this lesson is of "
                          f"real data in {lesson.cfg.data!r}")  # fmt: skip
    images = [record.image_id for record in lesson.source.captions(split)]
    objects, held = _written(lesson.source)
    scenes = [_scene(objects[image], held[image]) for image in images]
    asked = ask(scenes, total, np.random.default_rng([seed, len(images)]), HARD_KINDS, hard_facts)
    return [
        QuestionRecord(number, images[one.image], one.text, one.answer_type, one.kind, one.answer, one.answers)
        for number, one in enumerate(asked)
    ]


def _written(source: PicturebookSource) -> tuple[dict[int, list[dict]], dict[int, dict[int, int]]]:
    """What is written down of each picture: its objects, and which of them (by object_id) stands on which."""
    objects, relations = (read_json(source.paths.genome(f"{name}.json")) for name in ("objects", "relationships"))
    held = {
        picture["image_id"]: {
            one["subject"]["object_id"]: one["object"]["object_id"] for one in picture["relationships"]
        }
        for picture in relations
    }
    return {picture["image_id"]: picture["objects"] for picture in objects}, held


def _scene(objects: list[dict], held: dict[int, int]) -> Scene:
    """A scene as far as two-thing questions read it: what each thing is, where, and on what."""
    place = {row["object_id"]: number for number, row in enumerate(objects)}
    things = []
    for row in objects:
        box = (row["x"], row["y"], row["x"] + row["w"], row["y"] + row["h"])
        holder = place.get(held.get(row["object_id"]))
        things.append(Thing(row["names"][0], "", "", parts=0, size="", box=box, zone="", holder=holder))
    return Scene(place="", image=None, things=tuple(things))


def _see(source: PicturebookSource, cfg: Config, store: Path) -> None:
    """Write down what is true of every picture."""
    sizes = {"classes": len(source.names.objects), "attributes": len(source.names.attributes)}
    encoder = build_encoder("symbolic", cfg, **sizes)
    items = [(record.image_id, lambda record=record: record) for record in source.pictures()]

    def encode(records):
        return encoder.encode([torch.zeros(3, record.height, record.width) for record in records], records)

    write_features(encode, items, store, encoder.feature_dim, source="symbolic", training_ids=source.training_ids())
