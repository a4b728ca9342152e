"""The captioner's two LSTMs with gradients written by hand: the same numbers, sooner and in less memory.

``UpDownCaptioner`` is the model to read; this room is its fast twin for training, and the tests hold the two equal.
Autograd makes one gradient of every weight matrix for every word and adds them up. Here a step leaves its activations
on a tape, the way back runs over the tape once, and each weight matrix gets its gradient from all words in one product.
Three more savings, all exact:

    the language LSTM reads W v_hat = sum_i alpha_i (W v_i), so W v_i is computed once a region if regions are fewer
    than words, and attention then mixes gates instead of features;
    the sentences of an image read its regions together, in one batched product, and nothing is copied a sentence;
    what attention thinks of each region, (N, K, A) numbers a step, is computed again on the way back and never kept.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.ops import aten

from updown_lab.models.attention import masked_softmax


@dataclass(frozen=True)
class Weights:
    """The matrices that every step uses.

    Attributes:
        hidden:   (4H, 2H), of [h1, h2] to the attention LSTM's gates.
        query:    (A, H).
        score:    (A,).
        seen:     (4H, D), of v_hat to the language LSTM's gates; None where the table holds W v_i already.
        language: (4H, 2H), of [h1, h2] to the language LSTM's gates.
        bias:     (4H,).
    """

    hidden: Tensor
    query: Tensor
    score: Tensor
    seen: Tensor | None
    language: Tensor
    bias: Tensor


@dataclass(frozen=True)
class View:
    """What N sentences see of B images.

    Attributes:
        keys:   (B, K, A), 2 W_v v_i.
        table:  (B, K, C): W v_i in gate space (C = 4H), or v_i itself (C = D).
        mask:   (B, K) bool.
        images: (N,) long, the image of each sentence.
        slots:  (N,) long, its place among the sentences of that image.
        places: how many slots there are.
    """

    keys: Tensor
    table: Tensor
    mask: Tensor
    images: Tensor
    slots: Tensor
    places: int

    def by_image(self, values: Tensor, rows: Tensor) -> Tensor:
        """Rows of some sentences, sorted to their images: (n, …) to (B, S, …), zero where nobody speaks."""
        sorted_values = values.new_zeros(len(self.table), self.places, *values.shape[1:])
        sorted_values[self.images[rows], self.slots[rows]] = values
        return sorted_values

    def by_sentence(self, values: Tensor, rows: Tensor) -> Tensor:
        """The way back of ``by_image``."""
        return values[self.images[rows], self.slots[rows]]


@dataclass(frozen=True)
class Step:
    """One word of the n sentences that are still running.

    Attributes:
        rows:    (n,) long, which of the N sentences.
        kept:    where they stood in the step before: (n,) long, or the slice of the first n; unused in the first.
        doors1, cell1, hidden1: (n, 4H), (n, H), (n, H) of the attention LSTM; doors after sigmoid and tanh.
        weights: (n, K), attention.
        seen:    (n, C), what attention gave; None where the table is in gate space, and nobody asks again.
        doors2, cell2, hidden2: of the language LSTM.
    """

    rows: Tensor
    kept: Tensor | slice
    doors1: Tensor
    cell1: Tensor
    hidden1: Tensor
    weights: Tensor
    seen: Tensor | None
    doors2: Tensor
    cell2: Tensor
    hidden2: Tensor


def slots_of(images: Tensor) -> tuple[Tensor, int]:
    """Number the sentences of each image.

    >>> slots_of(torch.tensor([4, 0, 4, 4]))
    (tensor([0, 0, 1, 2]), 3)
    """
    if not len(images):
        return images, 1
    order = images.argsort(stable=True)
    sorted_images = images[order]
    first = torch.searchsorted(sorted_images, sorted_images)
    slots = torch.empty_like(images)
    slots[order] = torch.arange(len(images), device=images.device) - first
    return slots, int(slots.max()) + 1


def think(gates: Tensor, rows: Tensor, kept: Tensor | slice, before: Step | None, view: View, weights: Weights) -> Step:
    """One step of both LSTMs, in the notation of ``UpDownCaptioner._think``.

    Args:
        gates:  (n, 4H), what word and overview add to the attention LSTM's gates.
        rows:   (n,) long, the sentences that run.
        kept:   (n,) long or a slice, their places in ``before``.
        before: the step before; None at the start, where all states are zero.
        view:   images.
        weights: matrices.
    """
    size = gates.shape[1] // 4
    h1 = c1 = h2 = c2 = None
    if before is None:
        doors1 = gates.clone()
    else:
        h1, c1, h2, c2 = (part[kept] for part in (before.hidden1, before.cell1, before.hidden2, before.cell2))
        doors1 = torch.addmm(gates, h1, weights.hidden[:, :size].t()).addmm_(h2, weights.hidden[:, size:].t())
    c1, h1 = _open(doors1, c1)
    scores = _fit(h1, rows, view, weights) @ (2 * weights.score)
    alpha = masked_softmax(scores, view.mask[view.images[rows]])
    seen = view.by_sentence(view.by_image(alpha, rows) @ view.table, rows)
    if weights.seen is None:
        heard, seen = seen.add_(weights.bias), None
    else:
        heard = torch.addmm(weights.bias, seen, weights.seen.t())
    doors2 = heard.addmm_(h1, weights.language[:, :size].t())
    if h2 is not None:
        doors2.addmm_(h2, weights.language[:, size:].t())
    c2, h2 = _open(doors2, c2)
    return Step(rows, kept, doors1, c1, h1, alpha, seen, doors2, c2, h2)


def _fit(h1: Tensor, rows: Tensor, view: View, weights: Weights) -> Tensor:
    """sigmoid(2 (W_v v_i + W_q h1)), (n, K, A): tanh but for scale and shift, which the softmax does not see."""
    asked = 2 * (h1 @ weights.query.t())
    return view.keys.index_select(0, view.images[rows]).add_(asked[:, None]).sigmoid_()


def _open(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cell and hidden of an LSTM, each (n, H); ``gates`` (n, 4H) become the doors i, f, o, g in place."""
    size = gates.shape[1] // 4
    gates[:, : 3 * size].sigmoid_()
    gates[:, 3 * size :].tanh_()
    let_in, keep, show, candidate = gates.chunk(4, 1)
    added = let_in * candidate
    cell = added if cell is None else added.addcmul_(keep, cell)
    return cell, show * cell.tanh()


