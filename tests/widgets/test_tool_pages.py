"""The smaller widgets in a browser, without Jupyter."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from chromium import chromium, needs_chromium, open_page, shoot
from test_ask import FakeAnswerer
from toy_scenes import BOXES, EVIL, image

from updown_lab.regions import Regions
from updown_lab.widgets import AskTheImage, BeamTree, RegionBrowser, TrainingMonitor
from updown_lab.widgets import beam as beam_room
from updown_lab.widgets.errors import ScoreTable

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def show(browser, tmp_path):
    """Save a widget, open the page; any fault of the page is a fault of the test."""
    faults = []

    def show(widget, **options):
        page = open_page(browser, widget.save_html(tmp_path / "page.html").as_uri(), faults, **options)
        assert page.locator("img[src=x]").count() == 0
        return page

    yield show
    assert faults == []


def detections():
    """Two kites on one spot, a sea, a faint boat."""
    boxes = torch.stack([BOXES[0], BOXES[0] + 2, BOXES[1], BOXES[3]])
    return Regions(
        torch.zeros(4, 1), boxes, (120, 90), "toy", torch.tensor([0, 0, 1, 2]), torch.tensor([0.9, 0.8, 0.7, 0.1])
    )


def test_the_sliders_select_as_the_detector_does(show):
    page = show(RegionBrowser(image(), detections(), ["kite", EVIL, "boat"]))
    count, rows = page.locator(".ud-count"), page.locator(".ud-list li:visible")
    assert count.inner_text() == "4 found → 3 sure enough → 2 kept, 2 classes"
    assert rows.all_inner_texts() == ["kite 0.90", f"{EVIL} 0.70"]
    shoot(page, "browse")

    page.get_by_label("score from").fill("0.05")
    assert count.inner_text() == "4 found → 4 sure enough → 3 kept, 3 classes"
    page.get_by_label("NMS above IoU").fill("0.95")
    assert count.inner_text() == "4 found → 4 sure enough → 4 kept, 3 classes"
    page.get_by_label("NMS above IoU").fill("0")
    page.get_by_text("across classes").click()
    assert count.inner_text() == "4 found → 4 sure enough → 2 kept, 2 classes"  # the boat stands in the sea


def test_answers_are_bars_with_marks(show):
    asked = AskTheImage(FakeAnswerer(), image(), "how many?", truths={"how many?": ["4"] * 10, EVIL: ["no"]})
    page = show(asked, color_scheme="dark")

    assert page.locator(".ud-answers .ud-name").all_inner_texts() == ["4", "no"]
    assert page.locator(".ud-answers small").all_inner_texts() == ["✓ 1.00", "✗"]
    page.get_by_label("Question").fill("is it?")
    page.keyboard.press("Enter")
    assert "open the notebook" in page.locator(".ud-note").inner_text()
    shoot(page, "ask-dark")


def test_curves_have_a_point_for_each_score(show, tmp_path):
    folder = tmp_path / EVIL.replace("/", "")
    folder.mkdir()
    (folder / "history.csv").write_text("step,loss,score\n10,2.0,\n20,1.0,5\n30,0.5,9\n")
    monitor = TrainingMonitor(folder)
    monitor.close()

    page = show(monitor)

    charts = page.locator(".ud-chart")
    assert charts.locator("figcaption span").all_inner_texts() == ["loss", "score"]
    assert [chart.locator("circle").count() for chart in charts.all()] == [3, 2]
    heights = charts.first.locator("circle").evaluate_all("dots => dots.map((dot) => +dot.getAttribute('cy'))")
    assert heights == sorted(heights)  # a falling loss falls on the page too
    shoot(page, "monitor")


def test_the_tree_tells_the_way_to_each_word(show, monkeypatch):
    def node(number, parent, place, word, chance, fate="lived", best=False):
        return {"id": number, "parent": parent, "place": place, "word": word, "log_prob": -chance,
                "total": -chance * place, "fate": fate, "best": best}  # fmt: skip

    nodes = [node(0, -1, 0, "", 0, best=True), node(1, 0, 1, "a", 0.1, best=True), node(2, 0, 1, EVIL, 1.0),
             node(3, 1, 2, "kite", 0.2, best=True), node(4, 2, 2, "boat", 3.0, "dropped"),
             node(5, 3, 3, "■", 0.1, "ended", True)]  # fmt: skip
    monkeypatch.setattr(beam_room, "search_tree", lambda *parts: nodes)
    tree = BeamTree(
        SimpleNamespace(model=None, vocabulary=None, decode=SimpleNamespace(beam_size=2), see=lambda _: None), 0
    )

    page = show(tree)
    assert page.locator(".ud-beam-sentence").inner_text() == "a kite ■"
    page.locator(".ud-node", has_text="boat").hover()

    assert page.locator(".ud-beam-sentence").inner_text() == f"{EVIL} boat"
    assert "given up here" in page.locator(".ud-hint").inner_text()
    shoot(page, "beam")


def test_the_table_sorts_filters_and_marks(show):
    table = pd.DataFrame({"image_id": [1, 2, 3, 4], "CIDEr": [2.0, 0.5, None, 1.0], "kind": ["a", "b", "a", "a"],
                          "caption": ["red", EVIL, "blue", "green"]})  # fmt: skip
    page = show(ScoreTable(table, "CIDEr"))
    first = page.locator("tbody td:first-child")
    assert first.all_inner_texts() == ["2", "4", "1", "3"]  # the worst first, unknown last

    page.get_by_role("button", name="CIDEr").click()
    assert first.all_inner_texts() == ["1", "4", "2", "3"]
    page.get_by_label("kind").select_option("a")
    assert first.all_inner_texts() == ["1", "4", "3"]
    assert page.locator(".ud-count").inner_text() == "3 of 4, mean CIDEr 1.5"
    page.get_by_label("kind").select_option("")
    page.get_by_label("find").fill("onerror")
    assert first.all_inner_texts() == ["2"]
    page.locator("tbody tr").click()
    assert page.locator("tr[aria-selected=true]").count() == 1
    shoot(page, "errors")
