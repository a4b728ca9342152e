"""The recipe that teaches the captioner to imitate people; ``self_critical.py`` goes on from there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from updown_lab.config import Config, TeachingConfig, fingerprint
from updown_lab.decode import Caption, beam_search, greedy
from updown_lab.metrics.document_frequencies import DocumentFrequencies, source_of
from updown_lab.metrics.reward import Reward
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.models.rehearsal import rehearsal_loss, rehearse_lesson
from updown_lab.models.teaching import teaching_loss
from updown_lab.regions import RegionBatch
from updown_lab.store.feature_store import FeatureStore
from updown_lab.text import END, PAD, UNKNOWN, Vocabulary, pad_ids
from updown_lab.training.distributed import Share, share, step_seed
from updown_lab.training.loop import Batches, fit
from updown_lab.training.losses import caption_cross_entropy

T = TypeVar("T")
VALIDATION_IMAGES = 200  # at most so many are decoded for each row of the history


class CaptionImages:
    """The images of one split with their captions as ids.

    Args:
        records:    ``CaptionRecord`` of the split.
        store:      their regions.
        vocabulary: words to ids.
        maximum_words: longer captions are cut.
        device:     where batches go.
    """

    def __init__(self, records, store: FeatureStore, vocabulary: Vocabulary, maximum_words: int, device):
        self.image_ids = [record.image_id for record in records]
        self.ids = [[vocabulary.encode(text, maximum_words) for text in record.captions] for record in records]
        self.store, self.device = store, torch.device(device)
        self.source = source_of(vocabulary, fingerprint(self.image_ids), maximum_words)

    def __len__(self) -> int:
        return len(self.image_ids)

    def regions(self, rows: Sequence[int]) -> RegionBatch:
        """Regions of some images."""
        return self.store.batch([self.image_ids[row] for row in rows]).to(self.device)

    def captions(self, rows: Sequence[int], count: int = 0, seed: int | None = None) -> list[list[list[int]]]:
        """Captions of some images, each a list of ids without END.

        Args:
            rows:  places of the images in this split.
            count: so many drawn captions of each image; 0 gives all of them.
            seed:  of the draw; by default torch's own random numbers.
        """
        if not count:
            return [self.ids[row] for row in rows]
        chance = None if seed is None else torch.Generator().manual_seed(seed)
        orders = [torch.randperm(len(self.ids[row]), generator=chance)[:count].tolist() for row in rows]
        return [[self.ids[row][place] for place in order] for row, order in zip(rows, orders, strict=True)]

    def targets(self, captions: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor]:
        """Captions of images as ids (N, T) that end with END, and the image row (N,) of each, on the device."""
        targets = pad_ids([[*caption, END] for of_image in captions for caption in of_image])
        owners = [place for place, of_image in enumerate(captions) for _ in of_image]
        return targets.to(self.device), torch.tensor(owners, device=self.device)

    def reward(self, end_token: int | None = None, bleu: float = 0.0, frequencies: Path | None = None) -> Reward:
        """CIDEr-D, and some BLEU-4, with this split's captions as references and for the document frequencies.

        Args:
            end_token:   see ``Reward``.
            bleu:        weight of BLEU-4.
            frequencies: file that keeps the counts; one that is there must be of this vocabulary, tokeniser and split.

        Raises:
            DataInvalid: the file was counted on something else; the message says how to rebuild it.
        """
        if frequencies is None:
            return Reward(self.ids, end_token, bleu)
        counted = DocumentFrequencies.load_or_count(frequencies, self.ids, self.source, end_token)
        return Reward(self.ids, end_token, bleu, counted)


def validation_score(model: UpDownCaptioner, images: CaptionImages, cfg: Config) -> dict[str, float]:
    """CIDEr-D (times 100) of greedy captions of some validation images, on our own tokens."""
    rows = list(range(min(len(images), VALIDATION_IMAGES)))
    captions = [caption for part in _chunks(rows, 64)
                for caption in greedy(model, images.regions(part), cfg.captioner.maximum_words)]  # fmt: skip
    scores = images.reward().score(rows, pad_ids([caption.words or [END] for caption in captions]))
    return {"score": 100 * float(scores.mean())}


def _chunks(rows: Sequence[int], size: int):
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def new_captioner(store: FeatureStore, vocabulary: Vocabulary, cfg: Config) -> UpDownCaptioner:
    """A captioner of the configured size for these features, scaled by their statistics if so configured."""
    torch.manual_seed(cfg.seed)
    model = UpDownCaptioner(cfg.captioner, len(vocabulary), store.feature_dim)
    if cfg.captioner.standardise:
        model.standardise.fit(store.mean, store.deviation)
    return model


def train_captioner(
    model: UpDownCaptioner, train: CaptionImages, validation: CaptionImages, cfg: Config, folder: Path
) -> UpDownCaptioner:
    """Cross-entropy on people's captions; Anderson et al. 2018, Sec. 3.2.3.

    A step takes ``cfg.cross_entropy.batch_size`` images and ``cfg.teaching.captions_per_image`` captions of each; the
    regions of an image are projected once for all of them. A word weighs the same in whatever share of a step it is:
    each share knows all captions of the step, so several processes learn what one would.
    """
    settings, count = cfg.cross_entropy, cfg.teaching.captions_per_image
    fast = cfg.teaching.fast and not settings.compile  # torch compiles what autograd runs
    teaching = replace(cfg.teaching, fast=fast)
    batches = Batches(len(train), settings.batch_size, cfg.seed)

    def losses_at(step: int) -> dict[str, Tensor]:
        mine, rows = share(), batches.rows(step)
        whole = [row for number in range(mine.of) for row in batches.rows(step, Share(number, mine.of))]
        captions = train.captions(whole, count, step_seed(cfg.seed, step, Share()))
        words = sum(counted_words(caption, cfg.teaching) for of_image in captions for caption in of_image) / mine.of
        targets, owners = train.targets(captions[mine.number * len(rows) :][: len(rows)])
        own = cfg.teaching.scheduled_sampling * step / max(1, settings.steps)
        return {"cross_entropy": imitation_loss(model, train.regions(rows), targets, owners, teaching, own, words)}

    fit(model, losses_at, settings, folder, cfg.seed, lambda: validation_score(model, validation, cfg),
        "captions: cross-entropy")  # fmt: skip
    return model


def counted_words(caption: Sequence[int], cfg: TeachingConfig) -> int:
    """How many words of a caption are taught, END included.

    >>> counted_words([7, UNKNOWN], TeachingConfig(skip_unknown=True))
    2
    """
    return len(caption) + 1 - (caption.count(UNKNOWN) if cfg.skip_unknown else 0)


def imitation_loss(
    model: UpDownCaptioner,
    regions: RegionBatch,
    targets: Tensor,
    owners: Tensor,
    cfg: TeachingConfig,
    own: float = 0.0,
    words: float | None = None,
) -> Tensor:
    """Cross-entropy of a batch, by hand-written gradients or by the readable model: the same number.

    Args:
        model:   learns.
        regions: B images.
        targets: (N, T) long, words then END then PAD.
        owners:  (N,) long, the image of each caption.
        cfg:     scale, smoothing, which words count.
        own:     share of words read from the model's own mouth at this step (scheduled sampling).
        words:   what the sum over words is divided by; by default how many are taught here.

    Returns:
        () float, nats a word times ``cfg.loss_scale``.
    """
    counted = (targets != PAD) & ~((targets == UNKNOWN) & cfg.skip_unknown)
    importance = counted * (cfg.loss_scale / (counted.sum().clamp(min=1) if words is None else max(words, 1)))
    fast, read = cfg.fast and in_full_precision(regions), shift_right(targets)
    if own > 0:
        if fast and says_it_twice_alike(model):
            lesson = rehearse_lesson(model, regions, targets, owners, own)
            return rehearsal_loss(model, lesson, importance, cfg.label_smoothing)
        read = quietly(model, lambda: rehearse_lesson(model, regions, targets, owners, own)).read
    if fast:
        return teaching_loss(model, regions, targets, owners, importance, cfg.label_smoothing, read)
    log_probs, _ = model(regions, read, owners)
    return caption_cross_entropy(log_probs, targets, importance, cfg.label_smoothing)


def in_full_precision(regions: RegionBatch) -> bool:
    """Whether numbers are what they seem: hand-written gradients know nothing of mixed precision, autograd does."""
    return not torch.is_autocast_enabled(regions.features.device.type)


def says_it_twice_alike(model: UpDownCaptioner) -> bool:
    """Whether a sentence can be learned from while it is said: with dropout each reading is another one."""
    return not (model.training and model.cfg.dropout)


def quietly(model: UpDownCaptioner, speak: Callable[[], T]) -> T:
    """What the model says at test time: without dropout, gradients and mixed precision."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(model.output.weight.device.type, enabled=False):
            return speak()
    finally:
        model.train(mode)


def describe_images(model: UpDownCaptioner, images: CaptionImages, cfg: Config) -> list[Caption]:
    """The best caption of each image by beam search, in the images' order."""
    model.eval()
    rows = list(range(len(images)))
    return [found[0] for part in _chunks(rows, 50) for found in beam_search(model, images.regions(part), cfg.decode)]
