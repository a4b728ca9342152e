"""A model with its eyes, its words and its names: what a widget or a notebook talks to.

``Speaker`` describes, ``Answerer`` answers. Both come from a finished run (``Speaker.of(run)``), from the demo, or are
put together from anybody's parts: an encoder, a captioner, a vocabulary. Weights are loaded once and kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from updown_lab.config import DecodeConfig
from updown_lab.decode import beam_search, explain
from updown_lab.decode.captions import Caption
from updown_lab.errors import ConfigError
from updown_lab.models.ensemble import TextVqa, VqaEnsemble
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.plans import BLIND
from updown_lab.pipeline.told import Answered, Told, labels_of
from updown_lab.pipeline.work import best_device, load_captioner
from updown_lab.regions import RegionBatch, Regions, collate_regions
from updown_lab.text import END, PAD, SPECIAL_WORDS, START, UNKNOWN, AnswerVocabulary, Vocabulary
from updown_lab.vision.encoders import Encoder, OracleEncoder
from updown_lab.vision.images import load_image

__all__ = ["Answered", "Answerer", "Speaker", "Told", "ask_together", "labels_of"]

STOP = SPECIAL_WORDS[END]
ROUNDING = 1e-3  # pixels that a filter left a hair outside [0, 1]


class _Seeing:
    """The eyes that both kinds of model have."""

    def __init__(self, encoder: Encoder, model: nn.Module, name: str, objects, attributes):
        self.encoder, self.model, self.name = encoder, model.eval(), name
        self.objects, self.attributes = objects, attributes
        self.device = next(model.parameters()).device

    def see(self, image: Tensor | Path | str) -> Regions:
        """What the eyes find in a picture.

        Args:
            image: (3, H, W) float in [0, 1] RGB, or the path of a file.

        Raises:
            ValueError: another shape, or pixels that are not in [0, 1].
        """
        return self.encoder.encode([checked_picture(image)])[0]

    def see_boxes(self, image: Tensor | Path | str, boxes: Tensor) -> Regions:
        """Look at places of your own: their features are pooled on the spot, whatever the detector proposed.

        Args:
            image: as for ``see``.
            boxes: (K, 4) float, x1, y1, x2, y2 in pixels.

        Raises:
            ConfigError: the eyes are a grid, whose cells lie where they lie.
            ValueError: a box that is empty or outside the picture.
        """
        picture, boxes = checked_picture(image), torch.as_tensor(boxes, dtype=torch.float32)
        if self.encoder.source != "regions" or not hasattr(self.encoder, "detector"):
            raise ConfigError(f"{self.name} sees {self.encoder.source}, which are not pooled from boxes; "
                              'take a model with features="regions"')  # fmt: skip
        height, width = picture.shape[-2:]
        inside = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height] * 2)) if boxes.dim() == 2 else boxes
        if boxes.dim() != 2 or boxes.shape[1] != 4 or not (inside[:, 2:] - inside[:, :2] >= 1).all():
            raise ValueError(f"boxes are rows of x1, y1, x2, y2 with at least one of {width} x {height} pixels inside; "
                             f"got {boxes.tolist()}")  # fmt: skip
        seen = OracleEncoder(self.encoder.detector).encode([picture], [_Boxes(inside)])[0]
        return replace(seen, source=self.encoder.source)

    def labels(self, regions: Regions) -> list[str]:
        """A name for each region, see ``labels_of``."""
        return labels_of(regions, self.objects, self.attributes)

    def names(self, regions: Regions) -> list[str]:
        """The same without attributes, "car 0.93": what fits on a picture."""
        return labels_of(regions, self.objects)

    def _batch(self, regions: Regions) -> RegionBatch:
        wanted, seen = self.encoder.feature_dim, regions.features.shape[1]
        if seen != wanted:
            raise ConfigError(f"{self.name} reads {wanted} numbers a region, these regions ({regions.source}) have "
                              f"{seen}; take those of its own eyes: model.see(image)")  # fmt: skip
        return collate_regions([replace(regions, features=regions.features.float())]).to(self.device)


class Speaker(_Seeing):
    """A captioner with its eyes: ``speaker.describe(speaker.see(image))``.

    Args:
        encoder:    images to regions; ``build_encoder`` makes one, ``open_eyes`` finds one.
        model:      a captioner, on the device where it should work.
        vocabulary: its words.
        decode:     how sentences are searched.
        name:       for people, for instance above the picture.
        objects:    what the regions' class numbers mean, if anybody knows.
        attributes: what their attribute numbers mean.
    """

    def __init__(
        self,
        encoder: Encoder,
        model: nn.Module,
        vocabulary: Vocabulary,
        decode: DecodeConfig | None = None,
        name: str = "captioner",
        objects: Sequence[str] | None = None,
        attributes: Sequence[str] | None = None,
    ):
        super().__init__(encoder, model, name, objects, attributes)
        self.vocabulary, self.decode = vocabulary, decode or DecodeConfig()

    @classmethod
    def of(cls, run: FinishedRun, features: str = "regions", objective: str = "scst") -> "Speaker":
        """A finished run's captioner.

        Args:
            run:       where the models are; eyes that it has loaded before are shared.
            features:  "regions", "grid-pretrained-7", ...
            objective: "cross-entropy" or "scst", before or after self-critical training.

        Raises:
            DataMissing: the run has no such captioner; the message lists its stages.
        """
        folder = run.stage(f"captions-{features}-{objective}")
        model = load_captioner(folder, run.config).to(best_device())
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        encoder, names = _eyes(run, features)
        return cls(encoder, model, vocabulary, run.config.decode, f"{features}, {objective}", *names)

    def describe(self, regions: Regions, start: Sequence[str] | str = ()) -> Told:
        """The best sentence about these regions that begins with certain words.

        The words given are said first whatever the model thinks of them; then the search goes on. "<end>" as the
        last of them stops the sentence there.

        Args:
            regions: of one picture, from ``see``; some may have been taken away or added.
            start:   the words that are already said.

        Raises:
            ConfigError: a word that the model cannot say (the message names similar ones), more words than a caption
                may have, or regions of other eyes.
        """
        batch, said = self._batch(regions), self._ids(start)
        if said[-1:] != [END]:
            found = beam_search(self.model, batch, self.decode, vocabulary=self.vocabulary, prefix=said)
            said = found[0][0].tokens
        ids = torch.tensor([said], device=self.device)
        caption = explain(self.model, batch, ids, alternatives=len(self.vocabulary))[0]
        return Told(
            words=[self.vocabulary.words[number] for number in caption.words],
            weights=caption.weights,
            log_probs=caption.word_log_probs.tolist(),
            entropies=torch.special.entr(caption.alternative_log_probs.exp()).sum(1).tolist(),
            alternatives=self._alternatives(caption),
            regions=regions,
            labels=self.labels(regions),
            ended=caption.ended,
            names=self.names(regions),
        )

    def _alternatives(self, caption: Caption) -> list[list[tuple[str, float]]]:
        """The best words of each place, without those that are only padding or holes."""
        places = zip(caption.alternatives.tolist(), caption.alternative_log_probs.tolist())
        silent = (PAD, START, UNKNOWN)
        return [
            [(self.vocabulary.words[n], value) for n, value in zip(*place) if n not in silent and value > -1e9]
            [: self.decode.alternatives]
            for place in places
        ]  # fmt: skip

    def _ids(self, start: Sequence[str] | str) -> list[int]:
        """Numbers of the words that a sentence should begin with."""
        known = self.vocabulary.ids
        words = start.split() if isinstance(start, str) else list(start)
        words = [word if word in known else str(word).lower() for word in words]
        for place, word in enumerate(words):
            sayable = word in known and (word not in SPECIAL_WORDS or (word == STOP and place == len(words) - 1))
            if not sayable:
                near = get_close_matches(word, self.vocabulary.words[len(SPECIAL_WORDS) :], 3, 0.5)
                hint = f"near it are {', '.join(near)}" if near else "they are in speaker.vocabulary.words"
                raise ConfigError(f"{self.name} cannot say {word!r} as word {place + 1}: it knows "
                                  f"{len(known) - len(SPECIAL_WORDS)} words; {hint}")  # fmt: skip
        if len(words) > self.decode.maximum_words:
            raise ConfigError(f"a sentence of {self.name} has at most {self.decode.maximum_words} words, "
                              f"but {len(words)} should be said already; begin with fewer")  # fmt: skip
        return [known[word] for word in words]


class Answerer(_Seeing):
    """A VQA model, or several together, with eyes: ``answerer.ask(answerer.see(image), "what color is the kite ?")``.

    Args:
        encoder: images to regions.
        model:   a ``TextVqa`` or a ``VqaEnsemble``, on the device where it should work.
        name, objects, attributes: as for ``Speaker``.
    """

    def __init__(
        self,
        encoder: Encoder,
        model: TextVqa | VqaEnsemble,
        name: str = "VQA model",
        objects: Sequence[str] | None = None,
        attributes: Sequence[str] | None = None,
    ):
        super().__init__(encoder, model, name, objects, attributes)

    @classmethod
    def of(cls, run: FinishedRun, features: str = "regions") -> "Answerer":
        """A finished run's VQA model.

        Raises:
            DataMissing: the run has none for these features; the message lists its stages.
            ConfigError: features that no picture has.
        """
        encoder, names = _eyes(run, features)
        return cls(encoder, run.text_vqa(features), features, *names)

    def ask(self, regions: Regions, question: str, top: int = 5) -> Answered:
        """Answer one question.

        Args:
            regions:  of one picture, from ``see``.
            question: in any writing.
            top:      how many answers to give.

        Raises:
            ConfigError: regions of other eyes.
        """
        probabilities, weights = self.model(self._batch(regions), [question], torch.zeros(1, dtype=torch.long))
        answers = best_answers(self.model.answers, probabilities[0], top)
        unknown = self.model.unknown(question)
        return Answered(answers, weights[0].float().cpu().clone(), unknown, regions, self.labels(regions), question)


def ask_together(answerers: Sequence[Answerer], image: Tensor | Path | str, question: str, top: int = 5) -> Answered:
    """Several models answer one question, each with its own eyes: the mean of their probabilities by name.

    Args:
        answerers: any number.
        image:     as for ``Answerer.see``.
        question, top: as for ``Answerer.ask``.

    Returns:
        The answers of all; regions, labels and attention are the first one's.

    Raises:
        ConfigError: nobody to ask.
    """
    together = VqaEnsemble(answerer.model for answerer in answerers)
    first, seen = answerers[0], [answerer.see(image) for answerer in answerers]
    batches = [answerer._batch(regions) for answerer, regions in zip(answerers, seen, strict=True)]
    probabilities, weights = together(batches, [question], torch.zeros(1, dtype=torch.long))
    answers = best_answers(together.answers, probabilities[0], top)
    return Answered(answers, weights[0], together.unknown(question), seen[0], first.labels(seen[0]), question)


def best_answers(answers: AnswerVocabulary, probabilities: Tensor, top: int) -> list[tuple[str, float]]:
    """The likeliest answers with their probabilities, best first.

    >>> best_answers(AnswerVocabulary(["yes", "no"]), torch.tensor([0.25, 0.5]), 1)
    [('no', 0.5)]
    """
    scores, best = probabilities.topk(min(top, len(answers)))
    return [(answers.answers[number], score) for number, score in zip(best.tolist(), scores.tolist(), strict=True)]


@dataclass(frozen=True)
class _Boxes:
    """What an encoder of given boxes reads of an annotation."""

    boxes: Tensor


def _eyes(run: FinishedRun, features: str):
    """A run's encoder, and the names of what it sees; a grid has none."""
    if features in ("symbolic", BLIND):
        kinds = ", ".join(run.config.encoders)
        raise ConfigError(f"a model of {features!r} cannot look at a picture; take one of {kinds}")
    return run.encoder(features), () if features.startswith("grid") else run.names(features)


def checked_picture(image: Tensor | Path | str) -> Tensor:
    """An image as every encoder takes it."""
    picture = image if isinstance(image, Tensor) else load_image(image)
    right = picture.dim() == 3 and len(picture) == 3 and picture.is_floating_point() and picture.numel() > 0
    if not right or not (float(picture.min()) >= -ROUNDING and float(picture.max()) <= 1 + ROUNDING):
        ends = f" from {float(picture.min()):g} to {float(picture.max()):g}" if picture.numel() else ""
        raise ValueError(f"an image is a float tensor (3, H, W) from 0 to 1, got {picture.dtype} "
                         f"{tuple(picture.shape)}{ends}; load_image(path) reads a file so")  # fmt: skip
    return picture