def _close(
    doors: Tensor, cell: Tensor, cell_before: Tensor | None, d_hidden: Tensor, d_cell: Tensor | None, d_doors: Tensor
) -> Tensor:
    """The way back through ``_open``: fills the gradient of the gates (n, 4H), gives that of the cell before (n, H)."""
    size = cell.shape[1]
    let_in, keep, show, candidate = doors.chunk(4, 1)
    shown = cell.tanh()
    through = aten.tanh_backward(d_hidden * show, shown)
    d_cell = through if d_cell is None else through.add_(d_cell)
    torch.mul(d_cell, candidate, out=d_doors[:, :size])
    if cell_before is None:
        d_doors[:, size : 2 * size].zero_()
    else:
        torch.mul(d_cell, cell_before, out=d_doors[:, size : 2 * size])
    torch.mul(d_hidden, shown, out=d_doors[:, 2 * size : 3 * size])
    torch.mul(d_cell, let_in, out=d_doors[:, 3 * size :])
    first, last = slice(3 * size), slice(3 * size, None)
    aten.sigmoid_backward.grad_input(d_doors[:, first], doors[:, first], grad_input=d_doors[:, first])
    aten.tanh_backward.grad_input(d_doors[:, last], doors[:, last], grad_input=d_doors[:, last])
    return d_cell.mul_(keep)


@dataclass
class Gradients:
    """What the way back finds, for all P words in the order of the tape.

    Attributes:
        gates1, gates2: (P, 4H), of both LSTMs' gates.
        seen:   (P, C), of what attention gave; the same memory as ``gates2`` where the table is in gate space.
        asked:  (P, A), of W_q h1.
        keys:   (B, K, A).
        score:  (A,).
    """

    gates1: Tensor
    gates2: Tensor
    seen: Tensor
    asked: Tensor
    keys: Tensor
    score: Tensor


