"""The kernel's side of asking."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_scenes import BOXES, LABELS, image, regions

from updown_lab.widgets import AskTheImage


class FakeAnswerer:
    """Counts the regions that it sees; has never read the word "gorilla"."""

    name = "fake"

    def see(self, image):
        return regions()

    def see_boxes(self, image, boxes):
        return regions(boxes)

    def ask(self, regions, question):
        weights = torch.full((regions.count,), 1 / regions.count)
        unknown = ["gorilla"] if "gorilla" in question else []
        return SimpleNamespace(answers=[(str(regions.count), 0.75), ("no", 0.25)], weights=weights, regions=regions,
                               unknown_words=unknown, labels=LABELS[: regions.count] or ["new"])  # fmt: skip


def tell(asked, kind, **rest):
    """What the browser sends."""
    asked._hear(asked, {"kind": kind, **rest}, [])
    return asked.panels[0]


def test_a_question_brings_answers_and_attention():
    asked = AskTheImage(FakeAnswerer(), image(), "How many  things?")

    assert asked.question == "How many things?"
    assert asked.panels[0]["answers"] == [["4", 0.75, None], ["no", 0.25, None]]
    assert np.frombuffer(asked.panels[0]["weights"], "<f2").tolist() == [0.25] * 4


def test_true_answers_are_marked_as_the_evaluation_does():
    truths = {"how many things ?": ["4"] * 2 + ["5"] * 8}
    asked = AskTheImage(FakeAnswerer(), image(), truths=truths)
    assert asked.panels[0]["answers"] == [] and asked.examples == ["how many things ?"]

    view = tell(asked, "ask", question="How many things?")

    assert view["answers"] == [["4", 0.75, pytest.approx(0.6)], ["no", 0.25, 0.0]]  # two of ten people: 0.6
    assert asked.truth == "people said: 4 (2), 5 (8)"
    assert tell(asked, "ask", question="and now?")["answers"][0][2] is None and asked.truth == ""


def test_words_that_the_model_never_read_are_named():
    asked = AskTheImage(FakeAnswerer(), image(), "is there a gorilla?")

    assert "gorilla" in asked.note


def test_regions_can_go_and_come():
    asked = AskTheImage(FakeAnswerer(), image(), "how many?")

    view = tell(asked, "remove", panel=0, region=0)
    assert view["answers"][0][0] == "3" and len(view["gone"]) == 1
    assert asked._now[0].regions.boxes.tolist() == BOXES[1:].tolist()
    assert view["done"] == f"without {LABELS[0]}" and view["before"] == "4 75%"
    view = tell(asked, "add", panel=0, box=[0.0, 0.0, 0.5, 0.5])
    assert view["answers"][0][0] == "4" and view["own"] == 1 and view["before"] == "3 75%"
    assert view["done"] == f"without {LABELS[0]}; with a box of your own; it had no region there (best IoU 0.25)"
    assert asked._now[0].regions.boxes[-1].tolist() == [0, 0, 60, 45]
    view = tell(asked, "back", panel=0)
    assert view["answers"][0][0] == "4" and view["gone"] == [] and view["own"] == 0
    assert view["done"] == "" and view["before"] == ""


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ({"kind": "remove", "panel": 0, "region": 99}, "no region number 99"),
        ({"kind": "remove", "panel": 3, "region": 0}, "no panel number 3"),
        ({"kind": "fly", "panel": 0}, "not 'fly'"),
        ({"kind": "ask"}, "makes no sense"),
    ],
)
def test_a_wish_that_cannot_be_is_a_note(message, note):
    asked = AskTheImage(FakeAnswerer(), image(), "how many?")

    asked._hear(asked, message, [])

    assert note in asked.note and not asked.busy
    assert asked.panels[0]["answers"][0][0] == "4"


def test_another_question_forgets_the_answer_before():
    asked = AskTheImage(FakeAnswerer(), image(), "how many?")
    tell(asked, "remove", panel=0, region=0)

    assert tell(asked, "ask", question="what now?")["before"] == "" and asked.panels[0]["done"]


def test_several_models_answer_side_by_side():
    asked = AskTheImage({"one": FakeAnswerer(), "two": FakeAnswerer()}, image(), "how many?")
    tell(asked, "remove", panel=1, region=0)

    assert [(view["name"], view["answers"][0][0]) for view in asked.panels] == [("one", "4"), ("two", "3")]


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(TypeError, match="ask"):
        AskTheImage("a model", image())
    with pytest.raises(ValueError, match="needs a model"):
        AskTheImage([], image())
