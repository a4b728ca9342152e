"""The widgets in JupyterLab, in Chromium, with a real kernel behind them. Screenshots go to runs/browser/."""

import importlib.util
import statistics
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "widgets")]
from chromium import FRAME, SHOTS, hover_times, needs_chromium  # noqa: E402
from lab import RUN_ALL, lab_pages  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    needs_chromium,
    pytest.mark.skipif(
        importlib.util.find_spec("jupyterlab") is None, reason="needs JupyterLab: pip install -e .[lab]"
    ),
]

EXPLORE = """
import torch, ipywidgets
from toy_scenes import FakeSpeaker, image, panel
from updown_lab.widgets import AttentionExplorer
explorer = AttentionExplorer(image(), panel())
told = ipywidgets.Label("pinned: -1")
explorer.observe(lambda change: setattr(told, "value", f"pinned: {change['new']}"), "pinned")
ipywidgets.VBox([explorer, told])
"""
COMPARE = """
from updown_lab.widgets import compare_attention
compare_attention(image(), {"regions": FakeSpeaker(), "grid 7x7": FakeSpeaker(sees_boxes=False)})
"""
ASK = """
from test_ask import FakeAnswerer
from updown_lab.widgets import AskTheImage
AskTheImage(FakeAnswerer(), image(), truths={"how many things ?": ["4"] * 10})
"""
MANY = """
from toy_scenes import many
AttentionExplorer(image(), many())
"""
DEMO = """
import updown_lab as ul
ul.demo().explore(ul.demo().scene(seed=11))
"""
AGAIN = """
from toy_scenes import image, panel
from updown_lab.widgets import AttentionExplorer
AttentionExplorer(image(), panel())
"""
COUNT = """
import ipywidgets
alive = getattr(ipywidgets.widgets.widget, "_instances", None)
print("alive:", len(ipywidgets.Widget.widgets if alive is None else alive), "end")
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One server and one browser for all tests here: opens a notebook of these cells and runs them."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)  # a kernel that imports torch on two busy cores
    with lab_pages(tmp_path_factory.mktemp("lab")) as open_notebook:
        opened = []

        def open_and_remember(*named):
            opened.append(open_notebook(*named))
            return opened[-1]

        yield open_and_remember
        assert [page.faults for page in opened if page.faults] == []


def shoot(page, name):
    """Keep a picture of the notebook."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(400)
    page.screenshot(path=SHOTS / f"lab-{name}.png")


def test_the_explorer_lives_in_a_notebook(lab):
    from playwright.sync_api import expect

    page = lab("explore", EXPLORE)
    words, told = page.locator(".ud-word"), page.locator(".jp-OutputArea-output .widget-label")
    expect(words).to_have_count(6)

    words.nth(1).hover()
    expect(page.locator(".ud-bar").first).to_contain_text("red kite 0.97")
    expect(told).to_have_text("pinned: -1")  # hovering is not the kernel's business
    words.nth(2).click()
    expect(told).to_have_text("pinned: 2")  # pinning is
    words.nth(2).press("ArrowRight")
    expect(told).to_have_text("pinned: 3")
    page.keyboard.press(" ")
    expect(told).to_have_text("pinned: 4")
    page.keyboard.press("Escape")
    expect(told).to_have_text("pinned: -1")
    expect(page.locator(".jp-Cell")).to_have_count(1)  # keys went to the widget, not to the notebook
    page.evaluate("() => { jupyterapp.shell.currentWidget.context.model.dirty = true; }")
    words.nth(1).press("Control+s")  # but this one to the notebook, which saves
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    words.nth(1).hover()
    shoot(page, "explorer")
    assert page.faults == []
    page.close()


def test_models_speak_again_in_a_notebook(lab):
    from playwright.sync_api import expect

    page = lab("compare", EXPLORE, COMPARE)
    panels = page.locator(".jp-Cell").nth(1).locator(".ud-panel")
    expect(panels).to_have_count(2)
    first, second = panels.nth(0), panels.nth(1)

    first.locator(".ud-word").nth(1).click()
    expect(second.locator(".ud-word.ud-on")).to_have_text("4")
    first.locator(".ud-chip", has_text="maybe").click()
    expect(first.locator(".ud-word")).to_have_text(["sees", "maybe", "sees", "4", "things"])
    expect(first.locator(".ud-word.ud-pin")).to_have_text("maybe")  # the pin stays at what was changed
    expect(first.locator(".ud-done")).to_have_text("with “maybe” said here")
    first.locator(".ud-stage").click(modifiers=["Alt"])  # in the middle: the smallest box there goes
    expect(first.locator(".ud-word")).to_have_text(["sees", "3", "things"])
    expect(first.locator(".ud-ghosts i")).to_have_count(1)
    expect(second.locator(".ud-word")).to_have_text(["sees", "4", "things"])

    drag(page, first.locator(".ud-stage"), escape=True)
    expect(first.locator(".ud-rubber")).to_be_hidden()
    drag(page, first.locator(".ud-stage"))
    expect(first.locator(".ud-word")).to_have_text(["sees", "4", "things"])
    drag(page, second.locator(".ud-stage"))
    expect(page.locator(".ud-note").nth(1)).to_contain_text("cannot look at a box of your own")
    shoot(page, "compare")
    first.get_by_text("back").click()
    expect(first.locator(".ud-word")).to_have_text(["sees", "3", "things"])
    assert page.faults == []
    page.close()


