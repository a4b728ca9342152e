"""The widgets in JupyterLab, in Chromium, with a real kernel behind them. Screenshots go to runs/browser/."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "widgets")]
from chromium import SHOTS, chromium, needs_chromium  # noqa: E402
from lab import RUN_ALL, jupyter_lab, notebook  # noqa: E402

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
from updown_lab.widgets import Panel
torch.manual_seed(1)
corners = torch.rand(100, 2) * 80
boxes = torch.cat([corners, corners + 5 + torch.rand(100, 2) * 30], 1).clamp(max=90)
weights = torch.rand(20, 100).mul(6).softmax(1)
AttentionExplorer(image(), Panel([f"word{n}" for n in range(20)], weights, boxes, (120, 90)))
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
# Each hover: the time from the event until the browser has laid out and painted what follows from it.
TRACE = """async (root) => {
  const words = [...root.querySelectorAll(".ud-word")], times = [];
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  for (let round = 0; round < 3; round++) for (const word of words) {
    await frame();
    const start = performance.now();
    word.dispatchEvent(new PointerEvent("pointerenter"));
    root.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  return times.sort((one, other) => one - other);
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One server and one browser for all tests here: (open a notebook of these cells, faults)."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)  # a kernel that imports torch on two busy cores
    folder = tmp_path_factory.mktemp("lab")
    with jupyter_lab(folder) as (address, token), chromium() as browser:

        def open_notebook(name, *cells):
            notebook(folder / f"{name}.ipynb", *cells)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(60_000)
            page.faults = []
            page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: page.faults.append(str(error)))
            page.goto(f"{address}/lab/tree/{name}.ipynb?reset&token={token}")
            page.locator(".jp-Notebook").wait_for()
            page.evaluate(RUN_ALL)
            return page

        yield open_notebook


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
    first.locator(".ud-stage").click(modifiers=["Alt"])  # in the middle: the smallest box there goes
    expect(first.locator(".ud-word")).to_have_text(["sees", "3", "things"])
    expect(first.locator(".ud-ghosts i")).to_have_count(1)
    expect(second.locator(".ud-word")).to_have_text(["sees", "4", "things"])

    drag(page, first.locator(".ud-stage"))
    expect(first.locator(".ud-word")).to_have_text(["sees", "4", "things"])
    drag(page, second.locator(".ud-stage"))
    expect(page.locator(".ud-note").nth(1)).to_contain_text("cannot look at a box of your own")
    shoot(page, "compare")
    first.get_by_text("back").click()
    expect(first.locator(".ud-word")).to_have_text(["sees", "3", "things"])
    assert page.faults == []
    page.close()


def drag(page, stage):
    """Draw a box over the upper left."""
    stage.scroll_into_view_if_needed()
    frame = stage.bounding_box()
    page.mouse.move(frame["x"] + 20, frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + 60, frame["y"] + 50)
    page.mouse.move(frame["x"] + 120, frame["y"] + 90)
    page.mouse.up()


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
    page.close()


def test_a_hundred_regions_and_twenty_words_stay_smooth(lab):
    page = lab("many", EXPLORE, MANY)
    root = page.locator(".updown").nth(1)
    root.wait_for()

    times = root.evaluate(TRACE)

    (SHOTS / "hover-milliseconds.txt").write_text(" ".join(f"{value:.2f}" for value in times))
    assert len(times) == 60  # the time itself is kept beside the pictures: a frame of 60 a second has 16
    root.locator(".ud-word").nth(7).hover()
    shoot(page, "many")
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