def rewind(steps: list[Step], d_hidden: Tensor, view: View, weights: Weights) -> Gradients:
    """Walk the tape backwards.

    Args:
        steps:    the tape, P words in all.
        d_hidden: (P, H), gradient of h2 from the words.
        view, weights: as on the way there.
    """
    sizes, size = [len(step.rows) for step in steps], steps[0].cell1.shape[1]
    gates1, gates2 = (d_hidden.new_empty(len(d_hidden), 4 * size) for _ in range(2))
    asked = d_hidden.new_empty(len(d_hidden), len(weights.score))
    seen = gates2 if weights.seen is None else d_hidden.new_empty(len(d_hidden), weights.seen.shape[1])
    found = Gradients(gates1, gates2, seen, asked, torch.zeros_like(view.keys), torch.zeros_like(weights.score))
    parts = [part.split(sizes) for part in (d_hidden, gates1, gates2, seen, asked)]
    d_h1 = d_c1 = d_h2 = d_c2 = None  # what the step after asks for
    for number in reversed(range(len(steps))):
        step, last = steps[number], steps[number - 1] if number else None
        d_said, d_gates1, d_gates2, d_seen, d_asked = (part[number] for part in parts)
        c1_before, c2_before = (last.cell1[step.kept], last.cell2[step.kept]) if last else (None, None)
        d_h2 = d_said if d_h2 is None else d_h2.add_(d_said)
        d_c2 = _close(step.doors2, step.cell2, c2_before, d_h2, d_c2, d_gates2)
        if weights.seen is not None:
            torch.mm(d_gates2, weights.seen, out=d_seen)
        _attend_back(step, d_seen, view, weights, found, d_asked)
        d_joined = d_gates2 @ weights.language
        d_h1 = (d_joined[:, :size] if d_h1 is None else d_h1.add_(d_joined[:, :size])) + d_asked @ weights.query
        d_c1 = _close(step.doors1, step.cell1, c1_before, d_h1, d_c1, d_gates1)
        if last:
            d_before = d_gates1 @ weights.hidden
            d_before[:, size:].add_(d_joined[:, size:])
            states = (d_before[:, :size], d_c1, d_before[:, size:], d_c2)
            d_h1, d_c1, d_h2, d_c2 = (_spread(part, step.kept, len(last.rows)) for part in states)
    return found


def _spread(values: Tensor, kept: Tensor | slice, count: int) -> Tensor:
    """Rows back to where they stood in the step before; sentences that ended there get no gradient from later."""
    spread = values.new_zeros(count, values.shape[1])
    spread[kept] = values
    return spread


def _attend_back(step: Step, d_seen: Tensor, view: View, weights: Weights, found: Gradients, d_asked: Tensor) -> None:
    """The way back through attention: fills the gradient of W_q h1, (n, A); adds to those of keys and score."""
    d_alpha = view.by_sentence(view.by_image(d_seen, step.rows) @ view.table.transpose(1, 2), step.rows)
    d_scores = step.weights * (d_alpha - (step.weights * d_alpha).sum(1, keepdim=True))  # (n, K), zero where masked
    fit = _fit(step.hidden1, step.rows, view, weights)
    found.score.add_(2 * (d_scores.flatten() @ fit.flatten(0, 1)))
    d_inside = aten.sigmoid_backward(d_scores[..., None] * (2 * weights.score), fit)
    found.keys.index_add_(0, view.images[step.rows], d_inside)
    torch.mul(d_inside.sum(1), 2, out=d_asked)


def table_gradient(steps: list[Step], d_seen: Tensor, view: View) -> Tensor:
    """Gradient of the table, (B, K, C): each region's weights times what its words wanted of it, over all steps."""
    pairs = zip(steps, d_seen.split([len(step.rows) for step in steps]), strict=True)
    alphas, wishes = zip(*((view.by_image(step.weights, step.rows), view.by_image(part, step.rows))
                           for step, part in pairs), strict=True)  # fmt: skip
    return torch.cat(alphas, 1).transpose(1, 2) @ torch.cat(wishes, 1)  # (B, K, T S) (B, T S, C)
