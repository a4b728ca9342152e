"""Ask the image: type a question, see the answers and where the model looked."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import torch
import traitlets

from updown_lab.errors import UpdownError
from updown_lab.metrics.vqa import answer_accuracy, normalise_answer
from updown_lab.widgets.base import Shown, script
from updown_lab.widgets.panels import Panel, picture_bytes
from updown_lab.widgets.sights import CannotDo, Sight, there

EARLIER = 6  # questions that stay in sight


class AskTheImage(Shown):
    """A question box above a picture: Enter asks, the five likeliest answers come as bars, the picture is lit where
    the model looked.

    Alt-click a region and it is taken away; drag a box and it becomes a new one; the same question is asked again, and
    the likeliest answer before that stays in sight.

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
        self._seen = [Sight(one.see(image)) for one in self._models.values()]
        self._now = list(self._seen)
        self._before = [""] * len(self._seen)
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
        if _same(question) != _same(self.question):
            self._before = [""] * len(self._seen)
        models = list(self._models.values())
        self.answered = [one.ask(now.regions, question) for one, now in zip(models, self._now)] if question else []
        unknown = sorted({word for answered in self.answered for word in answered.unknown_words})
        self.note = f"not in the model's vocabulary: {', '.join(unknown)}" if unknown else ""
        given = self._truths.get(_same(question), [])
        counts = {text: given.count(text) for text in dict.fromkeys(given)}
        self.truth = "people said: " + ", ".join(f"{text} ({n})" for text, n in counts.items()) if given else ""
        if question and question not in self.examples:
            self.examples = [question, *self.examples][:EARLIER]
        self.question = question
        self.panels = [self._view(number, given) for number in range(len(models))]

    def _panel(self, number: int) -> Panel:
        """What one model sees, and where it looked for the answer."""
        name, model = list(self._models.items())[number]
        regions = self._now[number].regions
        told = self.answered[number] if self.answered else None
        weights = torch.zeros(regions.count) if told is None else torch.as_tensor(told.weights)
        labels = getattr(model, "labels", lambda regions: None)(regions) if told is None else told.labels
        names = getattr(model, "names", lambda regions: ())(regions)
        shown = SimpleNamespace(
            words=[self.question], weights=weights[None], regions=regions, labels=labels, names=names
        )
        return Panel.of(shown, name if len(self._models) > 1 else "")

    def _view(self, number: int, given: list[str]) -> dict:
        panel, sight = self._panel(number), self._now[number]
        told = self.answered[number].answers if self.answered else []
        answers = [[text, min(1.0, max(0.0, float(share))), answer_accuracy(text, given) if given else None]
                   for text, share in told]  # fmt: skip
        changes = {"done": "; ".join(sight.done), "before": self._before[number], "redo": True}
        return panel.view(**sight.view(panel), **changes, answers=answers)

    def _hear(self, widget, message: dict, buffers) -> None:
        """A wish from the browser: {"kind": "ask" | "remove" | "add" | "back", …}."""
        self.busy, self.note = True, ""
        try:
            if message["kind"] == "ask":
                self.ask(message["question"])
            else:
                number = there(message["panel"], self._seen, "panel")
                answers = self.answered[number].answers if self.answered else []
                self._now[number] = sight = self._changed(number, message)
                self._before[number] = f"{answers[0][0]} {answers[0][1]:.0%}" if answers and sight.done else ""
                self.ask(self.question)
        except (UpdownError, ValueError, RuntimeError) as error:
            self.note = str(error)
        except (KeyError, TypeError) as error:
            self.note = f"the page sent a wish that makes no sense here, {message}: {error!r}"
        finally:
            self.busy = False

    def _changed(self, number: int, message: dict) -> Sight:
        """What a model sees after a wish of the browser's."""
        now, model = self._now[number], list(self._models.values())[number]
        labels = self._panel(number).labels
        if message["kind"] == "remove":
            return now.remove(message["region"], labels)
        if message["kind"] == "add":
            return now.add(model, self._image, torch.tensor(message["box"]), labels)
        if message["kind"] == "back":
            return self._seen[number]
        raise CannotDo(f"one can ask, remove, add and go back, but not {message['kind']!r}")


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
