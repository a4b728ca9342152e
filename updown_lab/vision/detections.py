"""What the detector thinks of the boxes it looked at, before anything is selected."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # box targets are divided by their usual spread, 0.1 and 0.2


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
        limits:        the largest (x, y) of a box; None means the image's size.
        box_weights:   what ``deltas`` are divided by.
    """

    proposals: Tensor
    features: Tensor
    probabilities: Tensor
    attributes: Tensor
    no_attribute: Tensor
    deltas: Tensor
    image_size: tuple[int, int]
    limits: tuple[float, float] | None = None
    box_weights: tuple[float, ...] = BOX_WEIGHTS

    def boxes(self, classes: Tensor | None = None) -> Tensor:
        """Boxes after regression, clipped to the image, in pixels.

        Args:
            classes: (R,) long, one class a row; None decodes all classes, which for 1600 of them takes a while.

        Returns:
            (R, 4) for given classes, otherwise (R, C, 4).
        """
        deltas = self.deltas
        if classes is not None:
            deltas = deltas[torch.arange(len(deltas), device=deltas.device), classes]
        decoded = BoxCoder(self.box_weights).decode_single(deltas.flatten(1), self.proposals).view_as(deltas)
        return clip_boxes(decoded, self.limits or self.image_size)

    def cpu(self) -> "Detections":
        """The same in main memory."""
        return Detections(*(part.cpu() if isinstance(part, Tensor) else part for part in vars(self).values()))


def clip_boxes(boxes: Tensor, limits: tuple[float, float]) -> Tensor:
    """Boxes (…, 4) cut at the image's edge: x in [0, limits[0]], y in [0, limits[1]].

    >>> clip_boxes(torch.tensor([[-1.0, 2, 9, 9]]), (5, 4))
    tensor([[0., 2., 5., 4.]])
    """
    across, down = boxes[..., 0::2].clamp(0, limits[0]), boxes[..., 1::2].clamp(0, limits[1])
    return torch.stack([across, down], dim=-1).flatten(-2)
