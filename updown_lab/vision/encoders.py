"""One door for every way of seeing: bottom-up regions, grids, an oracle's boxes, symbols."""

import re
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from updown_lab.choices import fits
from updown_lab.config import FEATURES, Config, SelectionConfig
from updown_lab.errors import ConfigError
from updown_lab.regions import Regions
from updown_lab.vision.detector import BottomUpDetector, Detections
from updown_lab.vision.fpn import CocoEncoder
from updown_lab.vision.grid import GridEncoder, grid_boxes
from updown_lab.vision.pixels import target_size
from updown_lab.vision.selection import Selection, select_detections
from updown_lab.vision.shapes import at_size, see_in_batches, thicken
from updown_lab.vision.trunk import Trunk

__all__ = ["KINDS", "Encoder", "OracleEncoder", "RegionEncoder", "SymbolicEncoder", "build_encoder", "grid_boxes"]

KINDS = (*FEATURES, "regions-coco")


class Annotated(Protocol):
    """What the oracle and the symbols read of a ``DetectionRecord``."""

    boxes: Tensor  # (n, 4) float pixels
    classes: Tensor  # (n,) long
    attributes: Sequence[Sequence[int]]  # n lists of attribute ids


class Encoder(Protocol):
    """Images in, regions out.

    Attributes:
        feature_dim: D of the regions.
        source:      the name that the regions carry.
    """

    feature_dim: int
    source: str

    def encode(self, images: Sequence[Tensor], records: Sequence[Annotated] | None = None) -> list[Regions]:
        """See.

        Args:
            images:  tensors (3, H, W) float in [0, 1] RGB, of any sizes; an image's regions do not depend on the
                     others.
            records: the true annotation of each image; only "oracle" and "symbolic" read it.

        Returns:
            one ``Regions`` an image, in order, in main memory.
        """


def build_encoder(
    kind: str,
    cfg: Config,
    detector: BottomUpDetector | FasterRCNN | None = None,
    trunk: Trunk | None = None,
    classes: int | None = None,
    attributes: int | None = None,
) -> Encoder:
    """The encoder of a name.

    Args:
        kind:       "regions"; "regions-coco" (torchvision's detector of 80 COCO classes); "grid-pretrained-7" (any
                    number: N x N cells of the trunk before it learned to detect, the paper's baseline);
                    "grid-detector-7" (of the detector's trunk, the fair control); "oracle" (the detector on true
                    boxes); "symbolic" (true classes and attributes, no network).
        cfg:        its ``selection`` says which proposals become regions, its ``grid`` how cells are made.
        detector:   for "regions", "grid-detector-N" and "oracle"; for "regions-coco" torchvision's.
        trunk:      for "grid-pretrained-N".
        classes:    C, for "symbolic".
        attributes: M, for "symbolic".

    Raises:
        ConfigError: unknown kind, or a part that the kind needs is not given.

    >>> from updown_lab.config import preset
    >>> build_encoder("symbolic", preset("tiny"), classes=3, attributes=2).feature_dim      # 3 + 2 + 4
    9
    """
    if not fits(kind, KINDS):
        raise ConfigError(f"no encoder called {kind!r}; known: {', '.join(KINDS)} with N a number like 7")
    parts = {"detector": detector, "trunk": trunk, "classes": classes, "attributes": attributes}
    grid = re.fullmatch(r"grid-(pretrained|detector)-(\d+)", kind)
    if grid:
        needs = ("trunk",) if grid[1] == "pretrained" else ("detector",)
    else:
        eyes = ("detector",)
        needs = {"regions": eyes, "regions-coco": eyes, "oracle": eyes, "symbolic": ("classes", "attributes")}[kind]
    missing = [name for name in needs if parts[name] is None]
    if missing:
        raise ConfigError(
            f"the encoder {kind!r} needs {' and '.join(missing)}: build_encoder(kind, cfg, {missing[0]}=…)"
        )
    if grid:
        return GridEncoder(trunk if grid[1] == "pretrained" else detector, int(grid[2]), kind, cfg.grid)
    if kind == "symbolic":
        return SymbolicEncoder(classes, attributes)
    if kind == "oracle":
        return OracleEncoder(detector)
    return (RegionEncoder if kind == "regions" else CocoEncoder)(detector, cfg.selection)


