"""The smaller widgets in JupyterLab and in Notebook 7, with a real kernel. Screenshots go to runs/browser/."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "widgets")]
from chromium import SHOTS, needs_chromium  # noqa: E402
from lab import RUN_ALL, lab_pages  # noqa: E402


def needs(package, extra):
    """Skip without an installed package."""
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}: pip install {extra}")


pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium, needs("jupyterlab", "-e .[lab]")]

SETUP = """
import subprocess, sys
from pathlib import Path
import ipywidgets, pandas as pd
import updown_lab as ul
from updown_lab import widgets
demo = ul.demo()
picture, speaker = demo.scene(11), demo.speaker()
"""
BROWSE = "widgets.RegionBrowser(picture, speaker)"
BEAM = "widgets.BeamTree(speaker, picture)"
MONITOR = r'''
Path("kites").mkdir(exist_ok=True)
code = """
import time, pathlib
try:
    for n in range(1, 2000):
        scores = "".join(f"{10 * k},{3 / k},{k if k > 3 and k % 2 else ''}\\n" for k in range(1, min(n, 40) + 1))
        draft = pathlib.Path("kites/draft")
        draft.write_text("step,loss,score\\n" + scores)
        draft.rename("kites/history.csv")
        time.sleep(0.2)
except KeyboardInterrupt:
    raise SystemExit(130)
"""
training = subprocess.Popen([sys.executable, "-c", code])
widgets.TrainingMonitor("kites", process=training, every=0.2)
'''
ERRORS = """
table = pd.DataFrame({"seed": range(8), "CIDEr": [0.25 * n for n in range(8)], "kind": ["a", "b"] * 4})
def explore(row):
    if row["seed"] == 3:
        raise ValueError("no picture 3 <img src=x>")
    if row["seed"] == 4:
        raise TypeError("a picture of another kind")
    return widgets.AttentionExplorer(demo.scene(int(row["seed"])), speaker)
widgets.ErrorBrowser(table, explore, sort="CIDEr")
"""
COUNT = """
kept = getattr(ipywidgets.widgets.widget, "_instances", None)
print("alive:", len(ipywidgets.Widget.widgets if kept is None else kept), "end")
"""
THEME = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One server and one browser for all tests here."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)  # a kernel that imports torch on two busy cores
    with lab_pages(tmp_path_factory.mktemp("lab")) as open_notebook:
        yield open_notebook


@pytest.fixture(scope="module")
def page(lab):
    """One notebook with all of them."""
    page = lab("tools", SETUP, BROWSE, BEAM, MONITOR, ERRORS, COUNT)
    yield page
    page.close()


def cell(page, number):
    """A cell of the notebook, in view."""
    found = page.locator(".jp-Cell").nth(number)
    found.scroll_into_view_if_needed()
    return found


def shoot(page, name, number):
    """Keep a picture of the notebook with the widget of a cell on top."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".jp-Cell").nth(number).locator(".updown").first.evaluate("root => root.scrollIntoView()")
    page.wait_for_timeout(400)
    page.screenshot(path=SHOTS / f"lab-{name}.png")


def test_sliders_start_from_what_the_detector_found(page):
    from playwright.sync_api import expect

    here = cell(page, 1)
    expect(here.locator(".ud-count")).to_contain_text("found →")
    found, sure, kept = (int(part.split()[0]) for part in here.locator(".ud-count").inner_text().split("→"))
    assert found > 10 * kept > 0 and sure > kept  # before selection there is something to select

    here.locator(".ud-list li:visible").first.hover()
    shoot(page, "browse", 1)
    here.get_by_label("score from").fill("0")
    expect(here.locator(".ud-count")).to_contain_text(f"{found} found → {found} sure enough")
    here.get_by_label("NMS above IoU").fill("1")
    expect(here.locator(".ud-count")).to_contain_text(f"→ {found} kept")
    assert page.faults == []


