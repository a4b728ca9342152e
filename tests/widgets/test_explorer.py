"""The kernel's side of the explorer: what goes to the browser, and what its wishes change."""

import html
import json
import math

import ipywidgets
import numpy as np
import pandas as pd
import pytest
import torch
from toy_scenes import BOXES, EVIL, WORDS, FakeSpeaker, image, panel, regions, weights

from updown_lab.regions import Regions
from updown_lab.widgets import AttentionExplorer, ErrorBrowser, Panel, compare_attention
from updown_lab.widgets import base as shown
from updown_lab.widgets.panels import picture_bytes


def wish(explorer, kind, number=0, **rest):
    """What the browser sends."""
    explorer._hear(explorer, {"kind": kind, "panel": number, **rest}, [])
    return explorer.panels[number]["words"]


def test_weights_travel_as_float16_and_boxes_as_shares_of_the_image():
    view = panel().view()

    sent = np.frombuffer(view["weights"], "<f2").reshape(6, 4)
    np.testing.assert_allclose(sent, weights(6, 4, [2, 0, 0, 2, 1, 1]), rtol=1e-3)
    assert np.frombuffer(view["boxes"], "<f4")[:4].tolist() == pytest.approx([20 / 120, 10 / 90, 60 / 120, 50 / 90])
    assert view["aspect"] == 120 / 90


def test_a_hundred_regions_and_twenty_words_are_a_few_kilobytes():
    big = Panel(["word"] * 20, torch.rand(20, 100), torch.rand(100, 4), (9, 9))

    assert len(big.view()["weights"]) == 20 * 100 * 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": torch.zeros(5, 4)}, "6 words need weights"),
        ({"weights": torch.full((6, 4), math.nan)}, "nan"),
        ({"weights": -torch.ones(6, 4)}, "negative"),
        ({"labels": ["one"]}, "4 regions need as many labels"),
        ({"names": ["one"]}, "4 regions need as many names"),
        ({"log_probs": [0.0]}, "log_probs should hold one entry for each of 6 words"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, words):
    whole = {"words": WORDS, "weights": torch.ones(6, 4), "boxes": BOXES, "size": (120, 90)}

    with pytest.raises(ValueError, match=words):
        Panel(**{**whole, **changes})


def test_impossible_words_do_not_break_the_message():
    view = Panel(["a"], torch.ones(1, 1), BOXES[:1], (9, 9), log_probs=[-math.inf], entropies=[math.nan],
                 alternatives=[[("b", -math.inf)]]).view()  # fmt: skip

    del view["weights"], view["boxes"]
    assert json.loads(json.dumps(view, allow_nan=False))["alternatives"] == [[["b", -99.0]]]


def test_anything_told_can_be_shown():
    told = FakeSpeaker().describe(regions())

    explorer = AttentionExplorer(image(), told)

    assert explorer.panels[0]["words"] == ["sees", "4", "things"]
    assert wish(explorer, "remove", region=0) == ["sees", "4", "things"] and "Speaker" in explorer.note


@pytest.mark.parametrize(
    ("said", "error"), [([], ValueError), ("a cat", TypeError), ({"model": 3}, TypeError), (None, TypeError)]
)
def test_what_cannot_be_shown_is_refused(said, error):
    with pytest.raises(error):
        AttentionExplorer(image(), said)


def test_grid_cells_are_named_by_row_and_column():
    cells = torch.tensor([[0.0, 0, 5, 5], [5, 0, 10, 5], [0, 5, 5, 10], [5, 5, 10, 10]])
    told = FakeSpeaker().describe(Regions(torch.eye(4), cells, (10, 10), "grid-detector-2"))
    told.labels = None

    view = Panel.of(told).view()

    assert view["labels"] == ["cell 1,1", "cell 1,2", "cell 2,1", "cell 2,2"]
    assert view["grid"] and not panel().view()["grid"]


