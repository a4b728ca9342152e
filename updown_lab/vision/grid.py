"""The baseline that bottom-up attention replaced: a grid of cells over the whole image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from updown_lab.config import GridConfig
from updown_lab.regions import Regions
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.pixels import resize_image, target_size
from updown_lab.vision.shapes import see_in_batches, thicken
from updown_lab.vision.trunk import Trunk

POOLINGS = ("bilinear", "corners", "average")
SMALLEST = 32  # pixels of a side that a whole ResNet can halve five times


class GridEncoder:
    """N x N cells of the whole-image map: what attention had before bottom-up attention.

    The head's map is resized to N x N, as for the paper's ResNet baseline; Sec. 4.3. One cell is the mean of the map.
    "bilinear" reads the map in the middle of each cell. "corners" reads the outermost values at the corner cells, which
    is what the authors' script does (``scipy.ndimage.zoom``). "average" takes the mean of all that a cell covers.

    Args:
        network: a trunk (the image keeps its size), or a detector (its trunk at the detector's image size).
        size:    N.
        source:  name of the regions.
        cfg:     ``image_side`` resizes every image to a square first, ``pooling`` is one of the three words above.
    """

    def __init__(self, network: Trunk | BottomUpDetector, size: int, source: str, cfg: GridConfig):
        self.network, self.size, self.source, self.cfg = network, size, source, cfg
        self.trunk: nn.Module = getattr(network, "trunk", network)
        self.feature_dim = self.trunk.feature_dim

    def encode(self, images: Sequence[Tensor], records=None) -> list[Regions]:
        """Cut every image into the same cells, images of one size at a time.

        Args:
            images:  (3, H, W) float in [0, 1] RGB, of any sizes.
            records: not read; every encoder may be given them.

        Returns:
            one ``Regions`` an image, in order, in main memory: N * N cells in reading order, without classes.
        """
        return see_in_batches(images, self._see, self._seen)

    def _see(self, images: list[Tensor], positions: list[int]) -> list[Regions]:
        height, width = images[0].shape[-2:]
        boxes = grid_boxes(self.size, width, height)
        mode = self.trunk.training
        self.trunk.eval()
        try:
            with torch.no_grad():
                cells = self._cells(images)
        finally:
            self.trunk.train(mode)
        return [Regions(features, boxes, (width, height), self.source) for features in cells]

    def _cells(self, images: list[Tensor]) -> Tensor:
        """Images of one size to (B, N * N, D), cells in reading order."""
        device, size = next(self.trunk.parameters()).device, (self.size, self.size)
        maps = self.trunk(torch.stack([self._resize(image.to(device)) for image in images]))
        if self.size == 1:
            return maps.mean((2, 3))[:, None].cpu()
        if self.cfg.pooling == "average":
            maps = F.adaptive_avg_pool2d(maps, size)
        else:
            maps = F.interpolate(maps, size, mode="bilinear", align_corners=self.cfg.pooling == "corners")
        return maps.flatten(2).transpose(1, 2).contiguous().cpu()

    def _resize(self, image: Tensor) -> Tensor:
        if self.cfg.image_side:
            return resize_image(image, (self.cfg.image_side,) * 2, "antialias")
        if self.network is self.trunk:
            return thicken(image, SMALLEST)
        return self.network.resize(thicken(image))

    def _seen(self, image: Tensor) -> tuple[int, int]:
        if self.cfg.image_side or self.network is self.trunk:
            return (max(self.cfg.image_side, 1),) * 2
        return target_size(*image.shape[-2:], self.network.cfg.image_min, self.network.cfg.image_max)


def grid_boxes(size: int, width: int, height: int) -> Tensor:
    """The cells of an N x N grid in reading order, (N * N, 4) pixels; together they cover the image exactly.

    >>> grid_boxes(2, 10, 4)
    tensor([[ 0.,  0.,  5.,  2.],
            [ 5.,  0., 10.,  2.],
            [ 0.,  2.,  5.,  4.],
            [ 5.,  2., 10.,  4.]])
    """
    across = torch.arange(size + 1) * width / size
    down = torch.arange(size + 1) * height / size
    top, left = torch.meshgrid(down[:-1], across[:-1], indexing="ij")
    bottom, right = torch.meshgrid(down[1:], across[1:], indexing="ij")
    return torch.stack([left, top, right, bottom], dim=-1).flatten(0, 1)