def drag(page, stage, escape=False):
    """Draw a box over the upper left; or begin to, and think better of it."""
    stage.scroll_into_view_if_needed()
    frame = stage.bounding_box()
    page.mouse.move(frame["x"] + 20, frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + 60, frame["y"] + 50)
    page.mouse.move(frame["x"] + 120, frame["y"] + 90)
    if escape:
        page.keyboard.press("Escape")
    page.mouse.up()


def test_the_demo_is_explored_for_real(lab):
    from playwright.sync_api import expect

    page = lab("demo", DEMO)
    words = page.locator(".ud-word")
    words.nth(1).hover()
    expect(page.locator(".ud-bar").first).to_contain_text("kite 0.")
    before = words.all_inner_texts()
    other = page.locator(".ud-chip:visible:not(.ud-said)").first
    chosen = other.locator("span").inner_text()

    other.click()

    expect(words.nth(1)).to_have_text(chosen)
    expect(page.locator(".ud-was")).to_have_text("before: " + " ".join(before) + " ")
    page.get_by_role("button", name="what did it not see?").click()
    expect(page.locator(".ud-stats").first).to_contain_text("lies in no region")
    shoot(page, "demo")
    assert page.faults == []
    page.close()


def test_a_question_is_asked_and_marked_in_a_notebook(lab):
    from playwright.sync_api import expect

    page = lab("ask", EXPLORE, ASK)
    field = page.get_by_label("Question")
    field.fill("how many things are there?")
    field.press("Enter")
    expect(page.locator(".ud-answers .ud-name").first).to_have_text("4")
    expect(page.locator(".ud-answers small")).to_have_count(0)
    page.locator(".ud-earlier .ud-chip", has_text="how many things ?").click()
    expect(page.locator(".ud-answers small").first).to_have_text("✓ 1.00")
    field.fill("is that a gorilla?")
    field.press("Enter")
    expect(page.locator(".ud-note").last).to_contain_text("gorilla")
    shoot(page, "ask")
    assert page.faults == []
    page.close()


def test_the_notebooks_dark_theme_is_followed(lab):
    from playwright.sync_api import expect

    page = lab("dark", EXPLORE)
    root = page.locator(".updown")
    expect(root).to_have_attribute("data-theme", "light")
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    expect(root).to_have_attribute("data-theme", "dark")
    page.locator(".ud-word").nth(4).hover()
    shoot(page, "dark")
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })")
    expect(root).to_have_attribute("data-theme", "light")
    assert page.faults == []
    page.close()


def test_a_hundred_regions_and_twenty_words_stay_smooth(lab):
    page = lab("many", EXPLORE, MANY)
    root = page.locator(".updown").nth(1)
    root.scroll_into_view_if_needed()
    times = sorted(hover_times(page, root.locator(".ud-word")))

    (SHOTS / "hover-milliseconds.txt").write_text(" ".join(f"{value:.2f}" for value in times))
    assert len(times) == 60 and statistics.median(times) < FRAME
    root.locator(".ud-word").nth(7).hover()
    shoot(page, "many")
    assert page.faults == []
    page.close()


def test_running_a_cell_again_leaks_no_widget(lab):
    from playwright.sync_api import expect

    page = lab("again", AGAIN, COUNT)
    said = page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea-output")
    expect(said).to_contain_text("end")
    first = said.inner_text()

    for number in (4, 6):
        page.evaluate(RUN_ALL)
        expect(page.locator(".jp-Cell").nth(1).locator(".jp-InputPrompt")).to_contain_text(f"{number}")
        expect(said).to_have_text(first)

    expect(page.locator(".updown")).to_have_count(1)
    assert page.faults == []
    page.close()
