"""From a captioner to sentences: the best word each time, by chance, or with a beam."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from updown_lab.config import DecodeConfig
from updown_lab.models.captioner import DecodeState, UpDownCaptioner
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, START, UNKNOWN

NEVER = float("-inf")


@dataclass(frozen=True)
class Caption:
    """A sentence and why.

    Attributes:
        words:          ids of the T words, without START and END.
        log_prob:       of the whole sentence in nats; includes its END when it has one.
        word_log_probs: (T,) float, of each word given those before.
        weights:        (T, K) float, where the model looked before each word; K are the image's own regions.
        ended:          False if the sentence was cut off at the longest length.
    """

    words: list[int]
    log_prob: float
    word_log_probs: Tensor
    weights: Tensor
    ended: bool = True


def greedy(
    model: UpDownCaptioner, regions: RegionBatch, maximum_words: int, allow_unknown: bool = False
) -> list[Caption]:
    """One caption an image: the most likely next word, again and again. A beam of one.

    Args:
        model:         the captioner.
        regions:       B images.
        maximum_words: longest caption in words, END counted as one.
        allow_unknown: whether the word "<unknown>" may be said.

    >>> from updown_lab.config import preset
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(2, 3, 5), torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    >>> len(greedy(captioner, regions, maximum_words=6))
    2
    """
    cfg = DecodeConfig(beam_size=1, maximum_words=maximum_words, no_repeat=False)
    return [captions[0] for captions in beam_search(model, regions, cfg, allow_unknown)]


@torch.no_grad()
def sample(
    model: UpDownCaptioner,
    regions: RegionBatch,
    maximum_words: int,
    samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Captions by chance, each as often as the model believes in it.

    No gradient: for learning, run the model again over what was drawn,
    ``model(regions, shift_right(ids), image_rows)`` with each image ``samples`` times in a row.

    Args:
        model:         the captioner.
        regions:       B images.
        maximum_words: longest caption in words, END counted as one.
        samples:       S, captions an image.
        generator:     source of chance, on the model's device.

    Returns:
        (B * S, T) long: words, END, then PAD; the S captions of an image follow each other.

    >>> from updown_lab.config import preset
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(2, 3, 5), torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    >>> sample(captioner, regions, maximum_words=1, samples=4).shape
    torch.Size([8, 1])
    """
    state = model.begin(regions)
    state = state.select(state.image_rows.repeat_interleave(samples))
    speaking = torch.arange(len(state), device=state.image_rows.device)
    ids = speaking.new_full((len(state), maximum_words), PAD)
    words = torch.full_like(speaking, START)
    for place in range(maximum_words):
        log_probs, _, state = model.step(words, state)
        words = torch.multinomial(log_probs.exp(), 1, generator=generator)[:, 0]
        ids[speaking, place] = words
        more = words != END
        if not more.any():
            return ids[:, : place + 1]
        speaking, words, state = speaking[more], words[more], state.select(more)
    return ids


@torch.no_grad()
def beam_search(
    model: UpDownCaptioner, regions: RegionBatch, cfg: DecodeConfig, allow_unknown: bool = False
) -> list[list[Caption]]:
    """The best captions of each image, keeping ``beam_size`` half-sentences alive.

    The score of a sentence is the sum of its words' log-probabilities, not divided by its length.
    A sentence that has ended keeps its place in the beam and competes with those that still grow.
    Works on all images and beams at once; an image whose beam has ended leaves.

    Args:
        model:         the captioner.
        regions:       B images.
        cfg:           beam size, longest caption in words (END counted as one), no word twice in a row.
        allow_unknown: whether the word "<unknown>" may be said.

    Returns:
        For each image at most ``beam_size`` captions, best first; those cut off come after all that ended.

    >>> from updown_lab.config import preset
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(2, 3, 5), torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    >>> [len(captions) for captions in beam_search(captioner, regions, preset("tiny").decode)]
    [5, 5]
    """
    beams = _begin(model, regions)
    captions: list[list[Caption]] = [[] for _ in range(len(regions))]
    for _ in range(cfg.maximum_words):
        if len(beams.scores) == 0:
            break
        beams = _extend(model, beams, cfg, allow_unknown)
        over = beams.over.view(-1, beams.width).all(1).repeat_interleave(beams.width)
        if over.any():
            _collect(beams.select(over), captions)
            beams = beams.select(~over)
    _collect(beams, captions)
    return [sorted(found, key=lambda caption: not caption.ended) for found in captions]


