"""One call from regions and captions to the loss, with hand-written gradients: what training runs.

The same numbers as ``UpDownCaptioner.forward`` and the losses of ``training/losses.py``, by way of ``recurrence.py``.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pack_padded_sequence

from updown_lab.models.captioner import DecodeState, UpDownCaptioner, shift_right
from updown_lab.models.recurrence import Step, View, Weights, rewind, slots_of, table_gradient, think
from updown_lab.regions import RegionBatch
from updown_lab.text import PAD, START

ROWS_AT_ONCE = 320  # words whose (V,) log-probabilities are held together: 12 MB at the paper's size


def teaching_loss(
    model: UpDownCaptioner,
    regions: RegionBatch,
    targets: Tensor,
    image_rows: Tensor,
    word_weights: Tensor,
    smoothing: float = 0.0,
    words: Tensor | None = None,
) -> Tensor:
    """How surprised the captioner is by captions, each word as important as you say.

        L = -sum_n sum_t w_nt log p(y_nt | y_n1 … y_n,t-1)

    With w = 1 / words it is cross-entropy; with w = advantage / captions, of sampled captions, the self-critical loss.

    Args:
        model:        its parameters get the gradient.
        regions:      B images.
        targets:      (N, T) long, words then END then PAD.
        image_rows:   (N,) long, the image of each caption.
        word_weights: (N, T) float, read where ``targets`` is not PAD.
        smoothing:    as in ``weighted_surprise``.
        words:        (N, T) long, what is read instead of ``shift_right(targets)``, PAD in the same places.

    Returns:
        () float; nothing but the model's parameters gets a gradient.

    >>> from updown_lab.config import preset
    >>> model = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(1, 3, 5), torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool))
    >>> targets, mine = torch.tensor([[4, 5, 2]]), torch.tensor([0])
    >>> loss = teaching_loss(model, regions, targets, mine, torch.ones(1, 3))
    >>> log_probs, _ = model(regions, shift_right(targets), mine)
    >>> bool(torch.isclose(loss, -log_probs.gather(2, targets[..., None]).sum()))
    True
    """
    words = shift_right(targets) if words is None else words
    model._check(regions, words, image_rows)
    lengths = (words != PAD).sum(1).cpu()
    packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
    wanted, importance = (pack_padded_sequence(part, lengths, batch_first=True, enforce_sorted=False).data
                          for part in (targets, word_weights))  # fmt: skip
    sizes, images = packed.batch_sizes.tolist(), image_rows[packed.sorted_indices]
    state = model.begin(regions)
    owners = torch.cat([images[:size] for size in sizes])
    gates = model.word_gates(model.embedding(packed.data)) + state.overview.index_select(0, owners)

    def run(parts: Tensor, view: View, weights: Weights) -> list[Step]:
        steps, everyone = [], torch.arange(len(images), device=images.device)
        for part in parts.split(sizes):
            running = slice(len(part))
            steps.append(think(part, everyone[running], running, steps[-1] if steps else None, view, weights))
        return steps

    hoisted = state.mask.numel() < len(gates)
    table = seen_table(model, state, hoisted)
    hidden = model.dropout(rewound(model, state, table, hoisted, images, gates, run))
    return weighted_surprise(hidden, model.output.weight, model.output.bias, wanted, importance, smoothing)


@torch.no_grad()
def seen_table(model: UpDownCaptioner, state: DecodeState, hoisted: bool) -> Tensor:
    """What attention sums up: (B, K, 4H), W v_i if ``hoisted`` (cheaper for more words than regions), else v_i."""
    return F.linear(state.features, model.language_gates.weight[:, : state.features.shape[2]]) if hoisted else \
        state.features  # fmt: skip


def rewound(
    model: UpDownCaptioner,
    state: DecodeState,
    table: Tensor,
    hoisted: bool,
    images: Tensor,
    gates: Tensor,
    run: Callable[[Tensor, View, Weights], list[Step]],
) -> Tensor:
    """h2 of every word, (P, H), with the gradient of ``recurrence.py``.

    Args:
        model:   whose matrices are used.
        state:   of ``begin``.
        table:   ``seen_table(model, state, hoisted)``.
        hoisted: see there.
        images:  (N,) long, the image of each sentence.
        gates:   (P, 4H), word and overview of each word, step after step.
        run:     makes the tape, or hands over the one that exists.
    """
    return _Rewound.apply(
        gates, state.keys, state.features, model.hidden_gates.weight, model.attention.query.weight,
        model.attention.score.weight[0], model.language_gates.weight, model.language_gates.bias,
        table, hoisted, (state.mask, images, *slots_of(images)), run,
    )  # fmt: skip


class _Rewound(torch.autograd.Function):
    """The recurrence as one operation: the way there fills a tape, the way back rewinds it.

    W of the language LSTM comes whole: a gradient of its parts would be copied together, 65 MB at the paper's size.
    """

    @staticmethod
    def forward(ctx, gates, keys, features, hidden, query, score, matrix, bias, table, hoisted, images, run):
        seen, language = matrix.split([features.shape[2], matrix.shape[1] - features.shape[2]], 1)
        view, weights = (
            View(keys, table, *images),
            Weights(hidden, query, score, None if hoisted else seen, language, bias),
        )
        ctx.steps, ctx.view, ctx.weights = run(gates, view, weights), view, weights
        ctx.features, ctx.matrix = features, matrix
        return torch.cat([step.hidden2 for step in ctx.steps])

    @staticmethod
    @once_differentiable
    def backward(ctx, d_hidden):
        steps, view, weights, features, matrix = ctx.steps, ctx.view, ctx.weights, ctx.features, ctx.matrix
        del ctx.steps, ctx.view, ctx.weights  # nothing else frees the tape before the last gradient is there
        found = rewind(steps, d_hidden, view, weights)
        h1 = torch.cat([step.hidden1 for step in steps])
        h1_before, h2_before = (torch.cat(_befores(steps, name)) for name in ("hidden1", "hidden2"))
        d_matrix, width, d_features = torch.empty_like(matrix), features.shape[2], None
        torch.mm(found.gates2.t(), torch.cat([h1, h2_before], 1), out=d_matrix[:, width:])
        if weights.seen is not None:
            torch.mm(found.gates2.t(), torch.cat([step.seen for step in steps]), out=d_matrix[:, :width])
            d_features = table_gradient(steps, found.seen, view) if ctx.needs_input_grad[2] else None
        else:
            d_table = table_gradient(steps, found.seen, view)
            torch.mm(d_table.flatten(0, 1).t(), features.flatten(0, 1), out=d_matrix[:, :width])
            d_features = d_table @ matrix[:, :width] if ctx.needs_input_grad[2] else None
        return (
            found.gates1,
            found.keys,
            d_features,
            found.gates1.t() @ torch.cat([h1_before, h2_before], 1),
            found.asked.t() @ h1,
            found.score,
            d_matrix,
            found.gates2.sum(0),
            *[None] * 4,
        )


def _befores(steps: list[Step], name: str) -> list[Tensor]:
    """A state of the step before, for every step's sentences; zero in the first."""
    first = torch.zeros_like(getattr(steps[0], name))
    return [first, *(getattr(last, name)[step.kept] for last, step in pairwise(steps))]


