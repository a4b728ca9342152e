"""What all readers of feature files share: one entry an image, and a note for each that cannot be used."""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from updown_lab.errors import DataInvalid
from updown_lab.regions import Regions

#: What a damaged entry may raise while it is read.
_DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, OSError, EOFError, RuntimeError, MemoryError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip


class Problem(NamedTuple):
    """One entry that could not be used: where it is and why.

    >>> print(Problem(Path("val.tsv"), "line 3", 42, "features is not base64"))
    val.tsv, line 3, image 42: features is not base64
    """

    file: Path
    place: str
    image_id: int | str
    reason: str

    def __str__(self) -> str:
        image = "" if self.image_id == "" else f"image {self.image_id}"
        return ", ".join(part for part in (str(self.file), self.place, image) if part) + f": {self.reason}"


class Entry(NamedTuple):
    """One image of a feature file, not read yet.

    Attributes:
        file:     where it is.
        place:    where in the file, for instance "line 3"; may be empty.
        image_id: whole number or text.
        read:     gives its ``Regions``, or raises if the entry is damaged.
    """

    file: Path
    place: str
    image_id: int | str
    read: Callable[[], Regions]


def note(problems: list[Problem] | None, problem: Problem) -> None:
    """Put a problem on the list; without a list it is an error.

    Raises:
        DataInvalid: there is no list.
    """
    if problems is None:
        raise DataInvalid(f"{problem}; give a list of problems to skip such entries")
    problems.append(problem)


def sound(
    entries: Iterable[Entry], problems: list[Problem] | None = None, feature_dim: int | None = None
) -> Iterator[tuple[int | str, Regions]]:
    """Read entry after entry; give the good ones, note the others.

    Args:
        entries:     of one file or of several.
        problems:    collects what could not be used; without it the first bad entry raises.
        feature_dim: D that every image must have; by default the D of the first good one.

    Yields:
        image id and float32 ``Regions``.

    Raises:
        DataInvalid: an entry is damaged, not finite or there for a second time, and no list was given.

    >>> one = Regions(torch.ones(1, 2), torch.zeros(1, 4), (4, 4), "demo")
    >>> bad, entries = [], [Entry(Path("a.tsv"), f"line {line}", 9, lambda: one) for line in (1, 2)]
    >>> [image_id for image_id, _ in sound(entries, bad)], bad[0].reason
    ([9], 'the image comes a second time; the first one is kept')
    """
    seen = set()
    for entry in entries:
        try:
            regions = entry.read()
            _check(regions, feature_dim)
            if entry.image_id in seen:
                raise ValueError("the image comes a second time; the first one is kept")
        except _DAMAGE as error:
            reason = str(error) if isinstance(error, ValueError) else f"cannot be read ({_plain(error)})"
            note(problems, Problem(entry.file, entry.place, entry.image_id, reason))
            continue
        seen.add(entry.image_id)
        feature_dim = regions.features.shape[1]
        yield entry.image_id, regions


def read_id(text: str) -> int | str:
    """An image id as files spell it: a number if it looks like one, else the text.

    Text keeps zeros in front, so that nothing is lost on the way back.

    >>> [read_id(text) for text in ("42", "000042", "COCO_val2014_000000000042")]
    [42, '000042', 'COCO_val2014_000000000042']
    """
    if len(text) <= 20 and text.lstrip("-").isdecimal() and str(int(text)) == text and abs(int(text)) < 2**63:
        return int(text)
    return text


def coco_number(name: int | str) -> int:
    """The COCO image id inside the file stem that LXMERT's tables use.

    Raises:
        ValueError: the name does not end in a number.

    >>> coco_number("COCO_train2014_000000132417")
    132417
    """
    tail = str(name).rsplit("_", 1)[-1]
    if not tail.isdecimal():
        raise ValueError(f"a COCO file stem ends in its number, like COCO_train2014_000000132417; got {name!r}")
    return int(tail)


def size_around(boxes: Tensor) -> tuple[int, int]:
    """A size for an image whose own size is not known: the smallest whole one that holds the boxes.

    Args:
        boxes: (K, 4) float pixels.

    >>> size_around(torch.tensor([[0.0, 0.0, 99.5, 20.0], [5.0, 5.0, 30.0, 60.2]]))
    (100, 61)
    """
    if not len(boxes) or not all_finite(boxes):
        return 1, 1
    width, height = boxes[:, 2:].amax(0).ceil().clamp(min=1).tolist()
    return int(width), int(height)


def size_from_fractions(boxes: Tensor, fractions: Tensor) -> tuple[int, int]:
    """The size of an image whose boxes are known in pixels and in parts of the image.

    Args:
        boxes:     (K, 4) float pixels.
        fractions: (K, >= 4) the same divided by width, height, width, height.

    >>> size_from_fractions(torch.tensor([[0.0, 0, 50, 80]]), torch.tensor([[0.0, 0, 50 / 640, 80 / 480]]))
    (640, 480)
    """
    size, guess = [], size_around(boxes)
    if not all_finite(boxes):
        return guess
    for axis in (2, 3):
        largest = int(boxes[:, axis].argmax()) if len(boxes) else 0
        pixels, part = (float(rows[largest, axis]) if len(boxes) else 0.0 for rows in (boxes, fractions))
        size.append(round(pixels / part) if pixels > 0 and part > 0 else guess[axis - 2])
    return max(1, size[0]), max(1, size[1])


def whole_image(count: int) -> Tensor:
    """Boxes for regions without boxes: each is the whole of an image of 1 x 1."""
    return torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(count, 1)


def all_finite(numbers: Tensor) -> bool:
    """Whether no number is nan or infinite. The sum tells at once, if it does not overflow itself.

    >>> all_finite(torch.tensor([3e38, 3e38])), all_finite(torch.tensor([1.0, torch.nan]))
    (True, False)
    """
    return math.isfinite(float(numbers.sum())) or bool(torch.isfinite(numbers).all())


def _check(regions: Regions, feature_dim: int | None) -> None:
    dim = regions.features.shape[1]
    if not dim or (feature_dim is not None and dim != feature_dim):
        raise ValueError(f"the features have size {dim} instead of {feature_dim or 'at least 1'}")
    if not (all_finite(regions.features) and all_finite(regions.boxes)):
        raise ValueError("features or boxes hold numbers that are not finite")
    if min(regions.image_size) < 1:
        raise ValueError(f"the image size should be above 0, got {regions.image_size[0]} x {regions.image_size[1]}")


def _plain(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
