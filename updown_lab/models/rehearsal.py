"""Say sentences and learn from them without reading them twice: self-critical training and scheduled sampling.

Usually sentences are drawn first and then run through the model again for the gradient. Here drawing fills the tape of
``recurrence.py``, so that after the reward is known only the way back is left.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from updown_lab.models.captioner import DecodeState, UpDownCaptioner
from updown_lab.models.recurrence import Step, View, Weights, slots_of, think
from updown_lab.models.teaching import rewound, seen_table, weighted_surprise
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, START

USUAL_LENGTH = 8  # words a sentence; only speed depends on this guess


@dataclass
class Rehearsal:
    """Sentences that were said, with all that their gradient needs.

    Attributes:
        words:      (N, T) long, what each step was asked for: words, END where the sentence ended, then PAD.
        read:       (N, T) long, what each step read: START, then mostly the word before.
        image_rows: (N,) long, the image of each.
    """

    words: Tensor
    read: Tensor
    image_rows: Tensor
    _state: DecodeState
    _table: Tensor
    _hoisted: bool
    _steps: list[Step]
    _chances: list[Tensor]  # (n, V) of each step, if the words were drawn from them


def rehearse(model: UpDownCaptioner, regions: RegionBatch, maximum_words: int, samples: int) -> Rehearsal:
    """Draw sentences from the model, each word with its probability.

    Args:
        model:   asked as it is; call ``train()`` or ``eval()`` before.
        regions: B images.
        maximum_words: a sentence that has not ended by then is cut.
        samples: S, sentences an image.

    Returns:
        N = B S sentences, the samples of an image together, to be learned from with ``rehearsal_loss`` before the model
        changes.
    """
    images = torch.arange(len(regions), device=regions.features.device).repeat_interleave(samples)
    words = torch.full((len(images), maximum_words), PAD, device=images.device)
    return _rehearse(model, regions, images, words, share=1.0, drawn=True)


def rehearse_lesson(
    model: UpDownCaptioner, regions: RegionBatch, targets: Tensor, image_rows: Tensor, share: float
) -> Rehearsal:
    """Known captions, but sometimes the model reads what it would have said: scheduled sampling.

    At test time nobody corrects the captioner; reading its own words in training prepares it. Bengio et al. 2015.

    Args:
        model, regions: as in ``rehearse``.
        targets:    (N, T) long, words then END then PAD.
        image_rows: (N,) long.
        share:      of the words that are read from the model's own mouth, 0 to 1; with 0 this is teacher forcing.

    Returns:
        For ``rehearsal_loss``; ``words`` are the targets.
    """
    return _rehearse(model, regions, image_rows, targets, share, drawn=False)


def _rehearse(model, regions: RegionBatch, images: Tensor, words: Tensor, share: float, drawn: bool) -> Rehearsal:
    state = model.begin(regions)
    hoisted = regions.mask.numel() < USUAL_LENGTH * len(images)
    seen = model.language_gates.weight[:, : state.features.shape[2]]
    table = seen_table(model, state, hoisted)
    read = torch.full_like(words, PAD)
    with torch.no_grad():
        steps, chances = _speak(model, state, table, None if hoisted else seen, images, words, read, share, drawn)
    said = slice(len(steps))
    return Rehearsal(words[:, said], read[:, said], images, state, table, hoisted, steps, chances)


def _speak(
    model, state, table, seen, images, words, read, share: float, drawn: bool
) -> tuple[list[Step], list[Tensor]]:
    """Run all steps.

    ``read`` is filled in, and ``words`` too if they are drawn.
    """
    view = View(state.keys, table, state.mask, images, *slots_of(images))
    language = model.language_gates.weight[:, state.features.shape[2] :]
    weights = Weights(model.hidden_gates.weight, model.attention.query.weight, model.attention.score.weight[0], seen,
                      language, model.language_gates.bias)  # fmt: skip
    never = torch.tensor([PAD, START], device=images.device)
    bias = model.output.bias.index_fill(0, never, float("-inf"))
    rows = kept = torch.arange(len(images), device=images.device)
    read[:, 0], steps, kept_chances = START, [], []
    for place in range(words.shape[1]):
        gates = model.word_gates(model.embedding(read[rows, place])) + state.overview[images[rows]]
        steps.append(think(gates, rows, kept, steps[-1] if steps else None, view, weights))
        chances = torch.addmm(bias, steps[-1].hidden2, model.output.weight.t()).softmax(1)
        said = torch.multinomial(chances, 1)[:, 0]
        if drawn:
            words[rows, place] = said
            kept_chances.append(chances)
        kept = (words[rows, place] != END).nonzero()[:, 0]
        if not len(kept) or place + 1 == words.shape[1]:
            break
        said, rows = said[kept], rows[kept]
        own = torch.rand(len(rows), device=rows.device) < share
        own &= said != END  # a sentence that its teacher goes on with is not over
        read[rows, place + 1] = torch.where(own, said, words[rows, place])
    return steps, kept_chances


def draw(chances: Tensor) -> Tensor:
    """One word a row, (n,), as often as its probability says: a point on the line 0 to 1, and the word it falls on.

    Five times as fast as ``torch.multinomial`` on a CPU, which asks its generator once for every word there is.

    Args:
        chances: (n, V) float, each row sums to 1; what has 0 is never drawn.

    >>> draw(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).tolist()
    [1, 2]
    """
    line = chances.cumsum(1)
    point = torch.rand(len(line), 1, device=line.device, dtype=line.dtype) * line[:, -1:]
    found = torch.searchsorted(line, point, right=True)[:, 0]
    return torch.minimum(found, (line < line[:, -1:]).sum(1))  # a point rounded up to the very end: the last word


def rehearsal_loss(model: UpDownCaptioner, rehearsal: Rehearsal, importance: Tensor, smoothing: float = 0.0) -> Tensor:
    """``teaching_loss`` of what was rehearsed.

        L = -sum_n sum_t w_nt log p(y_nt | what was read)

    With w = (reward - baseline) / N of drawn sentences this is the self-critical loss; Anderson et al., Sec. 3.2.3.

    Args:
        model:      the one that rehearsed, unchanged since.
        rehearsal:  may be used once.
        importance: (N, T) float, or (N,) for whole sentences.
        smoothing:  as in ``weighted_surprise``.

    Returns:
        () float.

    >>> from updown_lab.config import preset
    >>> model = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(1, 3, 5), torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool))
    >>> drawn = rehearse(model, regions, maximum_words=6, samples=2)
    >>> rehearsal_loss(model, drawn, torch.tensor([1.0, -1.0])).backward()
    >>> model.embedding.weight.grad.shape
    torch.Size([9, 96])
    """
    steps, state, images = rehearsal._steps, rehearsal._state, rehearsal.image_rows
    rows = torch.cat([step.rows for step in steps])
    places = torch.cat([torch.full_like(step.rows, place) for place, step in enumerate(steps)])
    gates = model.word_gates(model.embedding(rehearsal.read[rows, places]))
    gates = gates + state.overview.index_select(0, images[rows])
    hidden = rewound(model, state, rehearsal._table, rehearsal._hoisted, images, gates, lambda *_: steps)
    weights = importance[rows] if importance.dim() == 1 else importance[rows, places]
    chances = torch.cat(rehearsal._chances) if rehearsal._chances and not smoothing else None
    rehearsal._chances.clear()
    return weighted_surprise(hidden, model.output.weight, model.output.bias, rehearsal.words[rows, places], weights,
                             smoothing, chances)  # fmt: skip