@dataclass(frozen=True)
class _Beams:
    """``width`` half-sentences of each image that is still being described, image after image: N rows."""

    width: int
    state: DecodeState
    scores: Tensor  # (N,) sum of log-probabilities
    ended: Tensor  # (N,) bool
    words: Tensor  # (N, 1 + t), from START on
    word_log_probs: Tensor  # (N, t)
    weights: Tensor  # (N, t, K)

    def select(self, rows: Tensor) -> "_Beams":
        names = ("scores", "ended", "words", "word_log_probs", "weights")
        parts = {name: getattr(self, name)[rows] for name in names}
        return replace(self, state=self.state.select(rows), **parts)

    @property
    def over(self) -> Tensor:
        """(N,) True where nothing more can come: ended, or an impossible sentence filling a place."""
        return self.ended | self.scores.isneginf()


def _begin(model: UpDownCaptioner, regions: RegionBatch) -> _Beams:
    state = model.begin(regions)
    rows = state.image_rows
    nothing = state.features.new_zeros(len(rows), 0)
    return _Beams(
        width=1,
        state=state,
        scores=state.features.new_zeros(len(rows)),
        ended=torch.zeros_like(rows, dtype=torch.bool),
        words=torch.full_like(rows, START)[:, None],
        word_log_probs=nothing,
        weights=nothing[:, :, None].expand(-1, -1, state.mask.shape[1]),
    )


def _extend(model: UpDownCaptioner, beams: _Beams, cfg: DecodeConfig, allow_unknown: bool) -> _Beams:
    """Give every half-sentence every next word, and keep the best of each image."""
    previous = beams.words[:, -1]
    log_probs, weights, state = model.step(previous, beams.state)
    if not allow_unknown:
        log_probs[:, UNKNOWN] = NEVER
    if cfg.no_repeat:
        log_probs.scatter_(1, previous[:, None], NEVER)
    log_probs[beams.ended] = NEVER  # an ended sentence stays as it is: it takes only padding, at no cost
    log_probs[beams.ended, PAD] = 0.0

    vocabulary = log_probs.shape[1]
    totals = (beams.scores[:, None] + log_probs).view(-1, beams.width * vocabulary)
    scores, choice = totals.topk(min(cfg.beam_size, totals.shape[1]))  # (images, width)
    first_row = torch.arange(len(totals), device=choice.device)[:, None] * beams.width
    parents, words = (first_row + choice // vocabulary).flatten(), (choice % vocabulary).flatten()

    kept = replace(beams, state=state, weights=torch.cat([beams.weights, weights[:, None]], 1)).select(parents)
    return replace(
        kept,
        width=scores.shape[1],
        scores=scores.flatten(),
        ended=kept.ended | (words == END),
        words=torch.cat([kept.words, words[:, None]], 1),
        word_log_probs=torch.cat([kept.word_log_probs, log_probs[parents, words][:, None]], 1),
    )


def _collect(beams: _Beams, captions: list[list[Caption]]) -> None:
    """Turn rows into captions, best first as they come, and put each to its image."""
    lengths = ((beams.words != END) & (beams.words != PAD)).sum(1) - 1  # without START
    for row, image in enumerate(beams.state.image_rows.tolist()):
        score, length = beams.scores[row].item(), int(lengths[row])
        if score == NEVER:
            continue
        captions[image].append(
            Caption(
                words=beams.words[row, 1 : 1 + length].tolist(),
                log_prob=score,
                word_log_probs=beams.word_log_probs[row, :length],
                weights=beams.weights[row, :length][:, beams.state.mask[image]],
                ended=bool(beams.ended[row]),
            )
        )
