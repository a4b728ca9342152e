"""The attention explorer: point at a word, see where the model looked."""

from collections.abc import Mapping

import torch
import traitlets

from updown_lab.errors import UpdownError
from updown_lab.widgets.base import Shown, script
from updown_lab.widgets.panels import Panel, picture_bytes
from updown_lab.widgets.sights import CannotDo, there
from updown_lab.widgets.voices import Voice


class AttentionExplorer(Shown):
    """Words above a picture; hover a word and its regions light up.

    Click pins a word, the arrow keys walk, space plays, Esc lets go. Hover a region or a bar to see which words looked
    there. All of this happens in the browser. With a model behind it (a ``Speaker``), click an alternative and the
    sentence goes on from there; alt-click a region and it is taken away; drag a box and it becomes a new region.

    "Not seen" asks what the model did not see: it lights the places that lie in no region, and lists the regions
    that never got an equal share, 1 / K, from any word. Draw a box over such a place: the sentence before stays beside
    the new one, with the changed words marked, and the box is compared to what the detector had there. So a thing
    that the eyes missed can be told from one that was seen and not said.

    Args:
        image: (3, H, W) float tensor in [0, 1], array (H, W, 3) or PIL image.
        said:  a ``Panel``, a ``Told`` or a ``Speaker``; or several, as a list or as a dict of names: they stand
               side by side and share one word index.
        top:   how many regions have a bar and a frame.
        scale: "word": the brightest region of each word is full; "absolute": full is a weight of 1.

    Attributes:
        pinned: place of the pinned word, -1 if none; follows the browser, and may be set.

    Raises:
        ValueError: an image or panel of the wrong shape, no panel, an unknown scale.
        TypeError: something that cannot be shown.

    >>> panel = Panel(["a", "cat"], torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([[0., 0, 9, 9], [3, 3, 6, 9]]),
    ...               size=(9, 9), labels=["sky 0.8", "cat 0.9"])
    >>> explorer = AttentionExplorer(torch.rand(3, 9, 9), panel)
    >>> explorer.panels[0]["words"], explorer.pinned
    (['a', 'cat'], -1)
    """

    scripts = ("shared", "stage", "bars", "panel", "explorer")
    _esm = script(*scripts)

    image = traitlets.Bytes(b"").tag(sync=True)
    panels = traitlets.List().tag(sync=True)
    top = traitlets.Int(5).tag(sync=True)
    scale = traitlets.Enum(["word", "absolute"], "word").tag(sync=True)
    pinned = traitlets.Int(-1).tag(sync=True)

    def __init__(self, image, said, top: int = 5, scale: str = "word"):
        if scale not in ("word", "absolute"):
            raise ValueError(f'scale is "word" or "absolute", got {scale!r}')
        self._image = image
        self._voices = voices_of(said, image)
        super().__init__(image=picture_bytes(image), panels=self._views(), top=int(top), scale=scale)
        self.on_msg(self._hear)

    @property
    def said(self) -> list[Panel]:
        """The panels as they are now, after all changes."""
        return [voice.panel for voice in self._voices]

    def _views(self) -> list[dict]:
        return [voice.view() for voice in self._voices]

    def _hear(self, widget, message: dict, buffers) -> None:
        """A wish from the browser: {"kind": "say" | "remove" | "add" | "back", "panel": number, …}."""
        self.busy, self.note = True, ""
        try:
            number = there(message["panel"], self._voices, "panel")
            self._voices[number] = voice = self._changed(self._voices[number], message)
            place = int(message["place"]) if message["kind"] == "say" else self.pinned
            with self.hold_sync():
                self.panels, self.pinned = self._views(), min(place, len(voice.panel.words) - 1)
        except (UpdownError, ValueError, RuntimeError) as error:
            self.note = str(error)
        except (KeyError, TypeError) as error:
            self.note = f"the page sent a wish that makes no sense here, {message}: {error!r}"
        finally:
            self.busy = False

    def _changed(self, voice: Voice, message: dict) -> Voice:
        if message["kind"] == "say":
            return voice.say(int(message["place"]), str(message["word"]))
        if message["kind"] == "remove":
            return voice.remove(int(message["region"]))
        if message["kind"] == "add":
            return voice.add(self._image, torch.tensor(message["box"]))
        if message["kind"] == "back":
            return voice.back()
        raise CannotDo(f"the explorer can say, remove, add and go back, but not {message['kind']!r}")


def voices_of(said, image) -> list[Voice]:
    """Whatever may be shown, as a list of voices.

    Raises:
        ValueError: nothing to show.
        TypeError: something that cannot be shown.
    """
    if isinstance(said, Mapping):
        voices = [Voice.of(one, image, str(name)) for name, one in said.items()]
    else:
        voices = [Voice.of(one, image) for one in (said if isinstance(said, list | tuple) else [said])]
    if not voices:
        raise ValueError("the explorer needs something to show: a Panel, a Told or a Speaker")
    return voices


def compare_attention(image, models, top: int = 5, scale: str = "word") -> AttentionExplorer:
    """The same image through several models, side by side: the paper's figure in one call.

    One word index drives all: grid beside regions, cross-entropy beside SCST, two checkpoints.

    Args:
        image:  (3, H, W) float tensor in [0, 1].
        models: two or more Speakers, Tolds or Panels; a dict gives them names.
        top, scale: as for ``AttentionExplorer``.

    Raises:
        ValueError: fewer than two.

    >>> panel = Panel(["cat"], torch.ones(1, 1), torch.tensor([[0., 0, 9, 9]]), (9, 9))
    >>> both = compare_attention(torch.rand(3, 9, 9), {"xe": panel, "scst": panel})
    >>> [view["name"] for view in both.panels]
    ['xe', 'scst']
    """
    if not isinstance(models, Mapping | list | tuple) or len(models) < 2:
        raise ValueError("compare_attention needs two or more models: a list, or a dict of names")
    return AttentionExplorer(image, models, top, scale)
