"""Images of any shape through networks that have their own: batches of one size, thicker strips, boxes put back."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from updown_lab.regions import Regions
from updown_lab.vision.images import batches_of_one_size

SLENDER = 32  # a side this many times shorter than the other vanishes in the networks' resizing


def see_in_batches(
    images: Sequence[Tensor],
    see: Callable[[list[Tensor], list[int]], list[Regions]],
    seen: Callable[[Tensor], tuple[int, int]] | None = None,
) -> list[Regions]:
    """Run ``see`` on batches of one size and keep the regions alone, so that memory stays bounded.

    Args:
        images: (3, H, W) each, of any sizes.
        see:    takes images of one size and their positions in ``images``; gives one ``Regions`` each.
        seen:   gives the (height, width) to which the network will enlarge an image, if it does.

    Returns:
        one ``Regions`` an image, in order.
    """
    results: list[Regions | None] = [None] * len(images)
    for positions in batches_of_one_size(images, seen=seen):
        found = see([images[position] for position in positions], positions)
        for position, regions in zip(positions, found, strict=True):
            results[position] = regions
    return results


def thicken(image: Tensor, least: int = 1) -> Tensor:
    """Stretch a strip until it is 1/32 as thick as long; other images come back untouched.

    An image of 1 x 5000 pixels, made to fit into 1000, would have a fifth of a pixel left.

    Args:
        image: (3, H, W).
        least: pixels that each side should have at least.

    Returns:
        (3, H', W'); put its boxes back with ``at_size``.

    >>> thicken(torch.zeros(3, 1, 5000)).shape, thicken(torch.zeros(3, 4, 3), least=6).shape
    (torch.Size([3, 157, 5000]), torch.Size([3, 6, 6]))
    """
    height, width = image.shape[-2:]
    floor = max(least, -(-max(height, width) // SLENDER))
    size = (max(height, floor), max(width, floor))
    if size == (height, width):
        return image
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]


def at_size(regions: Regions, size: tuple[int, int]) -> Regions:
    """The same regions of the same image at another size.

    Args:
        regions: with boxes in pixels of ``regions.image_size``.
        size:    (width, height) wanted.

    >>> half = Regions(torch.zeros(1, 2), torch.tensor([[0.0, 1, 2, 3]]), (5, 4), "demo")
    >>> at_size(half, (10, 4)).boxes
    tensor([[0., 1., 4., 3.]])
    """
    if regions.image_size == tuple(size):
        return regions
    (width, height), before = size, regions.boxes.new_tensor(regions.image_size).repeat(2)
    limits = before.new_tensor([width, height, width, height])
    # Multiplied before it is divided: a whole image stays a whole image, which a rounded factor would cut a little.
    boxes = torch.minimum(regions.boxes * limits / before, limits)
    return replace(regions, boxes=boxes, image_size=(width, height))
