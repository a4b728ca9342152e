"""Draw sentences and learn from them without reading them twice: the self-critical step with hand-written gradients.

Usually sentences are drawn first and then run through the model again for the gradient. Here drawing fills the tape of
``recurrence.py``, so that after the reward is known only the way back is left.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from updown_lab.models.captioner import DecodeState, UpDownCaptioner
from updown_lab.models.recurrence import Step, View, Weights, slots_of, think
from updown_lab.models.teaching import rewound, weighted_surprise
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, START

USUAL_LENGTH = 8  # words a sentence; only speed depends on this guess


@dataclass
class Rehearsal:
    """Sentences that were drawn, with all that their gradient needs.

    Attributes:
        words:      (N, T) long, drawn words, END where the sentence ended, then PAD.
        image_rows: (N,) long, the image of each; the samples of an image stand together.
    """

    words: Tensor
    image_rows: Tensor
    _state: DecodeState
    _table: Tensor
    _hoisted: bool
    _steps: list[Step]


def rehearse(model: UpDownCaptioner, regions: RegionBatch, maximum_words: int, samples: int) -> Rehearsal:
    """Draw sentences from the model, each word with its probability.

    Args:
        model:   asked as it is; call ``train()`` or ``eval()`` before.
        regions: B images.
        maximum_words: a sentence that has not ended by then is cut.
        samples: S, sentences an image.

    Returns:
        N = B S sentences, to be learned from with ``rehearsal_loss`` before the model changes.
    """
    images = torch.arange(len(regions), device=regions.features.device).repeat_interleave(samples)
    state = model.begin(regions)
    hoisted = regions.mask.numel() < USUAL_LENGTH * len(images)
    seen = model.language_gates.weight[:, : state.features.shape[2]]
    table = F.linear(state.features, seen) if hoisted else state.features
    with torch.no_grad():
        words, steps = _draw(model, state, table, None if hoisted else seen, images, maximum_words)
    return Rehearsal(words, images, state, table, hoisted, steps)


def _draw(model, state: DecodeState, table: Tensor, seen: Tensor | None, images: Tensor, maximum_words: int):
    """Words (N, T) and the tape."""
    view = View(state.keys, table, state.mask, images, *slots_of(images))
    language = model.language_gates.weight[:, state.features.shape[2] :]
    weights = Weights(model.hidden_gates.weight, model.attention.query.weight, model.attention.score.weight[0], seen,
                      language, model.language_gates.bias)  # fmt: skip
    never = torch.tensor([PAD, START], device=images.device)
    bias = model.output.bias.index_fill(0, never, float("-inf"))
    rows = torch.arange(len(images), device=images.device)
    read, kept, steps = torch.full_like(images, START), rows, []
    words = torch.full((len(images), maximum_words), PAD, device=images.device)
    for place in range(maximum_words):
        gates = model.word_gates(model.embedding(read)) + state.overview[images[rows]]
        steps.append(think(gates, rows, kept, steps[-1] if steps else None, view, weights))
        chances = torch.addmm(bias, steps[-1].hidden2, model.output.weight.t()).softmax(1)
        said = torch.multinomial(chances, 1)[:, 0]
        words[rows, place] = said
        kept = (said != END).nonzero()[:, 0]
        if not len(kept):
            break
        rows, read = rows[kept], said[kept]
    return words[:, : len(steps)], steps


def rehearsal_loss(model: UpDownCaptioner, rehearsal: Rehearsal, importance: Tensor) -> Tensor:
    """``teaching_loss`` of the sentences that were drawn.

        L = -sum_n w_n sum_t log p(y_nt | y_n1 … y_n,t-1)

    With w = (reward - baseline) / N this is the self-critical loss; Anderson et al. 2018, Sec. 3.2.3.

    Args:
        model:      the one that drew them, unchanged since.
        rehearsal:  may be used once.
        importance: (N,) float.

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
    said = torch.cat([rehearsal.words[step.rows, place] for place, step in enumerate(steps)])
    read = torch.cat([rehearsal.words[step.rows, place - 1] if place else torch.full_like(step.rows, START)
                      for place, step in enumerate(steps)])  # fmt: skip
    owners = torch.cat([step.rows for step in steps])
    gates = model.word_gates(model.embedding(read)) + state.overview.index_select(0, images[owners])
    hidden = rewound(model, state, rehearsal._table, rehearsal._hoisted, images, gates, lambda *_: steps)
    return weighted_surprise(hidden, model.output.weight, model.output.bias, said, importance[owners])