def test_an_alternative_goes_on_from_the_words_before_it():
    speaker = FakeSpeaker()
    explorer = AttentionExplorer(image(), speaker)

    assert wish(explorer, "say", place=1, word="maybe") == ["sees", "maybe", "sees", "4", "things"]
    assert speaker.heard[-1] == (4, ["sees", "maybe"])
    view = explorer.panels[0]
    assert view["done"] == "with “maybe” said here" and explorer.pinned == 1 and not explorer.busy
    assert view["before"] == [["sees", False], ["4", False], ["things", False]] and view["came"] == [
        0,
        1,
    ]  # before the old
    assert wish(explorer, "back") == ["sees", "4", "things"]
    assert wish(explorer, "back") == ["sees", "4", "things"]  # there is nothing before the beginning


def test_a_region_taken_away_is_not_seen_again():
    explorer = AttentionExplorer(image(), FakeSpeaker())

    assert wish(explorer, "remove", region=1) == ["sees", "3", "things"]
    assert wish(explorer, "say", place=0, word="x") == ["x", "sees", "3", "things"]
    assert explorer.panels[0]["gone"] == [pytest.approx([0, 50 / 90, 1, 1])]  # the sea
    assert explorer._voices[0].sight.regions.features.argmax(1).tolist() == [0, 2, 3]


def test_after_a_change_the_pin_stays_and_the_words_that_changed_are_marked():
    explorer = AttentionExplorer(image(), FakeSpeaker())
    explorer.pinned = 1
    wish(explorer, "remove", region=1)

    view = explorer.panels[0]
    assert explorer.pinned == 1
    assert view["done"] == "without thing 1"
    assert view["before"] == [["sees", False], ["4", True], ["things", False]] and view["came"] == [1]  # 4 became 3
    explorer.pinned = 4
    wish(explorer, "back")
    assert explorer.pinned == 2 and explorer.panels[0]["before"] == []  # the last word there is


def test_a_box_of_ones_own_is_marked_and_compared_to_what_the_model_had():
    explorer = AttentionExplorer(image(), FakeSpeaker())
    wish(explorer, "add", box=[20 / 120, 10 / 90, 60 / 120, 40 / 90])  # 30 of the kite's 40 pixels of height: IoU 0.75
    assert explorer.panels[0]["done"] == "with a box of your own; it had thing 0 there already (IoU 0.75)"
    wish(explorer, "add", box=[100 / 120, 20 / 90, 1, 50 / 90])  # beside region 3, within the sky: 600 of 10800
    assert explorer.panels[0]["done"] == "with a box of your own; it had no region there (best IoU 0.06)"

    view = explorer.panels[0]
    assert view["own"] == 2
    assert view["labels"] == ["thing 0", "thing 1", "thing 2", "thing 3", "thing 4 (yours)", "thing 5 (yours)"]
    wish(explorer, "remove", region=4)
    assert explorer.panels[0]["own"] == 1 and explorer.panels[0]["done"] == "without thing 4 (yours)"
    wish(explorer, "remove", region=0)
    assert explorer.panels[0]["own"] == 1


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ({"kind": "remove", "panel": 0, "region": 99}, "no region number 99 any more"),
        ({"kind": "remove", "panel": 0, "region": -1}, "no region number -1"),
        ({"kind": "say", "panel": 0, "place": 7, "word": "x"}, "no word number 7"),
        ({"kind": "back", "panel": 1}, "no panel number 1"),
        ({"kind": "fly", "panel": 0}, "not 'fly'"),
        ({"kind": "remove", "panel": 0}, "makes no sense"),
        ({"kind": "add", "panel": 0, "box": [0, 0, 1]}, "size of tensor"),
    ],
)
def test_a_wish_that_cannot_be_is_a_note(message, note):
    explorer = AttentionExplorer(image(), FakeSpeaker())

    explorer._hear(explorer, message, [])

    assert note in explorer.note and not explorer.busy
    assert explorer.panels[0]["words"] == ["sees", "4", "things"]


def test_the_last_region_stays():
    speaker = FakeSpeaker()
    speaker.see = lambda image: regions(BOXES[:1])
    explorer = AttentionExplorer(image(), speaker)

    assert wish(explorer, "remove", region=0) == ["sees", "1", "things"] and "last region" in explorer.note


