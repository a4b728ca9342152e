"""A1, boxes and non-maximum suppression: what is right, and the slips that many make."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

from updown_lab.coursework.hints import Slip, try_out

SQUARE = [0.0, 0, 2, 2]
CHAIN = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10], [30, 30, 40, 40]])
HAT_HEAD_TREE = torch.tensor([[2.0, 0, 8, 6], [2, 0, 8, 7], [20, 0, 30, 20]])


def check_iou(iou: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Try ``iou(boxes (N, 4), others (M, 4)) -> (N, M)``.

        IoU = area of the overlap / area of the union;   a box is (x1, y1, x2, y2), x2 and y2 exclusive

    Raises:
        Hint: it is not right yet.

    >>> check_iou(_iou)
    iou: right (two that overlap, apart, touching, three against two, no area at all).
    """
    cases = {
        "two that overlap": (torch.tensor([SQUARE]), torch.tensor([[1.0, 1, 3, 3]])),
        "apart": (torch.tensor([SQUARE]), torch.tensor([[3.0, 3, 5, 5]])),
        "touching": (torch.tensor([SQUARE]), torch.tensor([[2.0, 0, 4, 2]])),
        "three against two": (CHAIN[:3], CHAIN[2:]),
        "no area at all": (torch.tensor([[1.0, 1, 1, 1]]), torch.tensor([[1.0, 1, 1, 1], SQUARE])),
    }
    slips = (
        Slip(lambda a, b: _iou(a, b, extra=1.0), "these are the numbers for boxes that include their last pixel. Ours "
             "end before x2 and y2, so a width is x2 - x1."),
        Slip(lambda a, b: _iou(a, b, clamp=False), "the overlap is not a rectangle here: its width and its height are "
             "both negative, and their product is positive. What should a negative side count as?"),
        Slip(lambda a, b: _overlap(a, b) / (_area(a)[:, None] + _area(b)), "the overlap lies in both boxes, so the sum "
             "of the areas counts it twice. The union has it once."),
        Slip(lambda a, b: _overlap(a, b) / torch.minimum(_area(a)[:, None], _area(b)), "divide by the union, not by "
             "the smaller box."),
        Slip(_overlap, "this is the area of the overlap; one division is missing."),
        Slip(lambda a, b: _iou(a, b).T, "rows and columns are exchanged: row i belongs to the i-th of `boxes`."),
    )  # fmt: skip
    try_out(iou, "iou", _iou, cases, slips)


