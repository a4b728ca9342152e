"""Images as tensors: one way to read a file, whatever a camera, a scanner or a web site put into it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
PIXELS_AT_ONCE = 2**20  # about one photo of 600 x 1000, or 64 pictures of 128 x 128
LARGEST = 2**24  # pixels of a picture that is read for a network: 4096 x 4096
DECODING = 2**30  # bytes that one file may need while it is decoded
STRIP = 2**22  # pixels of a large picture that are in full colour at the same time

_ORIENTATION = 0x0112  # EXIF: how the camera was held
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")  # first bytes of image files
_opening = threading.Lock()
_large = threading.Lock()  # two very large files are not decoded at the same time


class PictureInvalid(DataInvalid):
    """A file that is no picture we can use.

    Attributes:
        reason: why, without the file's name.
    """

    def __init__(self, path: Path | str, reason: str):
        super().__init__(f"{path} cannot be read as an image ({reason}); fetch or make the file again")
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """What was in an image file, upright.

    Attributes:
        pixels: (3, h, w) uint8 RGB; fewer than in the file if that is very large.
        size:   (width, height) of the upright original in pixels.
    """

    pixels: Tensor
    size: tuple[int, int]

    def floats(self) -> Tensor:
        """(3, h, w) float in [0, 1], what every network here takes."""
        return self.pixels.float().div(255).contiguous()


def load_image(path: Path | str) -> Tensor:
    """Read any image file as the tensor that every network here takes.

    Cameras store photos on their side with a note (EXIF) that says so; the note is obeyed, because annotated
    boxes belong to the upright picture. Grey, palette, CMYK and 16-bit files become RGB; transparency is dropped; of
    several frames the first counts.

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
    return read_picture(path, most=None).floats()


def read_picture(path: Path | str, most: int | None = LARGEST) -> Picture:
    """Read an image file in bounded memory: a very large one at half its size, a third, a quarter, …

    A detector looks at 600 x 1000 pixels, so of a scan of 20,000 x 20,000 little is lost, and much memory is won: a
    JPEG is already decoded smaller, other files are made smaller strip by strip. ``load_image`` says what becomes of
    the colours.

    Args:
        path: a file that Pillow can read.
        most: the most pixels to keep; None keeps all.

    Raises:
        DataMissing: there is no such file.
        PictureInvalid: it is truncated, not an image, or needs more than 1 GB while it is decoded.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "wide.png"
    >>> Image.new("L", (40, 20)).save(target)
    >>> picture = read_picture(target, most=200)
    >>> picture.pixels.shape, picture.size
    (torch.Size([3, 10, 20]), (40, 20))
    """
    path = Path(path)
    if not path.is_file():
        raise DataMissing(f"no image file {path}; check the image folder, or make the data again")
    try:
        with _open(path) as file:
            return _decode(path, file, most)
    except PictureInvalid:
        raise
    except Exception as error:  # a broken file can raise anything from a decoder
        raise PictureInvalid(path, _reason(path, error)) from None


def _open(path: Path) -> Image.Image:
    """Pillow's image, its size read and nothing else. Our own limit stands in for Pillow's, which knows no draft."""
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(path: Path, file: Image.Image, most: int | None) -> Picture:
    """The first frame as ``Picture``."""
    width, height = file.size
    factor = _factor(width, height, most)
    if factor > 1 and file.format == "JPEG":
        draft = max(step for step in (1, 2, 4, 8) if step <= factor)
        file.draft(None, (max(1, width // draft), max(1, height // draft)))
    needed = _bytes(file, width * height)
    if needed > DECODING:
        raise PictureInvalid(
            path,
            f"{width} x {height} pixels need {needed / 2**30:,.1f} GB as {file.format}, the limit is "
            f"{DECODING / 2**30:.0f} GB; shrink it, or save it as a baseline JPEG, which can be read at a smaller size",
        )
    if needed > DECODING // 8:
        with _large:
            image = _shrunk(file, most)
    else:
        image = _shrunk(file, most)
    held = _orientation(file)  # not before: of a PNG it is read behind the pixels
    if held in _UPRIGHT:
        image = image.transpose(_UPRIGHT[held])
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return Picture(pixels, (height, width) if held in (5, 6, 7, 8) else (width, height))


def _orientation(file: Image.Image) -> int:
    try:
        return file.getexif().get(_ORIENTATION, 1)
    except Exception:  # notes that cannot be read say nothing about how the picture was held
        return 1


def _factor(width: int, height: int, most: int | None) -> int:
    """The least whole number by which both sides must be divided to keep ``most`` pixels."""
    factor = 1
    while most and -(-width // factor) * -(-height // factor) > most:
        factor += 1
    return factor


def _bytes(file: Image.Image, stored: int) -> int:
    """Memory that decoding takes, after a draft; a progressive JPEG keeps all its coefficients besides."""
    width, height = file.size
    coefficients = 6 * stored if file.info.get("progressive") else 0
    return width * height * (1 if file.mode in ("1", "L", "P") else 4) + coefficients


def _shrunk(file: Image.Image, most: int | None) -> Image.Image:
    """The decoded image in RGB with at most ``most`` pixels; only a strip at a time exists in full size and colour."""
    width, height = file.size
    factor = _factor(width, height, most)
    if factor == 1:
        return _rgb(file)
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, STRIP // (width * factor)) * factor
    for top in range(0, height, rows):
        strip = _rgb(file.crop((0, top, width, min(top + rows, height))))
        small.paste(strip.reduce(factor), (0, top // factor))
    return small


def _rgb(image: Image.Image) -> Image.Image:
    """Eight-bit RGB. Sixteen-bit grey is scaled: Pillow's own conversion would clip it to white."""
    if image.mode == "F":
        raise ValueError("its pixels are floats, and nothing says which of them is white; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.float64) / 257).round().clip(0, 255)
        image = Image.fromarray(grey.astype(np.uint8))
    return image.convert("RGB")


def _reason(path: Path, error: Exception) -> str:
    """What was wrong, in words for a list of many files; a decoder's own words stand in brackets."""
    if isinstance(error, UnidentifiedImageError):
        with open(path, "rb") as file:
            start = file.read(12)
        if not start:
            return "the file is empty"
        if start.startswith(_SIGNATURES):
            return "cut off or damaged: it starts like an image, and the rest is missing or makes no sense"
        page = start.lstrip().startswith(b"<")
        return f"{'a web page, not an image' if page else 'not an image'}, it starts with {start!r}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, ValueError):  # pixels or notes of a kind that cannot be used; the words say which
        return str(error)
    return f"cut off or damaged ({str(error) or type(error).__name__})"


def batches_of_one_size(
    images: Sequence[Tensor], pixels: int = PIXELS_AT_ONCE, seen: Callable[[Tensor], tuple[int, int]] | None = None
) -> Iterator[list[int]]:
    """Group images so that a batch needs no padding and fits in memory.

    A pad would leak into the border of the smaller image, so only equal sizes share a batch.

    Args:
        images: each (3, H, W).
        pixels: the most pixels of one batch; an image larger than that stands alone.
        seen:   gives the (height, width) to which the network will enlarge an image, if it does.

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
        high, wide = seen(images[positions[0]]) if seen else (height, width)
        step = max(1, pixels // max(height * width, high * wide))
        yield from (positions[start : start + step] for start in range(0, len(positions), step))