def test_a_drawn_box_is_pooled_in_pixels_of_the_image():
    asked = []
    speaker = FakeSpeaker()
    speaker.see_boxes = lambda image, boxes: asked.append((image.shape, boxes)) or regions(boxes)
    explorer = AttentionExplorer(image(), speaker)

    assert wish(explorer, "add", box=[0.25, 0.0, 0.5, 1.0]) == ["sees", "5", "things"]
    assert asked[0][0] == (3, 90, 120) and asked[0][1].tolist() == [[30.0, 0.0, 60.0, 90.0]]


def test_a_model_that_cannot_look_at_boxes_says_so():
    explorer = AttentionExplorer(image(), FakeSpeaker("grid 7x7", sees_boxes=False))

    assert wish(explorer, "add", box=[0, 0, 1, 1]) == ["sees", "4", "things"]
    assert "grid 7x7 cannot look at a box" in explorer.note


def test_a_change_in_one_panel_leaves_the_others():
    explorer = compare_attention(image(), [FakeSpeaker("one"), FakeSpeaker("two")])
    wish(explorer, "remove", number=1, region=0)

    assert [" ".join(one.words) for one in explorer.said] == ["sees 4 things", "sees 3 things"]
    with pytest.raises(ValueError, match="two or more"):
        compare_attention(image(), [FakeSpeaker()])


@pytest.mark.parametrize("kind", ["tensor", "floats", "bytes"])
def test_images_of_any_kind_become_the_same_picture(kind):
    floats = image().movedim(0, -1).numpy()
    given = {"tensor": image(), "floats": floats, "bytes": (floats * 255).round().astype(np.uint8)}[kind]

    assert picture_bytes(given) == picture_bytes(image())


def test_a_large_photo_is_sent_small():
    assert len(picture_bytes(np.zeros((3000, 4000, 3), np.uint8))) < 100_000
    with pytest.raises(ValueError, match="shape"):
        picture_bytes(np.zeros((4, 4)))


def test_a_saved_page_holds_no_markup_of_captions(tmp_path):
    path = AttentionExplorer(image(), panel(EVIL, [EVIL, *WORDS[1:]])).save_html(tmp_path / "page.html", title=EVIL)

    text = path.read_text()
    assert EVIL not in text and "<script>document.title" not in text
    assert text.count("</script>") == 2  # the state's and the code's own
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text


class Shell:
    """As much of IPython as the widgets ask."""

    cell, execution = "cell", 0

    def get_parent(self):
        return {"metadata": {"cellId": self.cell}, "header": {"msg_id": f"message {self.execution}"}}


@pytest.mark.parametrize(
    "widget",
    [
        lambda: AttentionExplorer(image(), panel(EVIL, [EVIL, *WORDS[1:]])),
        lambda: ErrorBrowser(pd.DataFrame({"caption": [EVIL]}), lambda row: None),
    ],
)
def test_an_output_holds_its_saved_page_if_asked(widget, monkeypatch):
    if not hasattr(ipywidgets.VBox, "_repr_mimebundle_") and isinstance(widget(), ipywidgets.VBox):
        pytest.skip("ipywidgets 7 displays its boxes past any MIME bundle; ipywidgets 8 does not")

    def shown():
        bundle = widget()._repr_mimebundle_()
        return bundle[0] if isinstance(bundle, tuple) else bundle

    monkeypatch.delenv("UPDOWN_SAVED_WIDGETS", raising=False)
    assert "text/html" not in shown()  # a notebook stays small
    monkeypatch.setenv("UPDOWN_SAVED_WIDGETS", "1")
    output = shown()["text/html"]

    assert "application/vnd.jupyter.widget-view+json" in shown()
    assert output.count("<") == 2 and "const widget =" in html.unescape(output)  # one frame, all within it is text


def test_running_a_cell_again_closes_what_it_made_before(monkeypatch):
    import IPython

    shell = Shell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(shown, "_MADE", {})
    closed = []
    monkeypatch.setattr(AttentionExplorer, "close", lambda widget: closed.append(widget))

    shell.execution = 1
    first, second = AttentionExplorer(image(), panel()), AttentionExplorer(image(), panel())
    assert closed == []  # two in one execution are wanted
    shell.cell, shell.execution = "other cell", 2
    AttentionExplorer(image(), panel())
    assert closed == []
    shell.cell, shell.execution = "cell", 3
    third = AttentionExplorer(image(), panel())

    assert closed == [first, second] and third not in closed
