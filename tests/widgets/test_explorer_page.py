"""The explorer in a browser, without Jupyter: the saved page, opened as a file."""

import pytest
from chromium import chromium, needs_chromium, open_page, shoot
from toy_scenes import EVIL, LABELS, WORDS, image, panel

from updown_lab.widgets import AttentionExplorer, compare_attention

pytestmark = needs_chromium
#: Place and height of everything but what is drawn on the picture, within bars and within chips.
MEASURED = """() => [...document.querySelectorAll(".updown *")]
  .filter((node) => !node.closest(".ud-stage, .ud-chip, .ud-fill"))
  .map((node) => [node.getBoundingClientRect().left, node.getBoundingClientRect().top, node.offsetHeight])"""
VEIL = """(veil, [x, y]) => veil.style.opacity
  * veil.getContext("2d").getImageData(x * veil.width, y * veil.height, 1, 1).data[3]"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def faults():
    """Console errors and foreign requests; a test that leaves one is red."""
    found = []
    yield found
    assert found == []


@pytest.fixture
def page(browser, faults, tmp_path):
    path = AttentionExplorer(image(), panel()).save_html(tmp_path / "one.html", title=EVIL)
    page = open_page(browser, path.as_uri(), faults)
    yield page
    page.close()


def brightness(page, x, y):
    """How dark the veil is over a point of the picture: 0 lets everything through."""
    return page.locator("canvas").evaluate(VEIL, [x, y])


def test_hovering_a_word_lights_its_regions(page):
    page.locator(".ud-word").nth(1).hover()

    assert page.locator(".ud-bar").first.inner_text().split("\n") == ["1", "red kite 0.97", "94%"]  # 0.92 + 0.08 / 4
    assert brightness(page, 0.3, 0.3) == 0 and brightness(page, 0.9, 0.9) > 150  # the kite is clear, the sea is not
    frame = page.locator(".ud-frame").first.bounding_box()
    stage = page.locator(".ud-stage").bounding_box()
    assert frame["x"] - stage["x"] == pytest.approx(stage["width"] * 20 / 120, abs=1)
    assert frame["width"] == pytest.approx(stage["width"] * 40 / 120, abs=1)
    shoot(page, "explorer-hover")


def test_nothing_moves_when_words_are_hovered(page):
    everything = MEASURED
    before = page.evaluate(everything)

    for place in range(len(WORDS)):
        page.locator(".ud-word").nth(place).hover()

        assert page.evaluate(everything) == before


def test_a_click_pins_arrows_walk_and_escape_lets_go(page):
    words, on = page.locator(".ud-word"), page.locator(".ud-word.ud-on")
    words.nth(2).click()
    words.nth(4).hover()
    assert on.inner_text() == "kite"  # pinned words stay
    assert words.nth(2).get_attribute("aria-pressed") == "true"
    assert page.locator("[aria-live=polite].ud-live").inner_text().startswith("kite: 94% red kite 0.97, ")

    page.keyboard.press("ArrowRight")
    assert on.inner_text() == "over"
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert on.inner_text() == "a"  # round the corner

    page.keyboard.press("Escape")
    page.mouse.move(2, 2)
    assert on.count() == 0 and page.locator(".ud-bars-title").inner_text() == "where it looked, on average"


def test_space_plays_and_stops(page):
    page.locator(".ud-word").first.focus()
    page.keyboard.press(" ")
    page.locator(".ud-word.ud-pin", has_text="red").wait_for()
    page.keyboard.press(" ")

    assert page.get_by_label("play", exact=True).inner_text() == "▶"


@pytest.mark.parametrize("place", ["bar", "box"])
def test_hovering_a_region_shows_the_words_that_looked_there(page, place):
    page.locator(".ud-word").nth(1).click()
    if place == "bar":
        page.locator(".ud-bar").first.hover()
    else:
        stage = page.locator(".ud-stage").bounding_box()
        page.mouse.move(stage["x"] + stage["width"] * 0.3, stage["y"] + stage["height"] * 0.3)

    heats = page.locator(".ud-word").evaluate_all("words => words.map((word) => word.style.getPropertyValue('--heat'))")
    assert [float(heat) > 0.9 for heat in heats] == [False, True, True, False, False, False]  # "red" and "kite"


def test_a_caption_with_markup_stays_text(browser, faults, tmp_path):
    asked = []
    path = AttentionExplorer(image(), panel(name=EVIL, words=[EVIL, *WORDS[1:]])).save_html(tmp_path / "evil.html")
    page = open_page(browser, path.as_uri(), faults)
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.locator(".ud-word").first.hover()

    assert page.locator(".ud-word").first.inner_text() == EVIL
    assert page.locator("h4").text_content() == EVIL
    assert page.locator(".ud-chip").nth(2).text_content().startswith(EVIL)
    assert LABELS[3] in page.locator(".ud-bars").text_content()
    assert page.locator("img").count() == 1 and asked == []
    assert page.title() == "updown_lab"
    shoot(page, "explorer-escaped")


def test_the_pages_title_is_text_too(page):
    assert page.title() == EVIL


def test_the_scale_changes_bars_and_light(page):
    page.locator(".ud-word").nth(1).hover()
    fill = page.locator(".ud-fill i").first
    assert fill.evaluate("node => node.style.transform") == "scaleX(1)"

    page.get_by_text("per word").click()
    page.locator(".ud-word").nth(1).hover()

    assert fill.evaluate("node => node.style.transform").startswith("scaleX(0.939")


def test_a_saved_page_says_why_it_cannot_ask_the_model(page):
    page.locator(".ud-stage").click(modifiers=["Alt"])

    assert "open the notebook" in page.locator(".ud-note").inner_text()


def test_models_side_by_side_share_one_word_index(browser, faults, tmp_path):
    short = panel(words=WORDS[:3], strong=(1, 1, 1))
    path = compare_attention(image(), {"long": panel(), "short": short}).save_html(tmp_path / "two.html")
    page = open_page(browser, path.as_uri(), faults, color_scheme="dark")
    page.locator(".ud-panel").nth(0).locator(".ud-word").nth(2).click()

    assert page.locator(".ud-word.ud-on").all_inner_texts() == ["kite", "kite"]
    assert [bars.locator(".ud-name").first.inner_text() for bars in page.locator(".ud-bars").all()] == LABELS[:2]
    assert page.locator(".updown").get_attribute("data-theme") == "dark"

    page.keyboard.press("End")
    assert page.locator(".ud-word.ud-on").all_inner_texts() == ["sea"]  # the short sentence is over
    page.keyboard.press("Home")
    shoot(page, "compare-dark")


def test_a_saved_output_is_a_frame_as_high_as_what_it_holds(browser, faults, tmp_path, monkeypatch):
    monkeypatch.setenv("UPDOWN_SAVED_WIDGETS", "1")
    data, _ = AttentionExplorer(image(), panel(name=EVIL))._repr_mimebundle_()
    (tmp_path / "site.html").write_text(f"<!doctype html><body>{data['text/html']}", encoding="utf-8")

    page = open_page(browser, (tmp_path / "site.html").as_uri(), faults)
    inside = page.frame_locator("iframe")
    inside.locator(".ud-word").nth(1).hover()

    assert inside.locator(".ud-bar").first.inner_text().split("\n")[1] == "red kite 0.97"
    assert inside.locator("img[src=x]").count() == 0
    frame, widget = page.locator("iframe").bounding_box(), inside.locator(".updown").bounding_box()
    assert widget["height"] > 300 and widget["height"] <= frame["height"] < widget["height"] + 24
    page.close()
