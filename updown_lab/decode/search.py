"""How a beam grows: one word for every half-sentence, keep the best, remember the way.

Rows: each of I images has ``beam_size`` places, R = I x places in all. A row that stands empty is worth -inf.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from updown_lab.config import DecodeConfig
from updown_lab.decode.captions import Caption, Sentences, Speaker, Tape, top_words
from updown_lab.decode.rules import NEVER, Rule, obey
from updown_lab.errors import DataInvalid
from updown_lab.text import END, PAD, START


@dataclass(frozen=True)
class Beams:
    """What stands at the R places.

    Attributes:
        words:     (R, 1 + t) long, START and what was said; PAD after END.
        log_probs: (R,) float, sum over the words; -inf where nothing stands.
        speaking:  (N,) long, the rows that still grow.
        state:     of those N.
        found:     (I, wanted) float, the ranks of the best captions that have ended.
    """

    words: Tensor
    log_probs: Tensor
    speaking: Tensor
    state: Sentences
    found: Tensor


@dataclass(frozen=True)
class Turn:
    """One step, to be looked up when the captions are told.

    Attributes:
        parents, words: (R,) long, whom each row goes on from, and with which word.
        gains:          (R,) float, log-probability of that word.
        places:         (R,) long, where each row of the step before stands in the three tables below.
        weights, alternatives, liked: (N, K), (N, M), (N, M).
    """

    parents: Tensor
    words: Tensor
    gains: Tensor
    places: Tensor
    weights: Tensor
    alternatives: Tensor
    liked: Tensor


def rank(log_probs: Tensor, tokens: Tensor | int, cfg: DecodeConfig) -> Tensor:
    """What captions are compared by: log p, if wanted divided by something that grows with the length.

        "average"  log p / n
        "gnmt"     log p / ((5 + n) / 6)^power          Wu et al. 2016, Eq. 14

    Args:
        log_probs: any shape.
        tokens:    n, words and END; broadcasts.
        cfg:       ``length_norm`` and ``length_power``.

    >>> rank(torch.tensor([-6.0]), 3, DecodeConfig(length_norm="average"))
    tensor([-2.])
    """
    if cfg.length_norm == "none":
        return log_probs
    tokens = torch.as_tensor(tokens, device=log_probs.device).clamp(min=1)
    return log_probs / (tokens if cfg.length_norm == "average" else ((5 + tokens) / 6) ** cfg.length_power)


def begin(model: Speaker, regions, cfg: DecodeConfig) -> Beams:
    """One empty sentence an image and group; all other places stand empty."""
    state = model.begin(regions)
    images, width = len(state), cfg.beam_size // cfg.groups
    rows = torch.arange(images * cfg.beam_size, device=state.image_rows.device)
    speaking = rows[rows % width == 0]
    log_probs = torch.full(rows.shape, NEVER, device=rows.device).index_fill_(0, speaking, 0.0)
    return Beams(
        words=torch.full_like(rows, START)[:, None],
        log_probs=log_probs,
        speaking=speaking,
        state=state.select(state.image_rows.repeat_interleave(cfg.groups)) if cfg.groups > 1 else state,
        found=log_probs.new_full((images, min(cfg.captions or cfg.beam_size, cfg.beam_size)), NEVER),
    )


def extend(
    model: Speaker, beams: Beams, cfg: DecodeConfig, rules: Iterable[Rule], prefix: Sequence[int]
) -> tuple[Beams, Turn]:
    """Give every half-sentence every next word, and keep the best of each image."""
    said = beams.words[beams.speaking]
    log_probs, weights, state = model.step(said[:, -1], beams.state)
    liked, alternatives = top_words(log_probs, cfg.alternatives)
    obey(log_probs, said, rules, prefix)
    parents, words, keys = _choose(log_probs, beams, cfg)
    if keys.isnan().any():
        raise DataInvalid("the captioner's log-probabilities are nan; do its weights or the features hold nan?")

    places = torch.full_like(parents, -1)
    places[beams.speaking] = torch.arange(len(said), device=places.device)
    gains = log_probs[places[parents], words].masked_fill(words == PAD, 0.0)
    sums = (beams.log_probs[parents] + gains).masked_fill(keys.isneginf(), NEVER)
    grown = replace(beams, words=torch.cat([beams.words[parents], words[:, None]], 1), log_probs=sums, state=state)
    return grown, Turn(parents, words, gains, places, weights, alternatives, liked)


def _choose(log_probs: Tensor, beams: Beams, cfg: DecodeConfig) -> tuple[Tensor, Tensor, Tensor]:
    """The best ways to go on: whom from (R,), with which word (R,), and the rank that it was chosen by (R,)."""
    width = cfg.beam_size // cfg.groups
    first_row = torch.arange(0, len(beams.words), width, device=log_probs.device).view(-1, cfg.groups, 1)
    group_of = beams.speaking // width % cfg.groups
    crowd = None  # (I, V) how many earlier groups say this word now
    chosen = []
    for group in range(cfg.groups):
        mine = slice(None) if cfg.groups == 1 else (group_of == group).nonzero()[:, 0]
        options = log_probs[mine]
        if crowd is not None:
            options = options - cfg.diversity * crowd[beams.speaking[mine] // cfg.beam_size]
        keys, words = _offers(options, beams, beams.speaking[mine], width, cfg)
        offered = keys.shape[1]
        keys, words = (table.view(-1, cfg.groups, width * offered)[:, group] for table in (keys, words))
        best, choice = keys.topk(width)  # (I, width)
        words = words.gather(1, choice).masked_fill(best.isneginf(), PAD)
        chosen.append((first_row[:, group] + choice // offered, words, best))
        if cfg.groups > 1:
            crowd = log_probs.new_zeros(len(words), log_probs.shape[1]) if crowd is None else crowd
            crowd.scatter_add_(1, words, torch.ones_like(best))
    parents, words, keys = (torch.stack(parts, 1).flatten() for parts in zip(*chosen))
    return parents, words, keys


def _offers(options: Tensor, beams: Beams, rows: Tensor, width: int, cfg: DecodeConfig) -> tuple[Tensor, Tensor]:
    """Ranks and words (R, width) of the best next words of some rows; no row can place more than ``width``.

    A sentence that is over stays as it is: it takes only padding, at no cost. So does one that may say nothing more.
    """
    best, ids = top_words(options, width)
    own = rank(beams.log_probs, _tokens(beams.words), cfg)
    keys = own.new_full((len(own), best.shape[1]), NEVER, dtype=options.dtype)
    words = torch.full_like(keys, PAD, dtype=torch.long)
    keys[:, 0] = own
    keys[rows] = rank(beams.log_probs[rows, None] + best, beams.words.shape[1], cfg)
    words[rows] = ids
    stuck = best[:, 0].isneginf()
    keys[rows, 0] = torch.where(stuck, own[rows].to(keys.dtype), keys[rows, 0])
    words[rows, 0] = words[rows, 0].masked_fill(stuck, PAD)
    return keys, words


def settle(beams: Beams, turn: Turn, cfg: DecodeConfig, found: list[list]) -> Beams:
    """See who has finished, note it in ``found`` where finished ones leave, and let done images rest.

    Sums only fall and lengths stop at ``maximum_words``, so a living half-sentence will never rank above what it
    would be worth if all words to come were certain. An image whose living ones are all below what it has is done.
    """
    standing = ~beams.log_probs.isneginf()
    last = beams.words[:, -1]
    closed = standing & ((last == END) | (last == PAD))
    ranks = rank(beams.log_probs, _tokens(beams.words), cfg)
    ended = ranks.masked_fill(~(closed & (beams.words == END).any(1)), NEVER).view(-1, cfg.beam_size)
    best, log_probs = beams.found, beams.log_probs
    if cfg.finished == "collect":
        _note(beams, closed, ranks, cfg, found)
        log_probs = log_probs.masked_fill(closed, NEVER)
        ended = torch.cat([best.to(ended.dtype), ended], 1)
    best = ended.topk(best.shape[1]).values

    alive = standing & ~closed
    hopes = rank(log_probs, cfg.maximum_words, cfg).masked_fill(~alive, NEVER).view(-1, cfg.beam_size)
    done = (hopes.amax(1) < best[:, -1]).repeat_interleave(cfg.beam_size)
    speaking = (alive & ~done).nonzero()[:, 0]
    return replace(
        beams,
        log_probs=log_probs.masked_fill(alive & done, NEVER),
        speaking=speaking,
        state=beams.state.select(turn.places[turn.parents[speaking]]),
        found=best,
    )


def _note(beams: Beams, rows: Tensor, ranks: Tensor, cfg: DecodeConfig, found: list[list]) -> None:
    """Write the captions at some rows (R,) bool to their image: (is cut off, -rank, log p, turn, row)."""
    chosen = rows.nonzero()[:, 0]
    cut = ~(beams.words[chosen] == END).any(1)
    numbers = (part.tolist() for part in (chosen, cut, ranks[chosen], beams.log_probs[chosen]))
    for row, unfinished, value, log_prob in zip(*numbers):
        later = unfinished and cfg.finished == "compete"
        found[row // cfg.beam_size].append((later, -value, log_prob, beams.words.shape[1] - 2, row))


def retell(beams: Beams, turns: list[Turn], found: list[list], mask: Tensor, cfg: DecodeConfig) -> list[list[Caption]]:
    """Choose each image's captions, and follow them back from the last word to the first."""
    _note(beams, ~beams.log_probs.isneginf(), rank(beams.log_probs, _tokens(beams.words), cfg), cfg, found)
    kept = [sorted(notes, key=lambda note: note[:2])[: beams.found.shape[1]] for notes in found]
    notes = [note for of_image in kept for note in of_image]
    if not notes:
        return [[] for _ in kept]
    images = [image for image, of_image in enumerate(kept) for _ in of_image]
    device = beams.words.device
    tape = _rewind(turns, *(torch.tensor([note[part] for note in notes], device=device) for part in (3, 4)))
    captions = iter(tape.captions(images, mask, [note[2] for note in notes]))
    return [[next(captions) for _ in of_image] for of_image in kept]


def _rewind(turns: list[Turn], last: Tensor, rows: Tensor) -> Tape:
    """Follow M captions from their last turn (M,) and row (M,) back to the start."""
    count, longest = len(rows), len(turns)
    ids = torch.full((count, longest), PAD, device=rows.device)
    gains = turns[0].gains.new_zeros(count, longest)
    weights, alternatives, liked = (
        table.new_zeros(count, longest, table.shape[1])
        for table in (turns[0].weights, turns[0].alternatives, turns[0].liked)
    )
    for number in reversed(range(longest)):
        turn, mine = turns[number], (last >= number).nonzero()[:, 0]
        ids[mine, number], gains[mine, number] = turn.words[rows[mine]], turn.gains[rows[mine]]
        rows[mine] = turn.parents[rows[mine]]
        place = turn.places[rows[mine]]
        weights[mine, number] = turn.weights[place]
        alternatives[mine, number], liked[mine, number] = turn.alternatives[place], turn.liked[place]
    return Tape(ids, gains, weights, alternatives, liked)


def _tokens(words: Tensor) -> Tensor:
    """(R,) how many words and ENDs have been said after START."""
    return (words != PAD).sum(1) - 1
