"""Regions for those who only want regions: torchvision's Faster R-CNN with COCO weights, 80 classes, no attributes."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import detection
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

from updown_lab.config import SelectionConfig
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.regions import Regions
from updown_lab.vision.shapes import at_size, see_in_batches, thicken

MODELS = {
    "fasterrcnn_resnet50_fpn_v2": (
        detection.fasterrcnn_resnet50_fpn_v2,
        detection.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    ),
    "fasterrcnn_resnet50_fpn": (detection.fasterrcnn_resnet50_fpn, detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1),
}
DEFAULT = "fasterrcnn_resnet50_fpn_v2"
#: Names of the class ids. Number n is COCO's category n + 1; COCO never used some numbers, they are called "N/A".
COCO_CLASSES: tuple[str, ...] = tuple(MODELS[DEFAULT][1].meta["categories"][1:])
LEAST_SCORE = 0.01  # pairs of box and class below it are not looked at
_FIRST_VERSION = "roi_heads.box_head.fc6.weight"  # a weight that only the first version of the network has


def load_coco_detector(weights: Path | str | None = DEFAULT, **settings) -> FasterRCNN:
    """torchvision's ResNet-50-FPN detector, about four times as fast as the ResNet-101 C4 of the paper.

    Args:
        weights:  "fasterrcnn_resnet50_fpn_v2" (COCO box mAP 46.7) or "fasterrcnn_resnet50_fpn" (37.0), which
                  torchvision downloads once (about 170 MB); a file with such weights; or None for the untrained second
                  version.
        settings: passed on to torchvision, for instance ``min_size=600``.

    Returns:
        The detector in evaluation mode.

    Raises:
        DataMissing: the weights cannot be downloaded, or there is no such file; the message says what to put where.
        DataInvalid: the file holds other weights; the names are listed.
    """
    settings = {"box_score_thresh": LEAST_SCORE, **settings}
    if weights is None or weights in MODELS:
        make, source = MODELS[weights or DEFAULT]
        state = None if weights is None else _download(source)
    else:
        state = _read(Path(weights))
        make, _ = MODELS["fasterrcnn_resnet50_fpn" if _FIRST_VERSION in state else DEFAULT]
    model = make(weights=None, weights_backbone=None, **settings)
    if state is not None:
        _fill(model, state, weights)
    return model.eval()


def _download(source) -> dict[str, Tensor]:
    try:
        return source.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, no space, or another file than it should be
        raise DataMissing(
            f"cannot download torchvision's COCO detector ({error}). On a machine with internet fetch {source.url} and "
            f"put it into {torch.hub.get_dir()}/checkpoints/, or give the file: --weights FILE"
        ) from None


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataMissing(f"no file {path}; --weights is a file, or one of {', '.join(MODELS)}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file can raise anything
        first = " ".join(str(error).split())[:200]
        raise DataInvalid(f"{path} cannot be read as plain weights ({first}); fetch it again") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataInvalid(f"{path} should hold tensors by name, as torchvision's files do; it holds something else")
    return state


def _fill(model: FasterRCNN, state: dict[str, Tensor], source: Path | str) -> None:
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = [f"{name}: the file has {found.get(name, 'nothing')}, the network {wanted.get(name, 'nothing')}"
             for name in sorted(wanted.keys() | found.keys()) if found.get(name) != wanted.get(name)]  # fmt: skip
    if wrong:
        more = [f"and {len(wrong) - 20} more"] if len(wrong) > 20 else []
        raise DataInvalid(f"{source} does not fit torchvision's detector:\n  " + "\n  ".join(wrong[:20] + more))
    model.load_state_dict(state)


class CocoEncoder:
    """The boxes that torchvision's detector finds, each with the 1024 numbers its box head has for that very box.

    Boxes are pooled a second time after they were regressed, so a feature shows what is in the box that comes with it
    (in the paper's features it belongs to the proposal). At least ``cfg.minimum`` and at most ``cfg.maximum`` boxes
    are kept, and in between those with a score from ``cfg.confidence`` on. An image without any is one region.

    Args:
        model: from ``load_coco_detector``; its own score and NMS thresholds come first.
        cfg:   ``confidence``, ``minimum`` and ``maximum``; its rule and ladder are not used.

    >>> model = load_coco_detector(None, min_size=64, max_size=96)
    >>> (regions,) = CocoEncoder(model, SelectionConfig(minimum=1, maximum=3)).encode([torch.rand(3, 48, 60)])
    >>> regions.features.shape[1], regions.count <= 3, len(COCO_CLASSES)
    (1024, True, 90)
    """

    source = "regions-coco"

    def __init__(self, model: FasterRCNN, cfg: SelectionConfig):
        self.model, self.cfg = model, cfg
        self.feature_dim: int = model.roi_heads.box_predictor.cls_score.in_features

    def encode(self, images: Sequence[Tensor], records=None) -> list[Regions]:
        """Find and describe boxes, images of one size at a time.

        Args:
            images:  (3, H, W) float in [0, 1] RGB, of any sizes.
            records: not read; every encoder may be given them.

        Returns:
            one ``Regions`` an image, in order, in main memory, boxes in pixels of that image; without attributes.
        """
        return see_in_batches(images, self._see, self._seen)

    def _see(self, images: list[Tensor], positions: list[int]) -> list[Regions]:
        size = images[0].shape[2], images[0].shape[1]
        thick = [thicken(image) for image in images]
        mode = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                found = self._regions(thick)
        finally:
            self.model.train(mode)
        return [at_size(regions, size) for regions in found]

    def _regions(self, images: list[Tensor]) -> list[Regions]:
        """Images of one size to their regions, in their own pixels."""
        height, width = images[0].shape[-2:]
        device = self.model.roi_heads.box_predictor.cls_score.weight.device
        batch, _ = self.model.transform([image.to(device) for image in images])
        maps = self.model.backbone(batch.tensors)
        proposals, _ = self.model.rpn(batch, maps)
        detections, _ = self.model.roi_heads(maps, proposals, batch.image_sizes)
        boxes = [self._keep(found, size) for found, size in zip(detections, batch.image_sizes, strict=True)]
        features = self._pool(maps, boxes, batch)
        results = []
        for found, kept, rows, (high, wide) in zip(detections, boxes, features, batch.image_sizes, strict=True):
            labels, scores = found["labels"][: len(kept)], found["scores"][: len(kept)]
            if not len(labels):
                scores, labels = self.model.roi_heads.box_predictor(rows)[0].softmax(1)[:, 1:].max(1)
                labels = labels + 1
            # In pixels of what the network saw; the number of them is no whole fraction, so x and y differ a little.
            seen = Regions(rows.cpu(), kept.cpu(), (wide, high), self.source, labels.cpu() - 1, scores.cpu())
            results.append(at_size(seen, (width, height)))
        return results

    def _keep(self, found: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """The first boxes, which are the most certain, or the whole image."""
        confident = int((found["scores"] >= self.cfg.confidence).sum())
        boxes = found["boxes"][: min(max(confident, self.cfg.minimum), self.cfg.maximum)]
        return boxes if len(boxes) else boxes.new_tensor([[0.0, 0.0, size[1], size[0]]])

    def _pool(self, maps: dict[str, Tensor], boxes: list[Tensor], batch: ImageList) -> tuple[Tensor, ...]:
        """The box head's numbers of each box, (K, 1024) an image."""
        heads = self.model.roi_heads
        features = heads.box_head(heads.box_roi_pool(maps, boxes, batch.image_sizes))
        return features.split([len(item) for item in boxes])

    def _seen(self, image: Tensor) -> tuple[int, int]:
        shortest, longest = self.model.transform.min_size[-1], self.model.transform.max_size
        scale = min(shortest / min(image.shape[-2:]), longest / max(image.shape[-2:]))
        return round(image.shape[-2] * scale), round(image.shape[-1] * scale)
