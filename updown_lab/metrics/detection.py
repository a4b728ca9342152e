"""Mean average precision of a detector's classes and attributes, by faster-coco-eval."""

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from torch import Tensor


@dataclass(frozen=True)
class DetectionScores:
    """Average precision.

    Attributes:
        map50: mean over the classes that occur in the truth, 0..1; NaN if none does. (Named for the usual IoU of 0.5.)
        per_class: {class name: average precision, or NaN where the truth holds no such object}.
        weighted: mean in which a class weighs as much as it occurs in the truth; NaN if none does.
    """

    map50: float
    per_class: dict[str, float]
    weighted: float = math.nan


def mean_average_precision(
    predictions: Sequence, truths: Sequence, class_names: Sequence[str], iou: float = 0.5
) -> DetectionScores:
    """How well boxes and classes match what people drew.

    Take the boxes from the surest to the least sure; one counts if it overlaps an
    unclaimed object of its class enough. Precision, averaged over recall:

        AP = mean over recall r in {0, .01, ..., 1} of max_{r' >= r} precision(r')         COCO evaluation

    Args:
        predictions: one object an image with ``boxes`` (n, 4) xyxy pixels, ``classes`` (n,), ``scores`` (n,);
            a ``Regions`` fits.
        truths: one object an image, in the same order, with ``boxes`` and ``classes``; a ``DetectionRecord`` fits.
        class_names: C names; class ids index them, without background.
        iou: overlap from which a box counts.

    Returns:
        DetectionScores.

    Raises:
        ValueError: the numbers of images or of boxes disagree, or a class id is outside 0..C-1.

    >>> from types import SimpleNamespace as Boxes
    >>> truth = Boxes(boxes=torch.tensor([[0.0, 0, 10, 10]]), classes=torch.tensor([0]))
    >>> guess = Boxes(boxes=truth.boxes, classes=truth.classes, scores=torch.tensor([0.9]))
    >>> mean_average_precision([guess], [truth], ["cat", "dog"])
    DetectionScores(map50=1.0, per_class={'cat': 1.0, 'dog': nan}, weighted=1.0)
    """
    if len(predictions) != len(truths):
        raise ValueError(f"one prediction an image: got {len(predictions)} predictions and {len(truths)} truths")
    wanted = _entries(truths, len(class_names), scored=False)
    found = _entries(predictions, len(class_names), scored=True)
    if not wanted:
        return DetectionScores(math.nan, dict.fromkeys(class_names, math.nan))
    table = _precision(wanted, found, len(truths), len(class_names), iou)  # (recalls, C), -1 where undefined
    each = np.array([column.mean() if column[0] > -1 else math.nan for column in table.T])
    counts = np.bincount([entry["category_id"] - 1 for entry in wanted], minlength=len(class_names))
    weighted = float(np.average(each[counts > 0], weights=counts[counts > 0]))
    return DetectionScores(float(np.nanmean(each)), dict(zip(class_names, each.tolist(), strict=False)), weighted)


def attribute_average_precision(
    probabilities: Sequence[Tensor],
    truths: Sequence,
    attribute_names: Sequence[str],
    iou: float = 0.5,
    minimum: float = 0.05,
) -> DetectionScores:
    """How well attributes match what people said, on the boxes that people drew.

    The detector is shown every true box and says how likely each attribute is there; each answer from ``minimum`` on
    is a detection of that attribute with that box. So it is the look that is judged, not the finding. As in the
    authors' evaluation an answer may claim another box that overlaps enough: two drawings of one red car are one car.

    Args:
        probabilities: for each image (n, M) float, attributes of its true boxes, as ``encode_boxes`` gives them.
        truths: one object an image, in the same order, with ``boxes`` (n, 4) and ``attributes``, n tuples of ids;
            a ``DetectionRecord`` fits.
        attribute_names: M names.
        iou: overlap from which a box counts.
        minimum: least probability of an answer; keeps the table small, as Faster R-CNN's usual 0.05 does.

    Returns:
        DetectionScores over attributes.

    Raises:
        ValueError: the numbers of images, boxes or attributes disagree.

    >>> truth = SimpleNamespace(boxes=torch.tensor([[0.0, 0, 9, 9], [20, 0, 29, 9]]), attributes=((0,), (0, 1)))
    >>> said = torch.tensor([[0.9, 0.8], [0.7, 0.1]])
    >>> attribute_average_precision([said], [truth], ["red", "big"]).per_class    # the surest "big" is not
    {'red': 1.0, 'big': 0.5}
    """
    if len(probabilities) != len(truths):
        raise ValueError(f"one table an image: got {len(probabilities)} tables and {len(truths)} truths")
    found, wanted = [], []
    for image, (table, truth) in enumerate(zip(probabilities, truths, strict=True)):
        if table.shape != (len(truth.boxes), len(attribute_names)) or len(truth.attributes) != len(truth.boxes):
            raise ValueError(
                f"image {image}: {len(truth.boxes)} boxes with {len(truth.attributes)} lists of attributes "
                f"and {len(attribute_names)} names, probabilities {tuple(table.shape)}"
            )
        boxes = torch.as_tensor(truth.boxes).cpu()
        rows, answers = torch.where(table.cpu() >= minimum)
        found.append(SimpleNamespace(boxes=boxes[rows], classes=answers, scores=table.cpu()[rows, answers]))
        said = [(row, number) for row, of_box in enumerate(truth.attributes) for number in of_box]
        rows, answers = torch.tensor(said, dtype=torch.long).reshape(-1, 2).unbind(1)
        wanted.append(SimpleNamespace(boxes=boxes[rows], classes=answers))
    return mean_average_precision(found, wanted, attribute_names, iou)


def _entries(images: Sequence, classes: int, scored: bool) -> list[dict]:
    """One COCO annotation a box; ids start at 1, because the evaluation takes 0 for "no match"."""
    entries = []
    for image, item in enumerate(images, 1):
        boxes, labels = torch.as_tensor(item.boxes, dtype=torch.float64).cpu(), torch.as_tensor(item.classes).cpu()
        scores = torch.as_tensor(item.scores).cpu().tolist() if scored else [1.0] * len(labels)
        if boxes.shape != (len(labels), 4) or len(scores) != len(labels):
            raise ValueError(
                f"image {image - 1}: {len(labels)} classes, {len(scores)} scores, boxes {tuple(boxes.shape)}"
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"image {image - 1}: class ids must lie in 0..{classes - 1}, got {labels.unique().tolist()}"
            )
        corners = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).tolist()  # x, y, width, height
        for box, label, score in zip(corners, labels.tolist(), scores, strict=False):
            entry = {"image_id": image, "category_id": label + 1, "bbox": box, "score": score}
            entries.append({**entry, "id": len(entries) + 1, "area": box[2] * box[3], "iscrowd": 0})
    return entries


def _precision(wanted: list[dict], found: list[dict], images: int, classes: int, iou: float) -> np.ndarray:
    if not found:
        empty = np.full((101, classes), -1.0)
        empty[:, [entry["category_id"] - 1 for entry in wanted]] = 0.0
        return empty
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(
            {
                "images": [{"id": image} for image in range(1, images + 1)],
                "categories": [{"id": label} for label in range(1, classes + 1)],
                "annotations": wanted,
            }
        )
        evaluation = COCOeval_faster(truth, truth.loadRes(found), iouType="bbox")
        evaluation.params.iouThrs = np.array([iou])
        evaluation.params.maxDets = [len(found)]  # no cap: a busy image keeps all its boxes
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][0, :, :, 0, 0]
