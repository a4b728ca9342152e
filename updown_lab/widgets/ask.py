"""Ask the image: type a question, see the answers and where the model looked."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import torch
import traitlets

from updown_lab.errors import UpdownError
from updown_lab.metrics.vqa import answer_accuracy, normalise_answer
from updown_lab.regions import Regions
from updown_lab.widgets.base import Shown, script
from updown_lab.widgets.panels import Panel, picture_bytes
from updown_lab.widgets.voices import CannotDo, joined, without

EARLIER = 6  # questions that stay in sight


class AskTheImage(Shown):
    """A question box above a picture: Enter asks, the five likeliest answers come as bars, the picture is lit where
    the model looked.

    Alt-click a region and it is taken away; drag a box and it becomes a new one; the same question is asked again.

    Args:
        model:    an ``Answerer`` (``see`` and ``ask``), or several: a list, or a dict of names.
        image:    (3, H, W) float tensor in [0, 1].
        question: to begin with.
        truths:   what people answered, {question: their (ten) answers}: such questions are marked as the VQA
                  evaluation marks them, and offered to be clicked.
        top:      how many regions have a bar and a frame.

    Attributes:
        question: what was asked last; follows the browser.
        answered: of each model, what it said last.

    Raises:
        ValueError: no model, or an image of the wrong shape.
        TypeError: a model that cannot be asked.
    """

    scripts = ("shared", "stage", "bars", "ask")
    _esm = script(*scripts)

    image = traitlets.Bytes(b"").tag(sync=True)
    panels = traitlets.List().tag(sync=True)
    question = traitlets.Unicode("").tag(sync=True)
    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    truth = traitlets.Unicode("").tag(sync=True)
    top = traitlets.Int(5).tag(sync=True)

    def __init__(
        self, model, image, question: str = "", truths: Mapping[str, Sequence[str]] | None = None, top: int = 5
    ):
        self._models = _named(model)
        self._image, self._truths = image, {_same(text): list(given) for text, given in (truths or {}).items()}
        self._seen = [one.see(image) for one in self._models.values()]
        self._now: list[Regions] = list(self._seen)
        self._gone: list[tuple] = [()] * len(self._seen)
        self.answered: list = []
        super().__init__(image=picture_bytes(image), examples=list(truths or ())[:EARLIER], top=int(top))
        self.ask(question)
        self.on_msg(self._hear)

    def ask(self, question: str) -> None:
        """Ask all models, as Enter does.

        Args:
            question: in words; an empty one shows only the picture.
        """
        question = " ".join(str(question).split())
        models = list(self._models.values())
        self.answered = [one.ask(now, question) for one, now in zip(models, self._now)] if question else []
        unknown = sorted({word for answered in self.answered for word in answered.unknown_words})
        self.note = f"not in the model's vocabulary: {', '.join(unknown)}" if unknown else ""
        given = self._truths.get(_same(question), [])
        counts = {text: given.count(text) for text in dict.fromkeys(given)}
        self.truth = "people said: " + ", ".join(f"{text} ({n})" for text, n in counts.items()) if given else ""
        if question and question not in self.examples:
            self.examples = [question, *self.examples][:EARLIER]
        self.question = question
        self.panels = [self._view(number, name, given) for number, name in enumerate(self._models)]

    def _view(self, number: int, name: str, given: list[str]) -> dict:
        regions = self._now[number]
        answered = self.answered[number] if self.answered else None
        if answered is None:
            labels = getattr(self._models[name], "labels", lambda regions: None)(regions)
            answered = SimpleNamespace(answers=[], weights=torch.zeros(regions.count), labels=labels)
        said = SimpleNamespace(words=[self.question], weights=torch.as_tensor(answered.weights)[None], regions=regions,
                               labels=answered.labels)  # fmt: skip
        answers = [[text, min(1.0, max(0.0, float(share))), answer_accuracy(text, given) if given else None]
                   for text, share in answered.answers]  # fmt: skip
        size = torch.tensor([*regions.image_size] * 2)
        gone = [(torch.tensor(box) / size).tolist() for box in self._gone[number]]
        drawn = regions.count + len(gone) > self._seen[number].count
        shown = name if len(self._models) > 1 else ""
        return Panel.of(said, shown).view(answers=answers, gone=gone, drawn=drawn, redo=True)

    def _hear(self, widget, message: dict, buffers) -> None:
        """A wish from the browser: {"kind": "ask" | "remove" | "add" | "back", …}."""
        self.busy, self.note = True, ""
        try:
            if message["kind"] == "ask":
                self.ask(message["question"])
            else:
                self._change(int(message["panel"]), message)
                self.ask(self.question)
        except (UpdownError, ValueError, RuntimeError) as error:
            self.note = str(error)
        finally:
            self.busy = False

    def _change(self, number: int, message: dict) -> None:
        now, model = self._now[number], list(self._models.values())[number]
        if message["kind"] == "back":
            self._now[number], self._gone[number] = self._seen[number], ()
        elif message["kind"] == "remove":
            if now.count < 2:
                raise CannotDo("this is the last region; a model that sees nothing has nothing to answer")
            self._gone[number] += (tuple(now.boxes[int(message["region"])].tolist()),)
            self._now[number] = without(now, int(message["region"]))
        else:
            if not hasattr(model, "see_boxes"):
                raise CannotDo("this model cannot look at a box of your own: its features are not pooled from boxes")
            box = torch.tensor(message["box"]) * torch.tensor([*now.image_size] * 2)
            self._now[number] = joined(now, model.see_boxes(self._image, box[None]))


def _named(model) -> dict[str, object]:
    """Models by name."""
    if isinstance(model, Mapping):
        models = {str(name): one for name, one in model.items()}
    else:
        several = model if isinstance(model, list | tuple) else [model]
        models = {getattr(one, "name", "") or f"model {number}": one for number, one in enumerate(several, 1)}
    if not models:
        raise ValueError("AskTheImage needs a model to ask")
    for name, one in models.items():
        if not (hasattr(one, "see") and hasattr(one, "ask")):
            raise TypeError(f"{name!r} cannot be asked: an Answerer has see(image) and ask(regions, question); "
                            f"got {type(one).__name__}")  # fmt: skip
    return models


def _same(question: str) -> str:
    """Questions that differ only in writing are one."""
    return normalise_answer(question, strict=False)
