"""Recipes that train the eyes: the trunk on single things, the detector on whole pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from updown_lab.config import Config
from updown_lab.metrics.detection import DetectionScores, attribute_average_precision, mean_average_precision
from updown_lab.training.batches import Batches, ReadAhead
from updown_lab.training.distributed import gathered, processes, rank
from updown_lab.training.loop import fit
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.images import load_image
from updown_lab.vision.selection import detections_for_scoring
from updown_lab.vision.trunk import Classifier, Trunk, build_trunk, freeze

HELD_OUT = 0.06  # share of the crops on which pre-training is scored
VALIDATION_PHOTOS = 150  # at most so many are looked at for each row of the history


def pretrain_trunk(
    crops: np.ndarray, labels: np.ndarray, cfg: Config, folder: Path, device: torch.device
) -> Classifier:
    """Teach a trunk to name single things: our stand-in for ImageNet.

    Args:
        crops:  (N, H, W, 3) uint8 RGB.
        labels: (N,) class ids; fine-grained (category and colour), so that the features know both.
        cfg:    ``trunk`` and ``pretraining`` are read.
        folder: for checkpoints.
        device: where to train.

    Returns:
        The classifier; its ``trunk`` is what the detector starts from.
    """
    torch.manual_seed(cfg.seed)
    classifier = Classifier(build_trunk(cfg.trunk), int(labels.max()) + 1).to(device)
    labels = torch.as_tensor(labels)
    held = int(len(crops) * HELD_OUT)
    batches = Batches(len(crops) - held, cfg.pretraining.batch_size, cfg.seed)

    def pictures(rows) -> Tensor:
        return torch.from_numpy(crops[rows]).to(device).permute(0, 3, 1, 2).float() / 255

    def losses_at(step: int) -> dict[str, Tensor]:
        rows = batches.rows(step)
        images = pictures(rows)
        if step % 2:
            images = images.flip(3)
        logits = classifier(images)
        return {"classification": F.cross_entropy(logits, labels[rows].to(device), label_smoothing=0.05)}

    def evaluate() -> dict[str, float]:
        rows = np.arange(len(crops) - held, len(crops))
        guesses = torch.cat([classifier(pictures(part)).argmax(1).cpu() for part in np.array_split(rows, 8)])
        return {"score": (guesses == labels[rows]).float().mean().item()}

    fit(classifier, losses_at, cfg.pretraining, folder, cfg.seed, evaluate, "pre-training the trunk")
    return classifier


def padded_attributes(attributes: Sequence[Sequence[int]], most: int) -> Tensor:
    """(n, most) attribute ids, -1 behind the last.

    >>> padded_attributes([(3, 1), ()], 3)
    tensor([[ 3,  1, -1],
            [-1, -1, -1]])
    """
    table = torch.full((len(attributes), most), -1, dtype=torch.long)
    for row, ids in enumerate(attributes):
        ids = list(ids)[:most]
        table[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
    return table


def mirrored(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Image (3, H, W) and boxes (n, 4) as seen in a mirror.

    >>> mirrored(torch.zeros(3, 4, 10), torch.tensor([[1., 0., 3., 2.]]))[1]
    tensor([[7., 0., 9., 2.]])
    """
    width = image.shape[2]
    turned = boxes.clone()
    turned[:, 0], turned[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return image.flip(2), turned


def train_detector(trunk: Trunk, data, names, cfg: Config, folder: Path, device: torch.device) -> BottomUpDetector:
    """Train Faster R-CNN with the attribute head on Visual Genome records; Anderson et al. 2018, Sec. 3.1.

    Five losses with the authors' weights: class 1, box 1, objectness 1, proposal box 1, attribute
    ``cfg.detector.attribute_weight``.

    Args:
        trunk:  where to start; changed in place.
        data:   {"train": records, "val": records} of ``DetectionRecord``.
        names:  ``Names``: how many classes and attributes there are.
        cfg:    ``trunk``, ``detector`` and ``detector_training`` are read.
        folder: for checkpoints.
        device: where to train.

    Raises:
        DataMissing, DataInvalid: a photo is gone or broken; the message names it.
    """
    torch.manual_seed(cfg.seed)
    freeze(trunk, cfg.trunk)
    detector = BottomUpDetector(trunk, cfg.detector, len(names.objects), len(names.attributes)).to(device)
    settings = cfg.detector_training
    records = [record for record in data["train"] if len(record.boxes)]
    batches = Batches(len(records), settings.batch_size, cfg.seed)
    photos = ReadAhead(lambda row: load_image(records[row].file), batches, settings.workers, settings.steps)

    def losses_at(step: int) -> dict[str, Tensor]:
        images, targets = [], []
        for row, image in zip(batches.rows(step), photos(step), strict=True):
            boxes = records[row].boxes
            if torch.rand(()) < 0.5:  # drawn here, not where photos are read: the same for any number of workers
                image, boxes = mirrored(image, boxes)
            images.append(image)
            attributes = padded_attributes(records[row].attributes, cfg.detector.maximum_attributes)
            targets.append({"boxes": boxes, "labels": records[row].classes, "attributes": attributes})
        return detector(images, targets)

    def evaluate() -> dict[str, float]:
        return {"score": object_scores(detector, data["val"][:VALIDATION_PHOTOS], names).map50}

    with photos:
        fit(detector, losses_at, settings, folder, cfg.seed, evaluate, "training the detector")
    return detector


def object_scores(detector: BottomUpDetector, records, names) -> DetectionScores:
    """Average precision of the classes at IoU 0.5; several processes share the photos."""
    found = []
    for images, _ in _photos(records):
        for detections in detector.detect(images):
            detections = detections.cpu()
            found.append(detections_for_scoring(detections.probabilities, detections.boxes()))
    return mean_average_precision(gathered(found), records, names.objects)


def score_detector(detector: BottomUpDetector, records, names, colours: Sequence[str] = ()) -> dict[str, float]:
    """mAP of classes and attributes at IoU 0.5, and how often they are right on true boxes.

    Args:
        detector: trained.
        records:  of a split it was not trained on.
        names:    class and attribute names.
        colours:  attribute names that exclude each other; their accuracy is ``colour_accuracy``:
                  the likeliest of them on the true box of each object that has one.

    Returns:
        Shares of 1: ``map50`` and ``weighted_map50`` (a class weighs as much as it occurs) of classes,
        ``attribute_map50`` and ``weighted_attribute_map50`` of attributes on true boxes, ``class_accuracy`` and
        ``colour_accuracy``; NaN where there is nothing to score.
    """
    objects = object_scores(detector, records, names)
    groups = torch.tensor([names.attributes.index(colour) for colour in colours], dtype=torch.long)
    described, colour_hits, class_hits = [], [], []
    for images, part in _photos(records):
        for record, given in zip(part, detector.encode_boxes(images, [item.boxes for item in part]), strict=True):
            given = given.cpu()
            described.append(given.attributes)
            class_hits.append((given.probabilities.argmax(1) == record.classes).tolist())
            guesses = groups[given.attributes[:, groups].argmax(1)].tolist() if colours else []
            colour_hits.append([guess in known for guess, known in zip(guesses, record.attributes, strict=False)
                                if set(known) & set(groups.tolist())])  # fmt: skip
    attributes = attribute_average_precision(gathered(described), records, names.attributes)
    return {"map50": objects.map50, "weighted_map50": objects.weighted, "attribute_map50": attributes.map50,
            "weighted_attribute_map50": attributes.weighted, "class_accuracy": _share_of(gathered(class_hits)),
            "colour_accuracy": _share_of(gathered(colour_hits))}  # fmt: skip


def _photos(records):
    """(images, records) of this process's part of the records, sixteen at a time."""
    mine = records[rank() :: processes()]
    for start in range(0, len(mine), 16):
        part = mine[start : start + 16]
        yield [load_image(record.file) for record in part], part


def _share_of(hits: Sequence[Sequence[bool]]) -> float:
    each = [hit for of_photo in hits for hit in of_photo]
    return float(np.mean(each)) if each else float("nan")
