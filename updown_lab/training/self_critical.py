"""The recipe that teaches the captioner to please CIDEr-D (and BLEU-4), in four forms that go by the name of SCST.

    form           candidates            baseline                          who
    rennie         drawn sentences       the greedy sentence               Rennie et al. 2017
    paper          drawn from the beam   the greedy sentence               Anderson et al. 2018, Sec. 3.2.3
    authors        the whole beam        the mean of the beam              the authors' Caffe code
    leave_one_out  drawn sentences       the mean of the other sentences   "new self-critical", Luo 2020

The paper draws from the beam to save time: the work goes where the model already is. Instead of drawing, every sentence
of the beam counts here with its share of the beam's probability, which is what drawing does on average. Without these
shares, as in the authors' code, the baseline must be the beam's own mean: most of a beam is worse than the greedy
sentence, and a model that is only told what was bad forgets what was good. The greedy baseline is the sentence of test
time; a mean of the candidates needs no further decoding and has less noise, and leaving the candidate itself out keeps
the gradient unbiased.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import Config
from updown_lab.decode import Caption, beam_search, greedy, sample
from updown_lab.errors import UpdownError
from updown_lab.files import write_json
from updown_lab.metrics.reward import Reward
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.models.rehearsal import rehearsal_loss, rehearse
from updown_lab.models.teaching import teaching_loss
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, pad_ids
from updown_lab.training import distributed
from updown_lab.training.loop import Batches, fit
from updown_lab.training.losses import advantages, self_critical_loss
from updown_lab.training.speaking import (
    CaptionImages,
    in_full_precision,
    quietly,
    says_it_twice_alike,
    validation_score,
)

FORMS = {
    "rennie": ("samples", "greedy"),
    "paper": ("beam", "greedy"),
    "authors": ("beam", "mean"),
    "leave_one_out": ("samples", "others"),
}
PANEL_IMAGES = 50  # described before the first update, to see whether training can work at all


def train_self_critical(
    model: UpDownCaptioner, train: CaptionImages, validation: CaptionImages, cfg: Config, folder: Path
) -> UpDownCaptioner:
    """Self-critical training; Sec. 3.2.3.

    Args:
        model:      a captioner that has learned to imitate.
        train:      its references are those of the reward.
        validation: decoded for the history.
        cfg:        ``scst`` and ``captioner`` are read.
        folder:     for checkpoints, ``panel.json`` before the first update, and ``document_frequencies.npz``.

    Raises:
        DataInvalid: the folder's document frequencies are of another vocabulary, tokeniser or split.
        UpdownError: the reward is zero everywhere, so that nothing could be learned.
    """
    kind, baseline = FORMS[cfg.scst.form]
    settings, words = cfg.scst.training, cfg.captioner.maximum_words
    batches = Batches(len(train), settings.batch_size, cfg.seed + 1)
    counts = Path(folder) / "document_frequencies.npz" if distributed.is_first() else None
    reward = train.reward(END if cfg.scst.end_token else None, cfg.scst.bleu, counts)
    if not (Path(folder) / "checkpoint.pt").exists():
        panel = sanity_panel(model, train, reward, cfg)
        if distributed.is_first():
            write_json(Path(folder) / "panel.json", panel, indent=1)

    def losses_at(step: int) -> dict[str, Tensor]:
        rows = batches.rows(step)
        regions, images = train.regions(rows), torch.tensor(rows)
        own = None
        if baseline == "greedy":
            guesses = quietly(model, lambda: greedy(model, regions, words))
            own = _scores(reward, images, pad_ids([with_end(caption) for caption in guesses]))
        said, owners, shares, loss_of = (_beam if kind == "beam" else _samples)(model, regions, cfg)
        rewards = _scores(reward, images[owners.cpu()], said).view(len(rows), -1)
        advantage = advantages(rewards, own, baseline).to(train.device) * shares
        return {"self_critical": loss_of(advantage.flatten() / len(rows))}

    fit(model, losses_at, settings, folder, cfg.seed + 1, lambda: validation_score(model, validation, cfg),
        "captions: self-critical")  # fmt: skip
    return model


def _samples(
    model: UpDownCaptioner, regions: RegionBatch, cfg: Config
) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Drawn sentences (N, T), their images (N,), their shares (B, S), and the loss as a function of weights (N,)."""
    words, count = cfg.captioner.maximum_words, cfg.scst.samples
    equal = torch.full((len(regions), count), 1 / count, device=regions.mask.device)
    if _fast(regions, cfg) and says_it_twice_alike(model):
        drawn = rehearse(model, regions, words, count)
        return drawn.words, drawn.image_rows, equal, lambda weights: rehearsal_loss(model, drawn, weights)
    said = sample(model, regions, words, count)
    owners = torch.arange(len(regions), device=said.device).repeat_interleave(count)
    return said, owners, equal, lambda weights: _read_again(model, regions, said, owners, weights, _fast(regions, cfg))


