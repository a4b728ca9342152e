"""One model's side of a conversation: what it said, what was changed since, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher

from torch import Tensor

from updown_lab.widgets.panels import Panel
from updown_lab.widgets.sights import CannotDo, Sight, there


@dataclass
class Voice:
    """A panel that may know its model.

    "What did it not see?" has an answer after every change: the sentence before it stays beside the new one, with
    the words marked that went and came. Take a region away, and the words that hung on it change. Draw a box: if the
    detector had nothing there and the sentence now names the thing, the eyes had missed it; if the sentence stays,
    or the detector had it already, it was seen and not said.

    Attributes:
        panel:   what is shown.
        speaker: ``describe(regions, start=()) -> Told``, perhaps ``see_boxes(image, boxes) -> Regions``; or None.
        sight:   what the model sees now.
        before:  earlier states, for the way back.
    """

    panel: Panel
    speaker: object = None
    sight: Sight = field(default_factory=Sight)
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
            return cls(Panel.of(said.describe(regions), name or said.name), said, Sight(regions))
        if hasattr(said, "words") and hasattr(said, "regions"):
            return cls(Panel.of(said, name))
        raise TypeError(f"the explorer shows a Panel, a Told or a Speaker, or a list or dict of them; "
                        f"got {type(said).__name__}")  # fmt: skip

    def say(self, place: int, word: str) -> "Voice":
        """The sentence up to a place, then another word, then whatever follows from that.

        Raises:
            CannotDo: the sentence has no such place.
        """
        self._need_speaker()
        place = there(place, self.panel.words, "word")
        return self._again(self.sight.say(f"with “{word}” said here"), [*self.panel.words[:place], word])

    def remove(self, region: int) -> "Voice":
        """What would it say had it never seen this region?

        Raises:
            CannotDo: there is no such region, or no other.
        """
        self._need_speaker()
        return self._again(self.sight.remove(region, self.panel.labels))

    def add(self, image, box: Tensor) -> "Voice":
        """Pool one more region on the spot, and let the model speak again.

        Args:
            image: (3, H, W).
            box:   (4,) shares of the image.

        Raises:
            CannotDo: the model's features are not pooled from boxes.
        """
        self._need_speaker()
        return self._again(self.sight.add(self.speaker, image, box, self.panel.labels))

    def back(self) -> "Voice":
        """As it was before the last change."""
        return self.before[-1] if self.before else self

    def view(self) -> dict:
        """What the browser shows."""
        old, new = self.before[-1].panel.words if self.before else [], self.panel.words
        went, came = changed_words(old, new) if old else ((), ())
        return self.panel.view(
            **self.sight.view(self.panel),
            redo=self.speaker is not None,
            done=self.sight.done[-1] if self.before else "",
            before=[[str(word), place in went] for place, word in enumerate(old)],
            came=sorted(came),
        )

    def _again(self, sight: Sight, start: Sequence[str] = ()) -> "Voice":
        told = self.speaker.describe(sight.regions, start=tuple(start))
        return Voice(Panel.of(told, self.panel.name), self.speaker, sight, [*self.before, self])

    def _need_speaker(self) -> None:
        if self.speaker is None:
            raise CannotDo("these are words without their model: make the explorer from a Speaker to change them")


def changed_words(old: Sequence[str], new: Sequence[str]) -> tuple[set[int], set[int]]:
    """Places of the words that went, and of those that came.

    >>> changed_words("a green kite".split(), "a big red kite".split())
    ({1}, {1, 2})
    """
    same = SequenceMatcher(None, list(old), list(new), autojunk=False).get_matching_blocks()
    kept = [(block.a + step, block.b + step) for block in same for step in range(block.size)]
    left, right = {place for place, _ in kept}, {place for _, place in kept}
    return set(range(len(old))) - left, set(range(len(new))) - right
