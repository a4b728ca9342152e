"""Which of the many proposals become regions, and which detections count for mAP."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from updown_lab.config import SelectionConfig


class Selection(NamedTuple):
    """Chosen proposals, the most certain first.

    Attributes:
        rows:    (K,) long, row of the proposal.
        classes: (K,) long, the class that won there, without background.
        scores:  (K,) float, its probability.
    """

    rows: Tensor
    classes: Tensor
    scores: Tensor


def select_regions(probabilities: Tensor, boxes: Tensor, cfg: SelectionConfig) -> Selection:
    """Keep the salient regions: 10 to 100 of 300 proposals, each at most once.

    Non-maximum suppression runs for each class alone, so a hat on a head keeps both boxes. A proposal's score is its
    best probability among the classes where it survived; it is kept from ``cfg.confidence`` on. Of too many the best
    ``cfg.maximum`` stay, of too few the best ``cfg.minimum`` are taken, whatever their score. This is the rule of the
    authors' code (``tools/generate_tsv.py``); Anderson et al. 2018, Sec. 3.1 in words.

    Args:
        probabilities: (R, C) float, class probabilities without background.
        boxes:         (R, 4) pixels, the same box for all classes (the authors' code), or
                       (R, C, 4) regressed for each class (the paper's text).
        cfg:           thresholds and limits.

    Returns:
        Selection of min(R, minimum) to maximum proposals.

    >>> probabilities = torch.tensor([[0.9, 0.0], [0.6, 0.1], [0.0, 0.5]])
    >>> boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    >>> select_regions(probabilities, boxes, SelectionConfig(minimum=1)).rows     # row 1 looks like row 0
    tensor([0, 2])
    """
    wanted = min(cfg.minimum, len(probabilities))
    # A box suppresses only boxes below itself, so survivors above a threshold do not depend on what lies beneath it:
    # start with the few likely pairs and lower the bar only if they are not enough.
    for bar in (cfg.confidence, cfg.confidence / 10, cfg.confidence / 100, 0.0):
        best = _best_per_row(*_survivors(probabilities, boxes, bar, cfg.nms_threshold))
        if len(best.rows) >= wanted:
            break
    else:
        best = _fill(best, probabilities)
    confident = int((best.scores >= cfg.confidence).sum())
    count = min(max(confident, wanted), cfg.maximum)
    return Selection(*(part[:count] for part in best))


def _survivors(probabilities: Tensor, boxes: Tensor, bar: float, threshold: float) -> Selection:
    """(row, class) pairs with a probability from ``bar`` on that survive NMS within their class, best first."""
    rows, classes = torch.where(probabilities >= bar)
    scores = probabilities[rows, classes]
    chosen = boxes[rows] if boxes.dim() == 2 else boxes[rows, classes]
    # Double: batched_nms moves each class to its own far corner, where float32 cannot tell pixels apart.
    keep = batched_nms(chosen.double(), scores.double(), classes, threshold)
    return Selection(rows[keep], classes[keep], scores[keep])


def _best_per_row(rows: Tensor, classes: Tensor, scores: Tensor) -> Selection:
    """The first, so best, pair of every row; the input is sorted by score."""
    order = torch.arange(len(rows), device=rows.device)
    count = int(rows.max()) + 1 if len(rows) else 0
    first = torch.full((count,), len(rows), device=rows.device).scatter_reduce(0, rows, order, "amin")
    first = first[first < len(rows)].sort().values
    return Selection(rows[first], classes[first], scores[first])


def _fill(best: Selection, probabilities: Tensor) -> Selection:
    """Append the rows that survived nowhere, with score zero, the likeliest first."""
    gone = torch.ones(len(probabilities), dtype=torch.bool, device=probabilities.device)
    gone[best.rows] = False
    top, classes = probabilities.max(1)
    rows = top.masked_fill(~gone, -1.0).argsort(descending=True, stable=True)[: int(gone.sum())]
    extra = Selection(rows, classes[rows], torch.zeros_like(top[rows]))
    return Selection(*(torch.cat(parts) for parts in zip(best, extra, strict=False)))


class ScoredBoxes(NamedTuple):
    """Detections of one image for a metric: boxes (N, 4) pixels, classes, scores and proposal rows (N,)."""

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    rows: Tensor


def detections_for_scoring(
    probabilities: Tensor,
    boxes: Tensor,
    score_threshold: float = 0.05,
    nms_threshold: float = 0.5,
    maximum: int = 100,
) -> ScoredBoxes:
    """The usual Faster R-CNN output, for mAP: one proposal may give several detections.

    Args:
        probabilities: (R, C) float without background.
        boxes:         (R, C, 4) regressed boxes in pixels, or (R, 4).
        score_threshold: least probability of a detection.
        nms_threshold: IoU above which the weaker of two boxes of one class goes.
        maximum:       the most detections of an image.

    Returns:
        ScoredBoxes, the most certain first.

    >>> probabilities = torch.tensor([[0.5, 0.4], [0.3, 0.01]])
    >>> boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9]])
    >>> detections_for_scoring(probabilities, boxes).classes
    tensor([0, 1])
    """
    rows, classes, scores = _survivors(probabilities, boxes, score_threshold, nms_threshold)
    rows, classes, scores = rows[:maximum], classes[:maximum], scores[:maximum]
    chosen = boxes[rows] if boxes.dim() == 2 else boxes[rows, classes]
    return ScoredBoxes(chosen, classes, scores, rows)
