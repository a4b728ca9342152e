"""How large the detector sees an image, and how it gets there: three resizings that all call themselves bilinear."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

METHODS = ("antialias", "plain", "pil")


def target_size(height: int, width: int, shortest: int, longest: int) -> tuple[int, int]:
    """The size at which the detector looks: short side ``shortest``, unless the long side would pass ``longest``.

    Halves are rounded up, as in every published detector.

    Args:
        height, width: of the image in pixels.
        shortest:      wanted short side.
        longest:       the most that the long side may have.

    Returns:
        (height, width), at least 1 each.

    >>> target_size(333, 500, 600, 1000), target_size(37, 700, 600, 1000)
    ((600, 901), (53, 1000))
    """
    scale = shortest / min(height, width)
    sides = [scale * height, scale * width]
    if max(sides) > longest:
        sides = [side * (longest / max(sides)) for side in sides]
    return max(1, int(sides[0] + 0.5)), max(1, int(sides[1] + 0.5))


def resize_image(image: Tensor, size: tuple[int, int], method: str, top: float = 1.0) -> Tensor:
    """One image at another size, bilinear.

    When an image shrinks, "antialias" averages all pixels that fall into a new one; "plain" looks at four of them and
    forgets the others; "pil" averages too, but on whole grey levels. Enlarging they agree to one level.

    Args:
        image:  (3, H, W) float in [0, top].
        size:   (height, width) wanted; the image's own size returns it untouched.
        method: "antialias", "plain" (LXMERT) or "pil" (detectron2, airsplay).
        top:    the value of white; "pil" needs it to find the 256 levels.

    Returns:
        (3, *size) float in [0, top].

    >>> stripes = torch.tensor([0.0, 1, 0, 0]).expand(3, 1, 4)
    >>> resize_image(stripes, (1, 1), "plain")[0].item()             # the mean of the middle two of four pixels
    0.5
    >>> round(resize_image(stripes, (1, 1), "antialias")[0].item(), 3)      # of all four, the near ones more
    0.292
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    if method == "pil":
        return _through_pil(image, size, top)
    return F.interpolate(image[None], size, mode="bilinear", antialias=method == "antialias", align_corners=False)[0]


def _through_pil(image: Tensor, size: tuple[int, int], top: float) -> Tensor:
    """Pillow's own resizing: the published features were made with it, so nothing else has its rounding."""
    levels = (image.detach().cpu().float() * (255 / top)).round().clamp(0, 255).to(torch.uint8)
    picture = Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())
    resized = np.array(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return (torch.from_numpy(resized).permute(2, 0, 1).to(image) * (top / 255)).contiguous()
