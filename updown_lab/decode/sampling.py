"""Captions by chance, each as often as the model believes in it, or a little more carefully."""

from collections.abc import Sequence

import torch
from torch import Tensor

from updown_lab.decode.captions import Speaker
from updown_lab.decode.rules import NEVER, Rule, obey
from updown_lab.text import END, PAD, START


@torch.no_grad()
def sample(
    model: Speaker,
    regions,
    maximum_words: int,
    samples: int,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    rules: Sequence[Rule] = (),
) -> Tensor:
    """Captions by chance. The regions of an image are projected once for all its samples.

    No gradient: for learning, run the model again over what was drawn,
    ``model(regions, shift_right(ids), image_rows)`` with each image ``samples`` times in a row. ``explain`` turns
    ids into captions with their probabilities.

    Args:
        model:         the captioner.
        regions:       B images.
        maximum_words: longest caption in words, END counted as one.
        samples:       S, captions an image.
        generator:     source of chance, on the model's device.
        temperature, top_k, top_p: see ``sharpen``; the defaults draw from the model as it is.
        rules:         what may not be said, see ``decode/rules.py``; the rest is scaled up again.

    Returns:
        (B * S, T) long: words, END, then PAD; the S captions of an image follow each other.

    Raises:
        ValueError: a temperature, top_k or top_p that means nothing.

    >>> from updown_lab.config import preset
    >>> from updown_lab.models.captioner import UpDownCaptioner
    >>> from updown_lab.regions import RegionBatch
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(2, 3, 5), torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    >>> sample(captioner, regions, maximum_words=1, samples=4).shape
    torch.Size([8, 1])
    """
    _check(temperature, top_k, top_p)
    state = model.begin(regions)
    state = state.select(state.image_rows.repeat_interleave(samples))
    speaking = torch.arange(len(state), device=state.image_rows.device)
    ids = speaking.new_full((len(state), maximum_words), PAD)
    said = torch.full_like(speaking, START)[:, None]
    for place in range(maximum_words):
        log_probs, _, state = model.step(said[:, -1], state)
        if rules:
            obey(log_probs, said, rules)
            stuck = log_probs.amax(1).isneginf()
            log_probs[:, PAD] = log_probs[:, PAD].masked_fill(stuck, 0.0)  # it stops
        chances = sharpen(log_probs, temperature, top_k, top_p).exp()
        words = torch.multinomial(chances, 1, generator=generator)[:, 0]
        ids[speaking, place] = words
        more = (words != END) & (words != PAD)
        if not more.any():
            return ids[:, : place + 1]
        speaking, state = speaking[more], state.select(more)
        said = torch.cat([said[more], words[more, None]], 1)
    return ids


def sharpen(log_probs: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Make likely words likelier, or leave out unlikely ones. In this order:

        temperature   p_i^(1 / temperature): below 1 more careful, above 1 bolder
        top_k         only the k likeliest words (0: all)
        top_p         only the fewest words that hold this much probability together ("nucleus", Holtzman et al. 2020)

    Args:
        log_probs: (N, V) float, not necessarily scaled.

    Returns:
        (N, V) float, scaled if anything has changed; -inf where a word is left out. The likeliest is always kept.

    >>> log_probs = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    >>> sharpen(log_probs, top_p=0.7).exp()
    tensor([[0.6250, 0.3750, 0.0000, 0.0000]])
    """
    if temperature == 1 and not top_k and top_p == 1:
        return log_probs
    log_probs = log_probs / temperature
    if 0 < top_k < log_probs.shape[1]:
        best, ids = log_probs.topk(top_k)
        log_probs = torch.full_like(log_probs, NEVER).scatter(1, ids, best)
    if top_p < 1:
        ordered, ids = log_probs.sort(1, descending=True)
        chances = ordered.softmax(1)
        before = chances.cumsum(1) - chances
        before[:, 0] = 0.0  # rounding may not take the last word away
        log_probs = torch.full_like(log_probs, NEVER).scatter(1, ids, ordered.masked_fill(before >= top_p, NEVER))
    return log_probs.log_softmax(1)


def _check(temperature: float, top_k: int, top_p: float) -> None:
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature should be above 0, got {temperature}; for the best word each time use greedy")
    if top_k < 0:
        raise ValueError(f"top_k should be 0 (all words) or more, got {top_k}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p should be above 0 and at most 1 (all words), got {top_p}")
