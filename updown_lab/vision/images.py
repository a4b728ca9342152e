"""Images as tensors: one way to read a file, one way to group what fits in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing

PIXELS_AT_ONCE = 2**20  # about one photo of 600 x 1000, or 64 pictures of 128 x 128


def load_image(path: Path | str) -> Tensor:
    """Read any image file as the tensor that every network here takes.

    Cameras store photos on their side with a note (EXIF) that says so; the note is obeyed, because annotated
    boxes belong to the upright picture. Grey, palette, CMYK and 16-bit files become RGB; transparency is dropped.

    Args:
        path: a file that Pillow can read.

    Returns:
        (3, H, W) float in [0, 1], RGB.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: the file is truncated or not an image; the message names it.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "grey.png"
    >>> Image.new("L", (4, 2), 255).save(target)
    >>> load_image(target).shape, load_image(target).max().item()
    (torch.Size([3, 2, 4]), 1.0)
    """
    path = Path(path)
    if not path.is_file():
        raise DataMissing(f"no image file {path}; check the image folder, or make the data again")
    try:
        with Image.open(path) as file:
            image = _eight_bit(ImageOps.exif_transpose(file)).convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataInvalid(f"{path} cannot be read as an image ({error}); fetch or make the file again") from None
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255).contiguous()


def _eight_bit(image: Image.Image) -> Image.Image:
    """Sixteen-bit grey scaled to eight: Pillow's own conversion would clip it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8))


def batches_of_one_size(images: Sequence[Tensor], pixels: int = PIXELS_AT_ONCE) -> Iterator[list[int]]:
    """Group images so that a batch needs no padding and fits in memory.

    A pad would leak into the border of the smaller image, so only equal sizes share a batch.

    Args:
        images: each (3, H, W).
        pixels: the most pixels of one batch; an image larger than that stands alone.

    Yields:
        positions in ``images``; each position once.

    >>> small, large = torch.zeros(3, 4, 4), torch.zeros(3, 8, 8)
    >>> list(batches_of_one_size([small, large, small, small], pixels=32))
    [[0, 2], [3], [1]]
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for position, image in enumerate(images):
        groups.setdefault(tuple(image.shape[-2:]), []).append(position)
    for (height, width), positions in groups.items():
        step = max(1, pixels // (height * width))
        yield from (positions[start : start + step] for start in range(0, len(positions), step))
