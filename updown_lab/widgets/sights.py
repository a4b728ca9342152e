"""What a model sees after people have meddled with it: regions taken away, boxes of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.ops import box_iou

from updown_lab.errors import UpdownError
from updown_lab.regions import Regions

SAME = 0.5  # IoU from which on two boxes show the same thing, as in detection scores
PARTS = ("features", "boxes", "classes", "scores", "attributes", "attribute_scores", "attribute_probabilities")


class CannotDo(UpdownError):
    """Something that this model, or plain data without a model, cannot do. The message says what could."""


@dataclass(frozen=True)
class Sight:
    """Regions, and what was changed about them.

    Attributes:
        regions: what the model sees now; None for words without their model.
        gone:    boxes of regions that were taken away, in pixels.
        own:     how many of the last regions are boxes that were drawn by hand.
        done:    what was done, in words.
    """

    regions: Regions | None = None
    gone: tuple[tuple[float, ...], ...] = ()
    own: int = 0
    done: tuple[str, ...] = ()

    def remove(self, number: int, labels: Sequence[str]) -> "Sight":
        """The same without one region.

        Args:
            number: of the region.
            labels: a name a region.

        Raises:
            CannotDo: there is no such region, or no other.
        """
        number, count = there(number, labels, "region"), len(labels)
        if count < 2:
            raise CannotDo("this is the last region; a model that sees nothing has nothing to say")
        box = tuple(self.regions.boxes[number].tolist())
        return Sight(without(self.regions, number), (*self.gone, box), self.own - int(number >= count - self.own),
                     (*self.done, f"without {marked(labels, self.own)[number]}"))  # fmt: skip

    def add(self, model, image, box: Tensor, labels: Sequence[str]) -> "Sight":
        """The same with one more region, whose features are pooled on the spot.

        Args:
            model:  ``see_boxes(image, boxes) -> Regions``.
            image:  (3, H, W).
            box:    (4,) shares of the image.
            labels: a name a region.

        Raises:
            CannotDo: the model's features are not pooled from boxes.
        """
        if not hasattr(model, "see_boxes"):
            raise CannotDo(f"{getattr(model, 'name', '') or 'this model'} cannot look at a box of your own: its "
                           "features are not pooled from boxes (a grid's are not)")  # fmt: skip
        more = model.see_boxes(image, (torch.as_tensor(box) * _sides(self.regions.image_size))[None])
        had = nearest(more.boxes, self.regions.boxes, marked(labels, self.own))
        done = f"with a box of your own; it had {had}"
        return Sight(joined(self.regions, more), self.gone, self.own + 1, (*self.done, done))

    def say(self, done: str) -> "Sight":
        """The same after something was done that changes no region."""
        return replace(self, done=(*self.done, done))

    def view(self, panel) -> dict:
        """What the browser shows of this: where regions are gone, which are one's own, and their names."""
        return {
            "gone": (torch.tensor(self.gone).reshape(-1, 4) / _sides(panel.size)).tolist(),
            "own": self.own,
            "labels": marked(panel.labels, self.own),
            "names": marked(panel.names, self.own),
        }


def _sides(size: tuple[int, int]) -> Tensor:
    return torch.tensor([*size] * 2, dtype=torch.float32)


def nearest(box: Tensor, boxes: Tensor, labels: Sequence[str]) -> str:
    """What had been seen at a place, in words.

    Args:
        box:    (1, 4) pixels.
        boxes:  (K, 4) pixels.
        labels: their names.

    >>> seen = torch.tensor([[0.0, 0, 4, 4], [6, 6, 9, 9]])
    >>> nearest(torch.tensor([[0.0, 0, 4, 3]]), seen, ["car", "kite"])
    'car there already (IoU 0.75)'
    >>> nearest(torch.tensor([[4.0, 0, 9, 9]]), seen, ["car", "kite"])
    'no region there (best IoU 0.20)'
    """
    overlap, number = box_iou(boxes, box.to(boxes))[:, 0].max(0)
    if overlap < SAME:
        return f"no region there (best IoU {overlap:.2f})"
    return f"{labels[number]} there already (IoU {overlap:.2f})"


def there(number, things: Sequence, kind: str) -> int:
    """The number of one of these things, for wishes that come from a page which may be older than the things.

    Raises:
        CannotDo: there is none with this number.

    >>> there(1, ["a", "cat"], "word")
    1
    """
    if not 0 <= int(number) < len(things):
        raise CannotDo(f"there is no {kind} number {int(number)} any more: they go from 0 to {len(things) - 1}; "
                       "point at it again")  # fmt: skip
    return int(number)


def marked(names: Sequence[str], own: int) -> list[str]:
    """Names of regions, of which the last few were drawn by hand.

    >>> marked(["car 0.93", "kite 0.10"], 1)
    ['car 0.93', 'kite 0.10 (yours)']
    """
    first = len(names) - own
    return [f"{name} (yours)" if number >= first else str(name) for number, name in enumerate(names)]


def without(regions: Regions, number: int) -> Regions:
    """The regions but one.

    >>> three = Regions(torch.eye(3), torch.zeros(3, 4), (9, 9), "demo")
    >>> without(three, 1).features.tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    keep = torch.arange(regions.count) != number
    parts = {name: getattr(regions, name) for name in PARTS}
    return replace(regions, **{name: None if part is None else part[keep] for name, part in parts.items()})


def joined(regions: Regions, more: Regions) -> Regions:
    """The regions and some more of the same image; what only one side knows is forgotten.

    >>> one, two = (Regions(torch.ones(n, 3), torch.zeros(n, 4), (9, 9), "demo") for n in (1, 2))
    >>> joined(one, two).count
    3
    """
    both = {}
    for name in PARTS:
        mine, theirs = getattr(regions, name), getattr(more, name)
        both[name] = None if mine is None or theirs is None else torch.cat([mine, theirs.to(mine)])
    return replace(regions, **both)