class RegionEncoder:
    """Bottom-up attention: the detector's salient regions. Anderson et al. 2018, Sec. 3.1."""

    source = "regions"

    def __init__(self, detector: BottomUpDetector, cfg: SelectionConfig):
        self.detector, self.cfg, self.feature_dim = detector, cfg, detector.feature_dim

    def encode(self, images: Sequence[Tensor], records=None) -> list[Regions]:
        return see_in_batches(images, self._see, self._seen)

    def _see(self, images: list[Tensor], positions: list[int]) -> list[Regions]:
        size = images[0].shape[2], images[0].shape[1]
        found = self.detector.detect([thicken(image) for image in images])
        return [at_size(self._select(detections), size) for detections in found]

    def _seen(self, image: Tensor) -> tuple[int, int]:
        return target_size(*image.shape[-2:], self.detector.cfg.image_min, self.detector.cfg.image_max)

    def _select(self, detections: Detections) -> Regions:
        detections = detections.cpu()  # NMS here is in double precision, which Apple's MPS does not have
        chosen, boxes = select_detections(detections, self.cfg)
        return _regions(detections, chosen, boxes, self.source)


class OracleEncoder:
    """The detector's features of the true boxes: what a perfect proposer would give the language model."""

    source = "oracle"

    def __init__(self, detector: BottomUpDetector):
        self.detector, self.feature_dim = detector, detector.feature_dim

    def encode(self, images: Sequence[Tensor], records: Sequence[Annotated] | None = None) -> list[Regions]:
        _need_records(records, images, self.source)
        boxes = [_boxes_or_whole(record, image) for record, image in zip(records, images, strict=False)]

        def see(batch: list[Tensor], positions: list[int]) -> list[Regions]:
            found = self.detector.encode_boxes(batch, [boxes[position] for position in positions])
            return [self._all(detections) for detections in found]

        return see_in_batches(images, see)

    def _all(self, detections: Detections) -> Regions:
        detections = detections.cpu()
        scores, classes = detections.probabilities.max(1)
        chosen = Selection(torch.arange(len(scores)), classes, scores)
        return _regions(detections, chosen, detections.proposals, self.source)


class SymbolicEncoder:
    """The truth as features: one-hot class, attributes as 0 or 1, box in shares of the image. No network looks.

    A language model on these shows what it could reach if seeing were solved.
    """

    source = "symbolic"

    def __init__(self, classes: int, attributes: int):
        self.classes, self.attributes = classes, attributes
        self.feature_dim = classes + attributes + 4

    def encode(self, images: Sequence[Tensor], records: Sequence[Annotated] | None = None) -> list[Regions]:
        _need_records(records, images, self.source)
        return [self._symbols(image, record) for image, record in zip(images, records, strict=False)]

    def _symbols(self, image: Tensor, record: Annotated) -> Regions:
        height, width = image.shape[-2:]
        boxes = _boxes_or_whole(record, image)
        features = torch.zeros(len(boxes), self.feature_dim)
        for row, (name, attributes) in enumerate(zip(record.classes.tolist(), record.attributes, strict=False)):
            features[row, name] = 1.0
            features[row, [self.classes + attribute for attribute in attributes]] = 1.0
        features[:, -4:] = boxes / torch.tensor([width, height, width, height])
        real = len(record.boxes) > 0
        return Regions(
            features,
            boxes,
            (width, height),
            self.source,
            classes=record.classes if real else None,
            scores=torch.ones(len(boxes)) if real else None,
        )


def _boxes_or_whole(record: Annotated, image: Tensor) -> Tensor:
    """The true boxes; an image without any is one region, because attention needs something to look at."""
    if len(record.boxes):
        return record.boxes.float()
    return torch.tensor([[0.0, 0.0, image.shape[2], image.shape[1]]])


def _need_records(records, images, source: str) -> None:
    if records is None or len(records) != len(images):
        seen = "none" if records is None else len(records)
        raise ValueError(
            f"the encoder {source!r} reads the true annotation: encode(images, records) needs {len(images)} records, "
            f"got {seen}"
        )


def _regions(detections: Detections, chosen: Selection, boxes: Tensor, source: str) -> Regions:
    """The chosen rows of the detections as regions."""
    real = detections.attributes[chosen.rows]
    scores, attributes = torch.cat([real, detections.no_attribute[chosen.rows, None]], dim=1).max(1)
    attributes = attributes.masked_fill(attributes == detections.attributes.shape[1], -1)
    return Regions(
        detections.features[chosen.rows],
        boxes,
        detections.image_size,
        source,
        chosen.classes,
        chosen.scores,
        attributes,
        scores,
        real,
    )
