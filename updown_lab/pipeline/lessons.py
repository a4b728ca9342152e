"""What a lesson needs before it can begin: a small world, seen and split, in under half a minute the first time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import Config, fingerprint
from updown_lab.datasets.picturebook import make_picturebook
from updown_lab.pipeline.sources import PicturebookSource, RealSource, sentences
from updown_lab.store.feature_store import FeatureStore, write_features
from updown_lab.text import AnswerVocabulary, Vocabulary
from updown_lab.training.answering import Questions
from updown_lab.training.speaking import CaptionImages
from updown_lab.vision.encoders import build_encoder
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


def _see(source: PicturebookSource, cfg: Config, store: Path) -> None:
    """Write down what is true of every picture."""
    sizes = {"classes": len(source.names.objects), "attributes": len(source.names.attributes)}
    encoder = build_encoder("symbolic", cfg, **sizes)
    items = [(record.image_id, lambda record=record: record) for record in source.pictures()]

    def encode(records):
        return encoder.encode([torch.zeros(3, record.height, record.width) for record in records], records)

    write_features(encode, items, store, encoder.feature_dim, source="symbolic", training_ids=source.training_ids())