def test_the_beam_is_walked_by_keyboard(page):
    from playwright.sync_api import expect

    here = cell(page, 2)
    winner = here.locator(".ud-beam-sentence").inner_text()
    here.locator(".ud-node").first.focus()
    for _ in winner.split()[1:]:
        page.keyboard.press("ArrowRight")
    expect(here.locator(".ud-beam-sentence")).to_have_text(winner)
    expect(here.locator(".ud-node.ud-way")).to_have_count(len(winner.split()))
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(here.locator(".ud-beam-sentence")).not_to_have_text(winner.split()[0])
    shoot(page, "beam", 2)
    expect(page.locator(".jp-Cell")).to_have_count(6)  # keys went to the widget, not to the notebook
    assert page.faults == []


def test_training_is_watched_and_stopped(page):
    from playwright.sync_api import expect

    here = cell(page, 3)
    expect(here.locator(".ud-chart").nth(1).locator("circle")).not_to_have_count(0)
    here.get_by_text("stop").scroll_into_view_if_needed()
    shoot(page, "monitor", 3)
    here.get_by_text("stop").click()
    expect(here.locator(".ud-hint")).to_contain_text("stopped")
    expect(here.get_by_text("stop", exact=False).and_(here.locator("button"))).to_be_hidden()
    assert page.faults == []


def test_a_row_opens_its_picture_and_what_goes_wrong_is_told(page):
    from playwright.sync_api import expect

    here = cell(page, 4)
    rows, note = here.locator("tbody tr"), here.locator(".updown-errors .ud-note")
    rows.nth(1).click()
    expect(here.locator(".ud-word").first).to_be_visible()
    shoot(page, "errors", 4)
    rows.nth(3).click()
    expect(note).to_have_text("no picture 3 <img src=x>")
    expect(here.locator(".ud-word")).to_have_count(0)
    rows.nth(4).click()
    expect(note).to_have_text("TypeError: a picture of another kind")
    shoot(page, "errors-told", 4)
    rows.nth(0).press("Enter")
    expect(here.locator(".ud-word").first).to_be_visible()
    expect(note).to_be_hidden()
    assert page.faults == []


def test_all_of_them_follow_the_dark_theme(page):
    from playwright.sync_api import expect

    page.evaluate(THEME, "JupyterLab Dark")
    for number, name in ((1, "browse"), (2, "beam"), (3, "monitor"), (4, "errors")):
        expect(cell(page, number).locator(".updown").first).to_have_attribute("data-theme", "dark")
        shoot(page, f"dark-{name}", number)
    page.evaluate(THEME, "JupyterLab Light")
    expect(page.locator(".updown[data-theme=dark]")).to_have_count(0)
    assert page.faults == []


def test_running_all_cells_again_leaks_no_widget(page):
    from playwright.sync_api import expect

    said = page.locator(".jp-Cell").nth(5).locator(".jp-OutputArea-output")
    first, counted = said.inner_text(), page.locator(".jp-Cell").nth(5).locator(".jp-InputPrompt")
    assert "end" in first

    for number in (12, 18):  # six cells a round
        page.evaluate(RUN_ALL)
        expect(counted).to_contain_text(f"{number}")
        expect(said).to_have_text(first)  # the row that was open is closed too
        cell(page, 4).locator("tbody tr").first.click()
        expect(cell(page, 4).locator(".ud-word").first).to_be_visible()
    cell(page, 3).get_by_text("stop").click()
    assert page.faults == []


@needs("notebook", "notebook")
def test_they_live_in_notebook_7_too(lab):
    from playwright.sync_api import expect

    page = lab("classic", SETUP, BROWSE, BEAM, ERRORS, by="notebooks")
    page.faults.clear()  # of Notebook 7 itself while it starts; the kernel is ready, no cell has shown anything yet
    expect(cell(page, 1).locator(".ud-count")).to_contain_text("found →")
    expect(cell(page, 2).locator(".ud-node").first).to_be_visible()
    rows = cell(page, 3).locator("tbody tr")
    rows.first.click()
    cell(page, 3).locator(".ud-word").nth(1).hover()
    expect(cell(page, 3).locator(".ud-bar").first).to_be_visible()
    shoot(page, "notebook-7", 3)
    assert page.faults == []
    page.close()