def check_nms(nms: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Try ``nms(overlaps (N, N), scores (N,), threshold) -> rows (M,) long``, the best first.

        keep the best box, drop the others whose IoU with it is above the threshold, repeat with what is left

    Raises:
        Hint: it is not right yet.

    >>> check_nms(_nms)
    nms: right (one look-alike, not in order of score, a chain of look-alikes, IoU equal to the threshold, one box).
    """
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    chain = torch.eye(4).index_put((torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1])), torch.tensor(0.6))
    cases = {
        "one look-alike": (chain[:3, :3][[0, 1]][:, [0, 1]], scores[:2], 0.5),
        "not in order of score": (chain, torch.tensor([0.6, 0.7, 0.2, 0.9]), 0.5),
        "a chain of look-alikes": (chain, scores, 0.5),
        "IoU equal to the threshold": (torch.tensor([[1.0, 0.5], [0.5, 1.0]]), scores[:2], 0.5),
        "one box": (torch.ones(1, 1), scores[:1], 0.5),
    }
    slips = (
        Slip(lambda o, s, t: _nms(o, s, t).sort().values, "the right boxes, in the order of their rows. The best "
             "score comes first."),
        Slip(lambda o, s, t: _nms(o, torch.arange(len(s), 0, -1), t), "you go through the boxes as they come. Which "
             "one has to be first?"),
        Slip(lambda o, s, t: _nms(o, -s, t), "the worst box wins: sort the other way round."),
        Slip(_nms_of_places, "these are places in the sorted list. Which numbers did those boxes have before they were "
             "sorted?"),
        Slip(_nms_of_the_dead, "a box that has been dropped still drops others. The third box is like the second only, "
             "and the second is gone already."),
        Slip(lambda o, s, t: _nms(o, s, t - 1e-6), "an IoU of exactly the threshold is still allowed: drop what is "
             "above it."),
        Slip(lambda o, s, t: s[_nms(o, s, t)], "give the rows of the boxes, not their scores."),
        Slip(lambda o, s, t: torch.isin(torch.arange(len(s)), _nms(o, s, t)), "give the rows of the boxes, not a "
             "mask."),
    )  # fmt: skip
    try_out(nms, "nms", _nms, cases, slips)


def check_select(select: Callable[..., Tensor]) -> None:
    """Try ``select(probabilities (R, C), suppress, confidence, minimum, maximum) -> rows (K,) long``.

    Non-maximum suppression for each class alone; a proposal scores its best probability among the classes where it
    survived; the confident ones are kept, at least ``minimum``, at most ``maximum`` (Anderson et al. 2018, Sec. 3.1).

    Raises:
        Hint: it is not right yet.

    >>> check_select(_select)
    select: right (a hat on a head, survives in its second class only, too few, too many,
    survives in both classes, as certain as it has to be).
    """
    hat = torch.tensor([[0.9, 0.1], [0.1, 0.8], [0.0, 0.6]])
    second = torch.tensor([[0.9, 0.1], [0.8, 0.4], [0.0, 0.6]])
    both = torch.tensor([[0.6, 0.1], [0.1, 0.7], [0.65, 0.3]])  # the tree is alone, its better class comes first
    barely = torch.tensor([[0.75, 0.0], [0.0, 0.5], [0.0, 0.25]])
    cases = {
        "a hat on a head": (hat, _suppress_hat, 0.3, 1, 3),
        "survives in its second class only": (second, _suppress_hat, 0.2, 1, 3),
        "too few": (second, _suppress_hat, 0.7, 2, 3),
        "too many": (hat, _suppress_hat, 0.3, 1, 2),
        "survives in both classes": (both, _suppress_hat, 0.2, 1, 3),
        "as certain as it has to be": (barely, _suppress_hat, 0.5, 1, 3),
    }
    slips = (
        Slip(_select_across, "a hat and the head under it overlap, but they are different things. Suppression runs "
             "for each class alone."),
        Slip(_select_likeliest, "the second proposal loses in its likeliest class, but it survives in the other one; "
             "its score is its best probability among the classes where it survived."),
        Slip(lambda p, suppress, c, low, high: _select(p, suppress, c, 0, high), "too few are confident. `minimum` "
             "asks for the best ones all the same."),
        Slip(lambda p, suppress, c, low, high: _select(p, suppress, c, low, len(p)), "`maximum` is not respected."),
        Slip(lambda *asked: _select(*asked).sort().values, "the right rows, but the most certain has to come first."),
        Slip(lambda *asked: _select(*asked, join=lambda old, new: new), "the last proposal survives in two classes, "
             "the better one first, and the second took its place. Its score is the better of both."),
        Slip(lambda *asked: _select(*asked, join=torch.add), "the last proposal survives in two classes, and they are "
             "summed. Its score is the better of both."),
        Slip(lambda *asked: _select(*asked, enough=torch.gt), "a score of exactly `confidence` is enough: at least "
             "that much is asked, not more."),
    )  # fmt: skip
    try_out(select, "select", _select, cases, slips)


def _area(boxes: Tensor, extra: float = 0.0) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0] + extra) * (boxes[:, 3] - boxes[:, 1] + extra)


def _overlap(boxes: Tensor, others: Tensor, extra: float = 0.0, clamp: bool = True) -> Tensor:
    sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2]) + extra
    return (sides.clamp(min=0) if clamp else sides).prod(-1)


def _iou(boxes: Tensor, others: Tensor, extra: float = 0.0, clamp: bool = True) -> Tensor:
    shared = _overlap(boxes, others, extra, clamp)
    union = _area(boxes, extra)[:, None] + _area(others, extra) - shared
    return torch.where(union > 0, shared / union, 0.0)


def _nms(overlaps: Tensor, scores: Tensor, threshold: float) -> Tensor:
    kept: list[int] = []
    for row in scores.argsort(descending=True).tolist():
        if not (overlaps[row, kept] > threshold).any():
            kept.append(row)
    return torch.tensor(kept, dtype=torch.long)


def _nms_of_the_dead(overlaps: Tensor, scores: Tensor, threshold: float) -> Tensor:
    order = scores.argsort(descending=True)
    alike = (overlaps[order][:, order] > threshold).triu(1)
    return order[~alike.any(0)]


def _nms_of_places(overlaps: Tensor, scores: Tensor, threshold: float) -> Tensor:
    order = scores.argsort(descending=True)
    return _nms(overlaps[order][:, order], scores[order], threshold)


def _suppress_hat(scores: Tensor) -> Tensor:
    return torchvision_nms(HAT_HEAD_TREE, scores, 0.5)


def _select(
    probabilities: Tensor, suppress: Callable[[Tensor], Tensor], confidence: float, minimum: int, maximum: int,
    join=torch.maximum, enough=torch.ge,
) -> Tensor:  # fmt: skip
    """The right rows; other ways to ``join`` classes, or to be certain ``enough``, make the known mistakes."""
    best = torch.zeros(len(probabilities))
    for scores in probabilities.unbind(1):
        survivors = suppress(scores)
        best[survivors] = join(best[survivors], scores[survivors])
    count = max(minimum, int(enough(best, confidence).sum()))
    return best.argsort(descending=True)[: min(count, maximum)]


def _select_across(probabilities, suppress, confidence, minimum, maximum) -> Tensor:
    scores = probabilities.amax(1)
    rows = suppress(scores)
    return rows[: min(maximum, max(minimum, int((scores[rows] >= confidence).sum())))]


def _select_likeliest(probabilities, *asked) -> Tensor:
    best = probabilities.argmax(1, keepdim=True)
    return _select(torch.zeros_like(probabilities).scatter(1, best, probabilities.gather(1, best)), *asked)