def weighted_surprise(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    importance: Tensor,
    smoothing: float = 0.0,
    chances: Tensor | None = None,
) -> Tensor:
    """The widest layer and its loss in one, some words at a time.

        L = -sum_p w_p [(1 - s) log p_p(y_p) + s / V' sum_v log p_p(v)],    p_p = softmax(W h_p + b)

    (P, V) log-probabilities are the largest thing in training; here they are made, used for the gradient and thrown
    away, ``ROWS_AT_ONCE`` words at a time.

    Args:
        hidden:     (P, H) float.
        weight, bias: (V, H) and (V,), of the output layer; PAD and START are never said.
        targets:    (P,) long.
        importance: (P,) float.
        smoothing:  s in [0, 1): so much praise is spread over all V' words that can be said (Szegedy et al. 2016).
        chances:    (P, V) float, p_p, if they are known because ``targets`` were drawn from them; overwritten. With
                    them there is no smoothing.

    Returns:
        () float.
    """
    return _Surprise.apply(hidden, weight, bias, targets, importance, smoothing, chances)


class _Surprise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, importance, smoothing, chances):
        open_bias = bias.index_fill(0, torch.tensor([PAD, START], device=hidden.device), float("-inf"))
        gradients = any(ctx.needs_input_grad)
        d_hidden = torch.empty_like(hidden) if gradients else None
        d_weight, d_bias = (torch.zeros_like(weight), torch.zeros_like(bias)) if gradients else (None, None)
        loss = hidden.new_zeros(())
        for start in range(0, len(hidden), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            if chances is None:
                logits = torch.addmm(open_bias, hidden[part], weight.t())
                surprise, d_logits = _surprise(logits, targets[part, None], smoothing, gradients)
            else:
                surprise, d_logits = _surprise_of_drawn(chances[part], targets[part, None])
            loss += (importance[part, None] * surprise).sum()
            if gradients:
                d_logits.mul_(importance[part, None])
                d_hidden[part] = d_logits @ weight
                d_weight.addmm_(d_logits.t(), hidden[part])
                d_bias += d_logits.sum(0)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss):
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        return d_hidden * d_loss, d_weight.mul_(d_loss), d_bias * d_loss, None, None, None, None


def _surprise(logits: Tensor, targets: Tensor, smoothing: float, gradients: bool) -> tuple[Tensor, Tensor | None]:
    """-log p of the targets, (P, 1), and its gradient, which takes the place of the logits."""
    likely, sayable = logits.gather(1, targets), slice(START + 1, None)
    total = logits.logsumexp(1, keepdim=True)
    surprise = total - (1 - smoothing) * likely
    if smoothing:
        surprise -= smoothing * logits[:, sayable].mean(1, keepdim=True)
    if not gradients:
        return surprise, None
    d_logits = logits.sub_(total).exp_()
    d_logits.scatter_add_(1, targets, torch.full_like(likely, smoothing - 1))
    if smoothing:
        d_logits[:, sayable] -= smoothing / (logits.shape[1] - 2)
    return surprise, d_logits


def _surprise_of_drawn(chances: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same from probabilities: what was drawn has one above zero."""
    surprise = -chances.gather(1, targets).log()
    return surprise, chances.scatter_add_(1, targets, torch.full_like(surprise, -1.0))
