"""Which of the many proposals become regions, and which detections count for mAP."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from updown_lab.config import SelectionConfig
from updown_lab.vision.detections import Detections


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
    """Keep the salient regions of the 300 proposals, by one of four rules.

    - "per-class", the authors' (``tools/generate_tsv.py``; Anderson et al. 2018, Sec. 3.1 in words): non-maximum
      suppression runs for each class alone, so a hat on a head keeps both boxes. A proposal's score is its best
      probability among the classes where it survived; it is kept from ``cfg.confidence`` on. Of too many the best
      ``cfg.maximum`` stay, of too few the best ``cfg.minimum`` are taken, whatever their score.
    - "fixed": the same order, but always ``cfg.maximum``, for instance 36.
    - "max-nms" (LXMERT): a proposal is its likeliest class and that class' box, and suppresses the others whatever
      they are. The first threshold of ``cfg.nms_ladder`` that leaves ``cfg.minimum`` wins; if none does, the last.
    - "pairs" (airsplay's notebook): suppression per class, every surviving pair of a proposal and a class above
      ``cfg.confidence`` is a region, so a proposal may appear twice; with the same ladder.

    Args:
        probabilities: (R, C) float, class probabilities without background.
        boxes:         (R, 4) pixels, the same box for all classes (the authors' code), or
                       (R, C, 4) regressed for each class (the paper's text).
        cfg:           thresholds and limits.

    Returns:
        Selection of at most ``cfg.maximum`` proposals; of fewer than wanted only if there are not enough.

    >>> probabilities = torch.tensor([[0.9, 0.0], [0.6, 0.1], [0.0, 0.5]])
    >>> boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    >>> select_regions(probabilities, boxes, SelectionConfig(minimum=1)).rows     # row 1 looks like row 0
    tensor([0, 2])
    >>> select_regions(probabilities, boxes, SelectionConfig(rule="max-nms", minimum=3)).rows   # at 0.9 it does not
    tensor([0, 1, 2])
    """
    rules = {"per-class": _per_class, "fixed": _fixed, "max-nms": _max_nms, "pairs": _pairs}
    return Selection(*(part[: cfg.maximum] for part in rules[cfg.rule](probabilities, boxes, cfg)))


def select_detections(detections: Detections, cfg: SelectionConfig) -> tuple[Selection, Tensor]:
    """``select_regions`` on what the detector found, with the boxes that ``cfg.boxes`` asks for.

    Args:
        detections: of one image.
        cfg:        rule, limits, and whether boxes are the proposals or the regressed ones.

    Returns:
        (Selection, (K, 4) boxes in pixels of the original).
    """
    probabilities = detections.probabilities
    if cfg.boxes == "proposal":
        boxes = detections.proposals
    elif cfg.rule == "max-nms":  # one class a proposal: the boxes of the other 1599 need not be decoded
        boxes = detections.boxes(probabilities.argmax(1))
    else:
        boxes = detections.boxes()
    chosen = select_regions(probabilities, boxes, cfg)
    return chosen, boxes[chosen.rows] if boxes.dim() == 2 else boxes[chosen.rows, chosen.classes]


def _per_class(probabilities: Tensor, boxes: Tensor, cfg: SelectionConfig) -> Selection:
    best = _at_least(min(cfg.minimum, len(probabilities)), probabilities, boxes, cfg)
    confident = int((best.scores >= cfg.confidence).sum())
    return Selection(*(part[: max(confident, cfg.minimum)] for part in best))


def _fixed(probabilities: Tensor, boxes: Tensor, cfg: SelectionConfig) -> Selection:
    return _at_least(min(cfg.maximum, len(probabilities)), probabilities, boxes, cfg)


def _at_least(wanted: int, probabilities: Tensor, boxes: Tensor, cfg: SelectionConfig) -> Selection:
    """The best rows after NMS per class, and so many at least."""
    # A box suppresses only boxes below itself, so survivors above a threshold do not depend on what lies beneath it:
    # start with the few likely pairs and lower the bar only if they are not enough.
    for bar in (cfg.confidence, cfg.confidence / 10, cfg.confidence / 100, 0.0):
        best = _best_per_row(*_survivors(probabilities, boxes, bar, cfg.nms_threshold))
        if len(best.rows) >= wanted:
            return best
    return _fill(best, probabilities)


def _max_nms(probabilities: Tensor, boxes: Tensor, cfg: SelectionConfig) -> Selection:
    scores, classes = probabilities.max(1)
    if boxes.dim() == 3:
        boxes = boxes[torch.arange(len(boxes), device=boxes.device), classes]
    for threshold in cfg.nms_ladder:
        rows = nms(boxes, scores, threshold)
        if len(rows) >= cfg.minimum:
            break
    return Selection(rows, classes[rows], scores[rows])


def _pairs(probabilities: Tensor, boxes: Tensor, cfg: SelectionConfig) -> Selection:
    for threshold in cfg.nms_ladder:
        found = _survivors(probabilities, boxes, cfg.confidence, threshold)
        if len(found.rows) >= cfg.minimum:
            break
    return found


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
