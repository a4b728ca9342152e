"""Anchors: the boxes from which proposals start, in the three ways that published networks mean them."""

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from updown_lab.config import DetectorConfig
from updown_lab.errors import ConfigError

KINDS = ("torchvision", "continuous", "caffe")


def cell_anchors(kind: str, sizes: tuple[float, ...], ratios: tuple[float, ...], stride: int = 16) -> Tensor:
    """The anchors of one cell of the map, around its upper left corner.

    A ratio is height by width; an anchor of size s has the area s². The kinds differ in rounding, order and centre,
    never in number: a wrong kind crashes nothing and moves every proposal.

    Args:
        kind:   "torchvision" (rounded to whole pixels, ratio-major, centred on the corner), "continuous" (detectron2:
                not rounded, size-major, centred on the corner) or "caffe" (the authors': a square of ``stride`` pixels
                is stretched, rounded, then scaled; ratio-major, centred in the cell at (stride - 1) / 2, and x2 and y2
                still belong to the box).
        sizes:  lengths in pixels of the resized image.
        ratios: heights by widths.
        stride: pixels per cell.

    Returns:
        (len(sizes) * len(ratios), 4) float.

    Raises:
        ConfigError: unknown kind.

    >>> cell_anchors("continuous", (64,), (1.0,)), cell_anchors("caffe", (64,), (1.0,))
    (tensor([[-32., -32.,  32.,  32.]]), tensor([[-24., -24.,  39.,  39.]]))
    """
    if kind == "torchvision":
        return AnchorGenerator((tuple(sizes),), (tuple(ratios),)).cell_anchors[0]
    if kind == "continuous":
        boxes = [_around(0.0, (size * size / ratio) ** 0.5, (size * size * ratio) ** 0.5)
                 for size in sizes for ratio in ratios]  # fmt: skip
    elif kind == "caffe":
        boxes = [_caffe(size, ratio, stride) for ratio in ratios for size in sizes]
    else:
        raise ConfigError(f"detector.anchors is one of {', '.join(KINDS)}, got {kind!r}")
    return torch.tensor(boxes, dtype=torch.float64).float()


def _around(centre: float, width: float, height: float) -> list[float]:
    return [centre - width / 2, centre - height / 2, centre + width / 2, centre + height / 2]


def _caffe(size: float, ratio: float, stride: int) -> list[float]:
    width = round((stride * stride / ratio) ** 0.5)
    height = round(width * ratio)
    scale = size / stride
    return _around((stride - 1) / 2, width * scale - 1, height * scale - 1)


class CellAnchors(AnchorGenerator):
    """torchvision's generator with given anchors, always ``stride`` pixels apart.

    Its own would divide the image's size by the map's, which is 15 and not 16 for an image of 901 pixels.

    Args:
        anchors: (A, 4) around the upper left corner of a cell.
        stride:  pixels per cell.
    """

    def __init__(self, anchors: Tensor, stride: int):
        super().__init__(((1.0,) * len(anchors),), ((1.0,),))  # A sizes times one ratio: the count is what matters
        self.cell_anchors, self.stride = [anchors], stride

    def grid_anchors(self, grid_sizes, strides) -> list[Tensor]:
        """All anchors of a map, (H * W * A, 4), cell by cell."""
        return super().grid_anchors(grid_sizes, [[self.stride, self.stride] for _ in strides])


def anchor_generator(cfg: DetectorConfig, stride: int) -> AnchorGenerator:
    """The anchors that a configuration means: its own boxes, or a formula.

    >>> anchor_generator(DetectorConfig(anchors="caffe"), 16).num_anchors_per_location()
    [12]
    """
    if cfg.anchor_boxes:
        boxes = [float(number) for number in cfg.anchor_boxes]
        return CellAnchors(torch.tensor(boxes).view(-1, 4), stride)
    if cfg.anchors == "torchvision":
        return AnchorGenerator((tuple(cfg.anchor_sizes),), (tuple(cfg.anchor_ratios),))
    return CellAnchors(cell_anchors(cfg.anchors, cfg.anchor_sizes, cfg.anchor_ratios, stride), stride)
