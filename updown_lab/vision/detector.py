"""The bottom-up detector: Faster R-CNN that also says what things are like."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import Conv2dNormActivation

from updown_lab.config import DetectorConfig
from updown_lab.vision import pixels
from updown_lab.vision.anchors import anchor_generator
from updown_lab.vision.attributes import AttributeHead, attribute_loss
from updown_lab.vision.detections import Detections, clip_boxes
from updown_lab.vision.images import batches_of_one_size
from updown_lab.vision.pooling import POOLINGS
from updown_lab.vision.trunk import Trunk

__all__ = ["BottomUpDetector", "Detections"]

PROPOSAL_WIDTH = 512  # channels between the body's map and objectness, as in the authors' network
NUMBERS_AT_ONCE = 2**24  # of pooled map held at test: 64 MB, or 83 regions of the paper's size


class BottomUpDetector(nn.Module):
    """Propose regions, pool them, name them, describe them.

    Seeing "bottom-up" means that the picture itself decides which parts are worth a look, before any word is spoken.
    Faster R-CNN on a body of stride 8 or 16; each region passes the trunk's head, and the mean of that map is the
    feature v. Anderson et al. 2018, Sec. 3.1. The configuration makes it torchvision's way or, number by number, the
    published network (docs/detector.md; ``published.py`` loads its weights).

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
        self.published = None  # names, settings and notes, if ``load_visual_genome_detector`` made it
        self.classes, self.attributes = classes, attributes
        self.feature_dim = trunk.feature_dim
        self.crop = POOLINGS[cfg.roi_pooling]
        self.rpn = _proposal_network(trunk, cfg)
        self.predictor = FastRCNNPredictor(trunk.feature_dim, classes + 1)
        if not cfg.background_box:
            self.predictor.bbox_pred = nn.Linear(trunk.feature_dim, 4 * classes)
        # If background may be asked about, it has the last row, whatever its place in the logits.
        asked = classes + int(cfg.attribute_background)
        self.attribute_head = AttributeHead(
            trunk.feature_dim, asked, attributes, cfg.class_embedding, cfg.attribute_hidden
        )
        # Only torchvision's choice of training regions is used; pooling and heads are ours.
        self.sampler = RoIHeads(
            None, None, None, 0.5, 0.5, cfg.roi_batch, cfg.positive_fraction, tuple(cfg.box_weights), 0.0, 0.0, 0
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
        maps = self.trunk.maps(batch.tensors)
        proposals, proposal_losses = self.rpn(self._clipped(batch), {"0": maps}, shifted)
        proposals, matched, labels, regression = self.sampler.select_training_samples(proposals, shifted)
        features = self._pool(maps, proposals)
        logits, deltas = self._name(features)
        deltas = F.pad(deltas.flatten(1), (4, 0))  # the loss expects a box of background in front and ignores it
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

    def judge(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the heads say of pooled features (R, D).

        Returns:
            probabilities (R, C), attributes (R, M), no_attribute (R,) and deltas (R, C, 4), as in ``Detections``.
        """
        logits, deltas = self._name(features)
        if self.cfg.attribute_background:
            likeliest = (logits.argmax(1) - 1) % (self.classes + 1)  # background, row 0, becomes the last
        else:
            likeliest = logits[:, 1:].argmax(1)
        attributes = self.attribute_head(features, likeliest)
        if self.cfg.attribute_softmax == "real":
            attributes = attributes[:, :-1].softmax(1)
            none = attributes.new_zeros(len(attributes))
        else:
            attributes, none = attributes.softmax(1).split((self.attributes, 1), dim=1)
            none = none.squeeze(1)
        return logits.softmax(1)[:, 1:], attributes, none, deltas

    def _name(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (R, 1 + C), background first, and box deltas (R, C, 4)."""
        last = self.cfg.background == "last"
        logits, deltas = self.predictor(features)
        deltas = deltas.view(len(deltas), -1, 4)
        if self.cfg.background_box:
            deltas = deltas[:, :-1] if last else deltas[:, 1:]
        return logits.roll(1, 1) if last else logits, deltas

    def _detect_one_size(self, images: list[Tensor], given: list[Tensor] | None) -> list[Detections]:
        height, width = images[0].shape[-2:]
        batch = self._batch(images)
        maps = self.trunk.maps(batch.tensors)
        factors = _scale((width, height), batch.image_sizes[0]).to(maps.device)
        limits = (width, height)
        if self.cfg.clip_margin:
            high, wide = batch.image_sizes[0]
            limits = (
                (wide - self.cfg.clip_margin) / float(factors[0]),
                (high - self.cfg.clip_margin) / float(factors[1]),
            )
        if given is None:
            boxes = self.rpn(self._clipped(batch), {"0": maps})[0]
            whole = factors * factors.new_tensor([0, 0, width, height])
            boxes = [item if len(item) else whole[None] for item in boxes]
            given = [clip_boxes(item / factors, limits) for item in boxes]
        else:
            given = [item.to(factors) for item in given]
            boxes = [item * factors for item in given]
        features = self._pool(maps, boxes)
        counts = [len(item) for item in given]
        parts = [part.split(counts) for part in (features, *self.judge(features))]
        return [
            Detections(*row, (width, height), limits, tuple(self.cfg.box_weights))
            for row in zip(given, *parts, strict=True)
        ]

    def _pool(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        """Mean of the head's map in each box, boxes in resized pixels: (R of all images, D)."""
        size = self.cfg.roi_size
        owner = torch.repeat_interleave(
            torch.arange(len(boxes), device=maps.device), torch.tensor([len(item) for item in boxes]).to(maps.device)
        )
        regions = torch.cat([owner[:, None].to(maps.dtype), torch.cat(boxes).to(maps.dtype)], dim=1)  # (R, 5)
        chunk = len(regions) if self.training else NUMBERS_AT_ONCE // (maps.shape[1] * size * size)
        features = []
        for part in regions.split(max(1, chunk)):
            crops = self.crop(maps, part, size, 1 / self.trunk.stride)
            features.append(self.trunk.head(crops).mean((2, 3)))
        return torch.cat(features)

    def resize(self, image: Tensor) -> Tensor:
        """The image (3, H, W) in [0, 1] at the detector's size, see ``pixels.target_size``."""
        return pixels.resize_image(image, self._size(image), self.cfg.resize)

    def _size(self, image: Tensor) -> tuple[int, int]:
        return pixels.target_size(*image.shape[-2:], self.cfg.image_min, self.cfg.image_max)

    def _batch(self, images: Sequence[Tensor]) -> ImageList:
        """Resized, normalised images on one canvas; what no image covers is 0, the mean colour."""
        seen = []
        for image in images:
            if self.cfg.resize != "pil":  # Pillow works in main memory
                image = image.to(self.device)
            levels = pixels.resize_image(self.trunk.levels(image), self._size(image), self.cfg.resize, self.trunk.top)
            seen.append(self.trunk.centre(levels.to(self.device)))
        sizes = [tuple(image.shape[-2:]) for image in seen]
        step = self.trunk.stride if self.cfg.pad_to_stride else 1
        height, width = (-(-max(side) // step) * step for side in zip(*sizes, strict=False))
        canvas = seen[0].new_zeros(len(images), 3, height, width)
        for row, (image, (high, wide)) in enumerate(zip(seen, sizes, strict=False)):
            canvas[row, :, :high, :wide] = image
        return ImageList(canvas, sizes)

    def _clipped(self, batch: ImageList) -> ImageList:
        """The batch as the proposal network should see its sizes, when boxes end before the edge."""
        margin = self.cfg.clip_margin
        sizes = [(high - margin, wide - margin) for high, wide in batch.image_sizes]
        return ImageList(batch.tensors, sizes) if margin else batch

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


def _proposal_network(trunk: Trunk, cfg: DetectorConfig) -> RegionProposalNetwork:
    """torchvision's RPN on one map, with the anchors of the configuration."""
    anchors = anchor_generator(cfg, trunk.stride)
    width = cfg.proposal_width or min(PROPOSAL_WIDTH, trunk.body_channels)
    head = RPNHead(width, anchors.num_anchors_per_location()[0])
    head.conv = Conv2dNormActivation(trunk.body_channels, width, kernel_size=3, norm_layer=None)
    network = RegionProposalNetwork(
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
    # torchvision keeps sides from min_size on, the published network sides longer than 0: the least float says that.
    network.min_size = cfg.proposal_minimum or torch.finfo(torch.float32).tiny
    return network
