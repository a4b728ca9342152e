"""The bottom-up detector: Faster R-CNN that also says what things are like."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import Conv2dNormActivation, clip_boxes_to_image, roi_align

from updown_lab.config import DetectorConfig
from updown_lab.vision.attributes import AttributeHead, attribute_loss
from updown_lab.vision.images import batches_of_one_size
from updown_lab.vision.trunk import Trunk

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # box targets are divided by their usual spread, 0.1 and 0.2
PROPOSAL_WIDTH = 512  # channels between the body's map and objectness, as in the authors' network
NUMBERS_AT_ONCE = 2**24  # of pooled map held at test: 64 MB, or 83 regions of the paper's size


@dataclass(frozen=True)
class Detections:
    """What the detector thinks of R boxes of one image, before anything is selected.

    Attributes:
        proposals:     (R, 4) float, the boxes that were looked at, in pixels of the original image.
        features:      (R, D) float, mean of the head's map in the box: the paper's image feature v.
        probabilities: (R, C) float, class probabilities without background; a row sums to less than 1.
        attributes:    (R, M) float, attribute probabilities, given the likeliest class.
        no_attribute:  (R,) float, probability of "no attribute"; with ``attributes`` it sums to 1.
        deltas:        (R, C, 4) float, box regression for each class, decoded by ``boxes``.
        image_size:    (width, height) of the original image in pixels.
    """

    proposals: Tensor
    features: Tensor
    probabilities: Tensor
    attributes: Tensor
    no_attribute: Tensor
    deltas: Tensor
    image_size: tuple[int, int]

    def boxes(self, classes: Tensor | None = None) -> Tensor:
        """Boxes after regression, clipped to the image, in pixels.

        Args:
            classes: (R,) long, one class a row; None decodes all classes.

        Returns:
            (R, 4) for given classes, otherwise (R, C, 4).
        """
        deltas = self.deltas
        if classes is not None:
            deltas = deltas[torch.arange(len(deltas), device=deltas.device), classes]
        decoded = BoxCoder(BOX_WEIGHTS).decode_single(deltas.flatten(1), self.proposals)
        width, height = self.image_size
        return clip_boxes_to_image(decoded.view_as(deltas), (height, width))

    def cpu(self) -> "Detections":
        """The same in main memory."""
        return Detections(*(part.cpu() if isinstance(part, Tensor) else part for part in vars(self).values()))


class BottomUpDetector(nn.Module):
    """Propose regions, pool them, name them, describe them.

    Seeing "bottom-up" means that the picture itself decides which parts are worth a look, before any word is spoken.
    Faster R-CNN on a body of stride 8 or 16; each region passes the trunk's head, and the mean of that map is the
    feature v. Anderson et al. 2018, Sec. 3.1. Differences from the authors' Caffe network: RoIAlign instead of RoIPool,
    and the head keeps its stride (theirs is dilated).

    Args:
        trunk:      body and head, shared; see ``freeze``.
        cfg:        sizes.
        classes:    C, without background.
        attributes: M, without "no attribute".

    >>> from updown_lab.config import preset
    >>> from updown_lab.vision.trunk import build_trunk
    >>> tiny = preset("tiny")
    >>> detector = BottomUpDetector(build_trunk(tiny.trunk), tiny.detector, classes=18, attributes=14)
    >>> detector.encode_boxes([torch.rand(3, 128, 128)], [torch.tensor([[0., 0, 64, 64]])])[0].features.shape
    torch.Size([1, 192])
    """

    def __init__(self, trunk: Trunk, cfg: DetectorConfig, classes: int, attributes: int):
        super().__init__()
        self.trunk, self.cfg = trunk, cfg
        self.classes, self.attributes = classes, attributes
        self.feature_dim = trunk.feature_dim
        self.rpn = _proposal_network(trunk.body_channels, cfg)
        self.predictor = FastRCNNPredictor(trunk.feature_dim, classes + 1)  # row 0 is background
        self.attribute_head = AttributeHead(
            trunk.feature_dim, classes, attributes, cfg.class_embedding, cfg.attribute_hidden
        )
        # Only torchvision's choice of training regions is used; pooling and heads are ours.
        self.sampler = RoIHeads(
            None, None, None, 0.5, 0.5, cfg.roi_batch, cfg.positive_fraction, BOX_WEIGHTS, 0.0, 0.0, 0
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.predictor.cls_score.weight.device

    def forward(self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The five losses of one batch; their sum is what training minimises.

        Args:
            images:  B tensors (3, H, W) in [0, 1] RGB.
            targets: B dicts: ``boxes`` (n, 4) float pixels, ``labels`` (n,) long class ids without background,
                     ``attributes`` (n, L) long attribute ids, -1 where there is none.

        Returns:
            dict of () floats: classification, box, objectness, proposal_box, attribute (already weighted).

        Raises:
            RuntimeError: in eval mode, where there is no loss; use ``detect``.
        """
        if not self.training:
            raise RuntimeError("the detector gives losses in training mode only; call train(), or detect(images)")
        batch = self._batch(images)
        shifted = [self._target(*item) for item in zip(images, targets, batch.image_sizes, strict=False)]
        maps = self.trunk.body(batch.tensors)
        proposals, proposal_losses = self.rpn(batch, {"0": maps}, shifted)
        proposals, matched, labels, regression = self.sampler.select_training_samples(proposals, shifted)
        features = self._pool(maps, proposals)
        logits, deltas = self.predictor(features)
        classification, box = fastrcnn_loss(logits, deltas, labels, regression)
        return {
            "classification": classification,
            "box": box,
            "objectness": proposal_losses["loss_objectness"],
            "proposal_box": proposal_losses["loss_rpn_box_reg"],
            "attribute": self.cfg.attribute_weight * self._attribute_loss(features, shifted, matched, labels),
        }

    def _attribute_loss(self, features: Tensor, targets, matched, labels) -> Tensor:
        """Attributes of the regions that show an object, given its true class."""
        attributes = [
            target["attributes"][rows[label > 0]] for target, rows, label in zip(targets, matched, labels, strict=False)
        ]
        classes = torch.cat(labels)
        positive = classes > 0
        logits = self.attribute_head(features[positive], classes[positive] - 1)
        return attribute_loss(logits, torch.cat(attributes))

    def detect(self, images: Sequence[Tensor], proposals: Sequence[Tensor] | None = None) -> list[Detections]:
        """Look at every image and judge the regions it proposes, or the boxes you give.

        Images of one size share a batch; nothing is padded beyond the body's stride, and regions are pooled in chunks,
        so memory does not grow with their number.

        Args:
            images:    tensors (3, H, W) in [0, 1] RGB, of any sizes.
            proposals: for each image (R, 4) boxes in its pixels; None lets the network propose.

        Returns:
            one ``Detections`` an image, in the order of ``images``; without any proposal R is 1, the whole image.
        """
        results: list[Detections | None] = [None] * len(images)
        mode = self.training
        self.eval()
        try:
            with torch.no_grad():  # not inference_mode: nobody could train on tensors made there
                for positions in batches_of_one_size(images):
                    given = None if proposals is None else [proposals[position] for position in positions]
                    found = self._detect_one_size([images[position] for position in positions], given)
                    for position, detections in zip(positions, found, strict=False):
                        results[position] = detections
        finally:
            self.train(mode)
        return results

    def encode_boxes(self, images: Sequence[Tensor], boxes: Sequence[Tensor]) -> list[Detections]:
        """``detect`` on given boxes: an oracle's, or another detector's."""
        return self.detect(images, boxes)

    def _detect_one_size(self, images: list[Tensor], given: list[Tensor] | None) -> list[Detections]:
        height, width = images[0].shape[-2:]
        batch = self._batch(images)
        maps = self.trunk.body(batch.tensors)
        factors = _scale((width, height), batch.image_sizes[0]).to(maps.device)
        if given is None:
            found = self.rpn(batch, {"0": maps})[0]
            given = [clip_boxes_to_image(item / factors, (height, width)) for item in found]
            whole = factors.new_tensor([[0, 0, width, height]])
            given = [item if len(item) else whole for item in given]
        given = [item.to(factors) for item in given]
        boxes = [item * factors for item in given]
        features = self._pool(maps, boxes)
        logits, deltas = self.predictor(features)
        probabilities = logits.softmax(1)[:, 1:]
        attributes = self.attribute_head(features, probabilities.argmax(1)).softmax(1)
        deltas = deltas.view(-1, self.classes + 1, 4)[:, 1:]
        parts = (features, probabilities, attributes[:, :-1], attributes[:, -1], deltas)
        counts = [len(item) for item in given]
        return [
            Detections(*row, (width, height))
            for row in zip(given, *(part.split(counts) for part in parts), strict=False)
        ]

    def _pool(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        """Mean of the head's map in each box: (R of all images, D)."""
        size = self.cfg.roi_size
        owner = torch.repeat_interleave(
            torch.arange(len(boxes), device=maps.device), torch.tensor([len(item) for item in boxes]).to(maps.device)
        )
        regions = torch.cat([owner[:, None].to(maps.dtype), torch.cat(boxes).to(maps.dtype)], dim=1)  # (R, 5)
        chunk = len(regions) if self.training else NUMBERS_AT_ONCE // (maps.shape[1] * size * size)
        features = []
        for part in regions.split(max(1, chunk)):
            crops = roi_align(maps, part, size, 1 / self.trunk.stride, sampling_ratio=2, aligned=True)
            features.append(self.trunk.head(crops).mean((2, 3)))
        return torch.cat(features)

    def resize(self, image: Tensor) -> Tensor:
        """The image at the detector's size: short side ``image_min`` unless the long one would pass ``image_max``."""
        height, width = image.shape[-2:]
        scale = min(self.cfg.image_min / min(height, width), self.cfg.image_max / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        if size == (height, width):
            return image
        return F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]

    def _batch(self, images: Sequence[Tensor]) -> ImageList:
        """Resized images on one canvas; what no image covers is the mean colour, which is 0 after normalising."""
        resized = [self.resize(image.to(self.device)) for image in images]
        sizes = [tuple(image.shape[-2:]) for image in resized]
        step = self.trunk.stride
        height, width = (-(-max(side) // step) * step for side in zip(*sizes, strict=False))
        canvas = self.trunk.mean.to(resized[0].dtype).expand(3, height, width).repeat(len(images), 1, 1, 1)
        for row, (image, (high, wide)) in enumerate(zip(resized, sizes, strict=False)):
            canvas[row, :, :high, :wide] = image
        return ImageList(canvas, sizes)

    def _target(self, image: Tensor, target: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """A target as torchvision wants it: boxes of the resized image, class 0 for background."""
        boxes = target["boxes"].to(self.device)
        factors = _scale((image.shape[2], image.shape[1]), size).to(boxes)
        labels = target["labels"].to(self.device) + 1
        return {"boxes": boxes * factors, "labels": labels, "attributes": target["attributes"].to(self.device)}


def _scale(original: tuple[int, int], resized: tuple[int, int]) -> Tensor:
    """(4,) factors from original pixels, (width, height), to resized ones, (height, width)."""
    across, down = resized[1] / original[0], resized[0] / original[1]
    return torch.tensor([across, down, across, down])


def _proposal_network(channels: int, cfg: DetectorConfig) -> RegionProposalNetwork:
    """torchvision's RPN on one map, with the anchors of the configuration."""
    anchors = AnchorGenerator((tuple(cfg.anchor_sizes),), (tuple(cfg.anchor_ratios),))
    width = min(PROPOSAL_WIDTH, channels)
    head = RPNHead(width, anchors.num_anchors_per_location()[0])
    head.conv = Conv2dNormActivation(channels, width, kernel_size=3, norm_layer=None)
    return RegionProposalNetwork(
        anchors,
        head,
        0.7,
        0.3,
        cfg.rpn_batch,
        0.5,
        pre_nms_top_n={"training": cfg.proposal_candidates, "testing": cfg.proposal_candidates},
        post_nms_top_n={"training": cfg.proposals_train, "testing": cfg.proposals_test},
        nms_thresh=cfg.proposal_nms,
    )
