"""The smaller widgets in a browser, without Jupyter."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from chromium import chromium, needs_chromium, open_page, shoot
from test_ask import FakeAnswerer
from toy_scenes import BOXES, EVIL, FakeSpeaker, image, panel

from updown_lab.regions import Regions
from updown_lab.widgets import AskTheImage, AttentionExplorer, BeamTree, RegionBrowser, TrainingMonitor
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
    assert [row.split("\n")[0] for row in rows.all_inner_texts()] == ["kite 0.90", "kite 0.80", f"{EVIL} 0.70"]
    # two 40 x 40 boxes, 2 pixels apart both ways: 38 * 38 / (2 * 40 * 40 - 38 * 38)
    assert page.locator(".ud-lost").all_inner_texts() == ["kite 0.80\nIoU 0.82"]
    assert page.locator(".ud-lost").get_attribute("title") == "suppressed: too much like kite 0.90"
    shoot(page, "browse")

    page.get_by_label("score from").fill("0.05")
    assert count.inner_text() == "4 found → 4 sure enough → 3 kept, 3 classes"
    page.get_by_label("NMS above IoU").fill("0.95")
    assert count.inner_text() == "4 found → 4 sure enough → 4 kept, 3 classes"
    page.get_by_label("NMS above IoU").fill("0")
    page.get_by_text("across classes").click()
    assert count.inner_text() == "4 found → 4 sure enough → 2 kept, 2 classes"  # the boat stands in the sea


def test_regions_are_walked_by_keyboard_and_each_class_has_a_colour_of_its_own(show):
    page = show(RegionBrowser(image(), detections(), ["kite", "sea", "boat"], threshold=0.05), color_scheme="dark")
    rows = page.locator(".ud-list li:visible")
    assert page.locator(".ud-list [tabindex='0']").count() == 1
    colours = [row.evaluate("row => row.style.getPropertyValue('--colour')") for row in rows.all()]
    assert colours[0] == colours[1] and len(set(colours)) == 3  # two kites, a sea, a boat

    rows.first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".ud-list [aria-selected=true]").inner_text().startswith("kite 0.80")
    assert page.locator(".ud-frame:visible").count() == 4  # itself, and the three that are kept
    page.keyboard.press("End")
    assert page.locator(":focus").inner_text() == "boat 0.10"
    shoot(page, "browse-dark")

    frame = page.locator(".ud-stage").bounding_box()
    page.mouse.move(frame["x"] + 9, frame["y"] + 9)
    page.mouse.down()
    page.mouse.move(frame["x"] + 90, frame["y"] + 90, steps=3)
    assert not page.locator(".ud-rubber").is_visible()  # there is nothing to draw here
    page.mouse.up()


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


def test_before_the_first_score_there_is_a_chart_that_says_so(show, tmp_path):
    (tmp_path / "history.csv").write_text("step,loss,score\n10,2.0,\n20,1.0,\n")
    begun, waiting = TrainingMonitor(tmp_path), TrainingMonitor(tmp_path / "later")
    begun.close(), waiting.close()

    page = show(begun)  # numbers that are none would be faults in the console
    charts = page.locator(".ud-chart")
    assert charts.nth(1).inner_text() == "score\nno score yet"
    assert charts.nth(0).bounding_box()["height"] == charts.nth(1).bounding_box()["height"]  # nothing jumps later
    assert show(waiting).locator(".ud-chart").inner_text() == "no score yet"


def test_newest_scores_wear_the_colour_of_their_run_and_small_numbers_stay_in_their_chart(show, tmp_path):
    for name, rate in (("one", 1.25e-5), ("two", 0.1234567)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text(f"step,rate\n10,{rate}\n2000,{rate / 3}\n")
    monitor = TrainingMonitor([tmp_path / "one", tmp_path / "two"])
    monitor.close()

    page = show(monitor, color_scheme="dark")

    now, key = page.locator(".ud-chart figcaption b"), page.locator(".ud-key i")
    assert now.all_inner_texts() == ["4.17e-6", "0.0412"]
    colour = "mark => mark.style.background"
    assert [mark.evaluate(colour) for mark in now.locator("i").all()] == [mark.evaluate(colour) for mark in key.all()]
    left = page.locator(".ud-chart").bounding_box()["x"]
    assert all(text.bounding_box()["x"] >= left for text in page.locator(".ud-chart text").all())
    shoot(page, "monitor-dark")


@pytest.fixture
def tree(monkeypatch):
    """Two beams: "a kite ■" wins, another first word and a boat are given up."""

    def node(number, parent, place, word, chance, fate="lived", best=False):
        return {"id": number, "parent": parent, "place": place, "word": word, "log_prob": -chance,
                "total": -chance * place, "fate": fate, "best": best}  # fmt: skip

    nodes = [node(0, -1, 0, "", 0, best=True), node(1, 0, 1, "a", 0.1, best=True), node(2, 0, 1, EVIL, 1.0),
             node(3, 1, 2, "kite", 0.2, best=True), node(4, 2, 2, "boat", 3.0, "dropped"),
             node(5, 3, 3, "■", 0.1, "ended", True)]  # fmt: skip
    monkeypatch.setattr(beam_room, "search_tree", lambda *parts: nodes)
    return BeamTree(
        SimpleNamespace(model=None, vocabulary=None, decode=SimpleNamespace(beam_size=2), see=lambda _: None), 0
    )


def test_the_tree_tells_the_way_to_each_word(show, tree):
    page = show(tree)
    assert page.locator(".ud-beam-sentence").inner_text() == "a kite ■"
    page.locator(".ud-node", has_text="boat").hover()

    assert page.locator(".ud-beam-sentence").inner_text() == f"{EVIL} boat"
    assert "given up here" in page.locator(".ud-hint").inner_text()
    shoot(page, "beam")


def test_the_tree_is_one_tab_stop_and_arrows_walk_to_children_parents_and_siblings(show, tree):
    page = show(tree, color_scheme="dark")
    at, sentence = page.locator(":focus"), page.locator(".ud-beam-sentence")
    assert page.locator(".ud-tree [tabindex='0']").count() == 1
    assert page.get_by_role("treeitem").count() == 5 and page.locator(".ud-tree path").count() == 5  # none hangs free

    page.keyboard.press("Tab")
    assert at.get_attribute("aria-label") == "a, 90%, on the winner's way"
    for key, said in (("ArrowRight", "a kite"), ("ArrowDown", f"{EVIL} boat"), ("ArrowLeft", EVIL), ("ArrowUp", "a"),
                      ("End", "a kite ■"), ("ArrowRight", "a kite ■"), ("Home", "a"), ("ArrowLeft", "a")):  # fmt: skip
        page.keyboard.press(key)
        assert sentence.inner_text() == said, key
    page.locator(".ud-node", has_text="boat").hover()
    page.mouse.move(0, 0)
    assert sentence.inner_text() == "a"  # where the keyboard is
    page.keyboard.press("Tab")
    assert page.locator(".ud-tree :focus").count() == 0 and sentence.inner_text() == "a kite ■"
    shoot(page, "beam-dark")


def long_tree():
    """A winner of thirty words, and a short loser."""
    words = [*("a", "very") * 15, "■"]
    nodes = [{"id": n, "parent": n - 1, "place": n, "word": word, "log_prob": -0.1, "total": -0.1 * n, "fate": "lived",
              "best": True} for n, word in enumerate(["", *words])]  # fmt: skip
    loser = {"id": len(nodes), "parent": 0, "place": 1, "word": "no", "log_prob": -9.0, "total": -9.0}
    tree = BeamTree.__new__(BeamTree)
    super(BeamTree, tree).__init__(nodes=[*nodes, {**loser, "fate": "dropped", "best": False}], title="30 words")
    return tree


def monitored(folder):
    (folder / "history.csv").write_text("step,loss\n10,2.0\n20,1.0\n")
    monitor = TrainingMonitor(folder)
    monitor.close()
    return monitor


HOVERED = {
    "explorer": (lambda folder: AttentionExplorer(image(), panel()), ".ud-word, .ud-bar, .ud-stage, .ud-chip"),
    "comparison": (
        lambda folder: AttentionExplorer(image(), {"one": FakeSpeaker(), "two": FakeSpeaker(sees_boxes=False)}),
        ".ud-word, .ud-bar, .ud-stage",
    ),
    "question": (
        lambda folder: AskTheImage(FakeAnswerer(), image(), "how many?"),
        ".ud-bar, .ud-stage, .ud-answers li",
    ),
    "regions": (lambda folder: RegionBrowser(image(), detections()), ".ud-list li, .ud-stage"),
    "monitor": (monitored, ".ud-chart circle, .ud-chart"),
    "beam": (lambda folder: long_tree(), ".ud-node"),
    "errors": (lambda folder: ScoreTable(pd.DataFrame({"CIDEr": [0.5, 1.0]})), "tbody tr, th button"),
}


@pytest.mark.parametrize("width", [480, 900])
@pytest.mark.parametrize("name", HOVERED)
def test_nothing_under_the_mouse_changes_the_height_of_a_widget(show, tmp_path, name, width):
    make, things = HOVERED[name]
    page = show(make(tmp_path))
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(100)  # a resize is answered in the next frame
    height = page.locator(".updown").evaluate("root => root.getBoundingClientRect().height")

    hovered = [thing for thing in page.locator(things).all() if thing.is_visible()]
    for thing in hovered:
        thing.hover(force=True)
        assert page.locator(".updown").evaluate("root => root.getBoundingClientRect().height") == height
    assert len(hovered) >= 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_went_wrong_after_a_click_is_written_below_the_table(show):
    table = ScoreTable(pd.DataFrame({"CIDEr": [0.5, 1.0]}))
    table.note = f"no picture {EVIL}"

    page = show(table)

    assert page.get_by_role("status").all_inner_texts()[-1] == f"no picture {EVIL}"
    page.locator("tbody tr").first.click()
    assert "open the notebook" in page.locator(".ud-note").inner_text()  # here is no kernel


TEXT_ENDS = """node => {
  const range = document.createRange();
  range.selectNodeContents(node);
  return range.getBoundingClientRect().right;
}"""


def test_long_texts_and_narrow_pages_keep_the_table_inside(show):
    long = "what color is the x"
    table = pd.DataFrame(
        {"question_type": [long, "how many"] * 4, "score": [0.001234, 12.5] * 4, "caption": ["word " * 40] * 8}
    )
    page = show(ScoreTable(table))
    page.set_viewport_size({"width": 480, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth") <= 480
    assert page.locator("tbody tr td:nth-child(2)").all_inner_texts()[:2] == ["0.00", "12.50"]  # point under point
    head, cell = (page.locator(f"{tag}:nth-child(2)").first for tag in ("th", "td"))
    ends = [text.evaluate(TEXT_ENDS) for text in (head.locator("button"), cell)]
    assert abs(ends[0] - ends[1]) < 1.5  # the heading ends where its numbers end
    shoot(page, "errors-narrow")


def test_the_table_sorts_filters_and_marks(show):
    table = pd.DataFrame({"image_id": [1, 2, 3, 4], "CIDEr": [2.0, 0.5, None, 1.0], "kind": ["a", "b", "a", "a"],
                          "caption": ["red", EVIL, "blue", "green"]})  # fmt: skip
    page = show(ScoreTable(table, "CIDEr"))
    assert page.locator("tbody [tabindex='0']").count() == 1
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
    assert page.get_by_role("row", selected=True).count() == 1
    page.get_by_label("find").fill("")
    page.locator("tbody tr").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    assert page.locator("[aria-selected=true] td:first-child").inner_text() == "4"
    shoot(page, "errors")
