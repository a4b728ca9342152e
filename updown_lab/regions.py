"""What seeing returns: one image's regions, and a padded batch of them.

A grid is a set of regions whose boxes are its cells, so nothing downstream can
tell a grid from bottom-up attention: the paper's ablation is two stores and one script.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Regions:
    """The regions of one image.

    Attributes:
        features:   (K, D) float, one vector a region.
        boxes:      (K, 4) float, (x1, y1, x2, y2) in pixels of the original image, x2 and y2 exclusive.
        image_size: (width, height) of the original image in pixels.
        source:     who made them, for instance "regions" or "grid 7x7".
        classes:    (K,) long class ids without background, or None (a grid has none).
        scores:     (K,) float in [0, 1], confidence of ``classes``, or None.
        attributes: (K,) long attribute ids, -1 where "no attribute" wins, or None.
        attribute_scores: (K,) float in [0, 1], or None.
        attribute_probabilities: (K, M) float, the detector's whole opinion of each region, or None. A store keeps
                    only the likeliest attribute and its score.

    Raises:
        ValueError: if features and boxes disagree in shape.

    >>> Regions(torch.zeros(2, 8), torch.tensor([[0., 0, 4, 4], [1, 1, 3, 3]]), (4, 4), "demo").count
    2
    """

    features: Tensor
    boxes: Tensor
    image_size: tuple[int, int]
    source: str
    classes: Tensor | None = None
    scores: Tensor | None = None
    attributes: Tensor | None = None
    attribute_scores: Tensor | None = None
    attribute_probabilities: Tensor | None = None

    def __post_init__(self):
        if self.features.dim() != 2 or self.boxes.shape != (len(self.features), 4):
            raise ValueError(
                f"regions need features (K, D) and boxes (K, 4), "
                f"got {tuple(self.features.shape)} and {tuple(self.boxes.shape)}"
            )

    @property
    def count(self) -> int:
        """K, the number of regions."""
        return len(self.features)


@dataclass(frozen=True)
class RegionBatch:
    """Regions of several images, padded to the same number.

    Attributes:
        features: (B, K, D) float; padded rows may hold anything and are never read.
        boxes:    (B, K, 4) float pixels.
        mask:     (B, K) bool, True where a region is real.
        image_sizes: (B, 2) float pixels, width and height, for models that read where a box lies; or None.
    """

    features: Tensor
    boxes: Tensor
    mask: Tensor
    image_sizes: Tensor | None = None

    def to(self, device) -> "RegionBatch":
        """The same batch on another device."""
        parts = (self.features, self.boxes, self.mask, self.image_sizes)
        return RegionBatch(*(part if part is None else part.to(device, non_blocking=True) for part in parts))

    def __len__(self) -> int:
        return len(self.features)


def collate_regions(regions: Sequence[Regions]) -> RegionBatch:
    """Pad the regions of several images into one batch.

    Args:
        regions: one ``Regions`` an image, all with the same D.

    Returns:
        RegionBatch with K the largest count; padding is zero in features and boxes, False in the mask.

    Raises:
        ValueError: if the list is empty or the feature sizes differ.

    >>> one = Regions(torch.ones(1, 3), torch.zeros(1, 4), (9, 9), "demo")
    >>> two = Regions(torch.ones(2, 3), torch.zeros(2, 4), (9, 9), "demo")
    >>> collate_regions([one, two]).mask.tolist()
    [[True, False], [True, True]]
    """
    sizes = {item.features.shape[1] for item in regions}
    if len(sizes) != 1:
        raise ValueError(f"a batch needs images with one feature size, got {sorted(sizes) or 'no image'}")
    most = max(item.count for item in regions)
    features = torch.zeros(len(regions), most, sizes.pop(), dtype=regions[0].features.dtype)
    boxes = torch.zeros(len(regions), most, 4)
    mask = torch.zeros(len(regions), most, dtype=torch.bool)
    for row, item in enumerate(regions):
        features[row, : item.count] = item.features
        boxes[row, : item.count] = item.boxes
        mask[row, : item.count] = True
    return RegionBatch(features, boxes, mask, torch.tensor([item.image_size for item in regions]).float())
