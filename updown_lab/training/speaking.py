"""Recipes that teach the captioner: first to imitate people, then to please CIDEr-D."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import Config
from updown_lab.decode import Caption, beam_search, greedy, sample
from updown_lab.metrics.cider_d import CiderD
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.regions import RegionBatch
from updown_lab.store.feature_store import FeatureStore
from updown_lab.text import END, PAD, Vocabulary, pad_ids
from updown_lab.training.loop import Batches, fit
from updown_lab.training.losses import advantages, caption_cross_entropy, self_critical_loss

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

    def __len__(self) -> int:
        return len(self.image_ids)

    def regions(self, rows: Sequence[int]) -> RegionBatch:
        """Regions of some images."""
        return self.store.batch([self.image_ids[row] for row in rows]).to(self.device)

    def captions(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """All captions of some images: ids (N, T) that end with END, and the image row (N,) of each."""
        targets = pad_ids([[*caption, END] for row in rows for caption in self.ids[row]])
        owners = [place for place, row in enumerate(rows) for _ in self.ids[row]]
        return targets.to(self.device), torch.tensor(owners, device=self.device)

    def reward(self, end_token: int | None = None) -> CiderD:
        """CIDEr-D with this split's captions as references and for the document frequencies."""
        return CiderD(self.ids, end_token)


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

    A step takes ``cfg.cross_entropy.batch_size`` images with all their captions, so that the
    regions of an image are projected once for all of them.
    """
    batches = Batches(len(train), cfg.cross_entropy.batch_size, cfg.seed)

    def losses_at(step: int) -> dict[str, Tensor]:
        rows = batches.rows(step)
        targets, owners = train.captions(rows)
        log_probs, _ = model(train.regions(rows), shift_right(targets), owners)
        return {"cross_entropy": caption_cross_entropy(log_probs, targets)}

    fit(model, losses_at, cfg.cross_entropy, folder, cfg.seed, lambda: validation_score(model, validation, cfg),
        "captions: cross-entropy")  # fmt: skip
    return model


def train_self_critical(
    model: UpDownCaptioner, train: CaptionImages, validation: CaptionImages, cfg: Config, folder: Path
) -> UpDownCaptioner:
    """Self-critical training on CIDEr-D; Sec. 3.2.3.

    The end of a sentence counts as a word of the reward: a model that is not paid for
    stopping learns to end in "with a".
    """
    settings = cfg.scst.training
    batches = Batches(len(train), settings.batch_size, cfg.seed + 1)
    reward, words = train.reward(END), cfg.captioner.maximum_words

    def losses_at(step: int) -> dict[str, Tensor]:
        rows = batches.rows(step)
        regions = train.regions(rows)
        drawn = sample(model, regions, words, cfg.scst.samples)
        owners = torch.arange(len(rows), device=train.device).repeat_interleave(cfg.scst.samples)
        images = torch.tensor(rows)
        rewards = _scores(reward, images[owners.cpu()], drawn).view(len(rows), -1)
        own = None
        if cfg.scst.baseline == "greedy":
            guesses = pad_ids([_with_end(caption) for caption in greedy(model, regions, words)])
            own = _scores(reward, images, guesses)
        advantage = advantages(rewards, own, cfg.scst.baseline).flatten().to(train.device)
        log_probs, _ = model(regions, shift_right(drawn), owners)
        said = log_probs.gather(2, drawn[..., None])[..., 0]
        return {"self_critical": self_critical_loss(said, drawn != PAD, advantage)}

    fit(model, losses_at, settings, folder, cfg.seed + 1, lambda: validation_score(model, validation, cfg),
        "captions: self-critical")  # fmt: skip
    return model


def _with_end(caption: Caption) -> list[int]:
    return [*caption.words, END] if caption.ended else [*caption.words]


def _scores(reward: CiderD, images: Tensor, ids: Tensor) -> Tensor:
    return torch.from_numpy(reward.score(images, ids)).float()


def describe_images(model: UpDownCaptioner, images: CaptionImages, cfg: Config) -> list[Caption]:
    """The best caption of each image by beam search, in the images' order."""
    model.eval()
    rows = list(range(len(images)))
    return [found[0] for part in _chunks(rows, 50) for found in beam_search(model, images.regions(part), cfg.decode)]