def _beam(
    model: UpDownCaptioner, regions: RegionBatch, cfg: Config
) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """The beam of each image, in the form of ``_samples``."""
    rule = replace(cfg.decode, beam_size=cfg.scst.samples, maximum_words=cfg.captioner.maximum_words)
    found = quietly(model, lambda: beam_search(model, regions, rule))
    said = pad_ids([with_end(caption) for beam in found for caption in beam]).to(regions.mask.device)
    owners = torch.arange(len(regions), device=said.device).repeat_interleave(len(found[0]))
    chances = torch.tensor([[caption.log_prob for caption in beam] for beam in found], device=said.device)
    shares = chances.softmax(1) if cfg.scst.form == "paper" else torch.full_like(chances, 1 / chances.shape[1])
    return said, owners, shares, lambda weights: _read_again(model, regions, said, owners, weights, _fast(regions, cfg))


def _fast(regions: RegionBatch, cfg: Config) -> bool:
    return cfg.teaching.fast and in_full_precision(regions)


def _read_again(model, regions: RegionBatch, said: Tensor, owners: Tensor, weights: Tensor, fast: bool) -> Tensor:
    """The loss of known sentences: by hand-written gradients, or by the readable model."""
    if fast:
        return teaching_loss(model, regions, said, owners, weights[:, None].expand(said.shape))
    log_probs, _ = model(regions, shift_right(said), owners)
    chosen = log_probs.gather(2, said[..., None])[..., 0]
    return self_critical_loss(chosen, said != PAD, weights * len(weights))


def with_end(caption: Caption) -> list[int]:
    """A caption's ids with END, if the model said it."""
    return [*caption.words, END] if caption.ended else [*caption.words]


def _scores(reward: Reward, images: Tensor, ids: Tensor) -> Tensor:
    return torch.from_numpy(reward.score(images, ids)).float()


def sanity_panel(model: UpDownCaptioner, images: CaptionImages, reward: Reward, cfg: Config) -> dict:
    """What tells beforehand whether self-critical training can work: "CIDEr drops in SCST" has few causes.

    Returns:
        reward:   mean reward (CIDEr-D: 0 to 10) of greedy captions of training images; zero means nothing to climb.
        ended:    share of these captions that ended by themselves; cross-entropy was too short if it is low.
        known:    share of their words that occur in the references at all; a wrong vocabulary shows here.
        learning_rate_ratio: self-critical over cross-entropy; 0.1 (the paper) or less is usual.
        warnings: in words.

    Raises:
        UpdownError: the reward is zero for every caption; the message says what to check.
    """
    rows = list(range(min(len(images), PANEL_IMAGES)))
    guesses = quietly(model, lambda: greedy(model, images.regions(rows), cfg.captioner.maximum_words))
    mean = float(_scores(reward, torch.tensor(rows), pad_ids([with_end(guess) or [END] for guess in guesses])).mean())
    references = {word for captions in images.ids for caption in captions for word in caption}
    said = [word for guess in guesses for word in guess.words]
    known = sum(word in references for word in said) / max(1, len(said))
    if not mean > 0:
        raise UpdownError(
            f"the captions of {len(rows)} training images earn no reward at all (CIDEr-D {mean:.3f}; "
            f"{100 * known:.0f} % of their words occur in the references): self-critical training would learn nothing. "
            "Train with cross-entropy first, and check that model, references and reward share one vocabulary"
        )
    ended = sum(guess.ended for guess in guesses) / len(guesses)
    ratio = cfg.scst.training.learning_rate / cfg.cross_entropy.learning_rate
    warnings = [text for bad, text in (
        (ended < 0.5, f"only {100 * ended:.0f} % of the captions end by themselves: train longer with cross-entropy"),
        (known < 0.9, f"only {100 * known:.0f} % of the words occur in the references: is it the same vocabulary?"),
        (ratio >= 1, f"the learning rate is {ratio:g} times that of cross-entropy: a tenth is usual"),
    ) if bad]  # fmt: skip
    return {"reward": mean, "ended": ended, "known": known, "learning_rate_ratio": ratio, "warnings": warnings}
