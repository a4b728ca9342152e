"""One model's side of a conversation: what it said, what was changed since, and the way back."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from updown_lab.errors import UpdownError
from updown_lab.regions import Regions
from updown_lab.widgets.panels import Panel


class CannotDo(UpdownError):
    """Something that this model, or plain data without a model, cannot do. The message says what could."""


@dataclass
class Voice:
    """A panel that may know its model.

    Attributes:
        panel:   what is shown.
        speaker: ``describe(regions, start=()) -> Told``, perhaps ``see_boxes(image, boxes) -> Regions``; or None.
        regions: what the model sees now.
        gone:    boxes of regions that were taken away, in pixels.
        before:  earlier states, for the way back.
    """

    panel: Panel
    speaker: object = None
    regions: Regions | None = None
    gone: tuple = ()
    before: list["Voice"] = field(default_factory=list)

    @classmethod
    def of(cls, said, image, name: str = "") -> "Voice":
        """From a ``Panel``, something told, or a model that looks at the image and speaks.

        Raises:
            TypeError: none of these.
        """
        if isinstance(said, Panel):
            return cls(replace(said, name=name or said.name))
        if hasattr(said, "describe"):
            regions = said.see(image)
            return cls(Panel.of(said.describe(regions), name or said.name), said, regions)
        if hasattr(said, "words") and hasattr(said, "regions"):
            return cls(Panel.of(said, name), regions=said.regions)
        raise TypeError(f"the explorer shows a Panel, a Told or a Speaker, or a list or dict of them; "
                        f"got {type(said).__name__}")  # fmt: skip

    def say(self, place: int, word: str) -> "Voice":
        """The sentence up to a place, then another word, then whatever follows from that."""
        return self._again(self.regions, [*self.panel.words[:place], word])

    def remove(self, region: int) -> "Voice":
        """What would it say had it never seen this region?"""
        if self.regions is not None and self.regions.count < 2:
            raise CannotDo("this is the last region; a model that sees nothing has nothing to say")
        gone = (*self.gone, tuple(self.panel.boxes[region].tolist()))
        return self._again(without(self.regions, region) if self.regions else None, gone=gone)

    def add(self, image, box: Tensor) -> "Voice":
        """Pool one more region on the spot, and let the model speak again.

        Args:
            image: (3, H, W).
            box:   (4,) pixels.
        """
        self._need_speaker()
        if not hasattr(self.speaker, "see_boxes"):
            raise CannotDo(f"{self.panel.name or 'this model'} cannot look at a box of your own: its features "
                           "are not pooled from boxes (a grid's are not)")  # fmt: skip
        return self._again(joined(self.regions, self.speaker.see_boxes(image, box[None])))

    def back(self) -> "Voice":
        """As it was before the last change."""
        return self.before[-1] if self.before else self

    def view(self) -> dict:
        """What the browser shows."""
        size = torch.tensor([*self.panel.size] * 2)
        gone = [(torch.tensor(box) / size).tolist() for box in self.gone]
        earlier = " ".join(self.before[-1].panel.words) if self.before else ""
        return self.panel.view(redo=self.speaker is not None, gone=gone, before=earlier)

    def _again(self, regions: Regions | None, start=(), gone: tuple | None = None) -> "Voice":
        self._need_speaker()
        told = self.speaker.describe(regions, start=tuple(start))
        panel = Panel.of(told, self.panel.name)
        return Voice(panel, self.speaker, regions, self.gone if gone is None else gone, [*self.before, self])

    def _need_speaker(self) -> None:
        if self.speaker is None:
            raise CannotDo("these are words without their model: make the explorer from a Speaker to change them")


PARTS = ("features", "boxes", "classes", "scores", "attributes", "attribute_scores")


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
