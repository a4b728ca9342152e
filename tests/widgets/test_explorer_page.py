"""The explorer in a browser, without Jupyter: the saved page, opened as a file."""

import re
import socket
import statistics

import pytest
from chromium import FRAME, chromium, hover_times, needs_chromium, open_page, shoot
from test_ask import FakeAnswerer
from toy_scenes import EVIL, LABELS, WORDS, FakeSpeaker, image, many, panel

import updown_lab as ul
from updown_lab.widgets import AskTheImage, AttentionExplorer, Panel, compare_attention

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

    scale = page.get_by_role("button", name="one scale", exact=True)
    assert scale.get_attribute("aria-pressed") == "false"
    scale.click()
    page.locator(".ud-word").nth(1).hover()

    assert scale.get_attribute("aria-pressed") == "true"  # and its name is still the same

    assert fill.evaluate("node => node.style.transform").startswith("scaleX(0.939")


def test_a_saved_page_says_why_it_cannot_ask_the_model(page):
    page.locator(".ud-stage").click(modifiers=["Alt"])

    assert "open the notebook" in page.locator(".ud-note").inner_text()


@pytest.fixture
def alive(browser, faults, tmp_path):
    """A page whose widget believes in a kernel: what it sends is kept in ``window.sent``."""

    def open_alive(widget, **options):
        text = widget.page().replace("const model = {\n  offline: true,", "const model = (window.model = {")
        text = text.replace("  send() {},", "  send: (message) => (window.sent ||= []).push(message),")
        text = re.sub(r"\n};\nwidget\.render", "\n});\nwidget.render", text)
        (tmp_path / "alive.html").write_text(text, encoding="utf-8")
        return open_page(browser, (tmp_path / "alive.html").as_uri(), faults, **options)

    return open_alive


def sent(page):
    return page.evaluate("window.sent || []")


def drag(page, *, release=True):
    """From a sixth to a half of the picture, both ways."""
    stage = page.locator(".ud-stage").first.bounding_box()
    at = lambda share: (stage["x"] + share * stage["width"], stage["y"] + share * stage["height"])  # noqa: E731
    page.mouse.move(*at(1 / 6))
    page.mouse.down()
    page.mouse.move(*at(1 / 3))
    page.mouse.move(*at(1 / 2))
    if release:
        page.mouse.up()


def test_alternatives_stay_while_one_reaches_for_them(alive):
    page = alive(AttentionExplorer(image(), FakeSpeaker()))
    page.locator(".ud-word").nth(1).hover()
    chip = page.locator(".ud-chip", has_text="maybe")
    stage = page.locator(".ud-stage").bounding_box()
    page.mouse.move(stage["x"] + 5, stage["y"] + 5)  # on the way there, over the picture
    assert page.locator(".ud-bars-title").inner_text() == "where it looked for “4”"

    chip.click()

    assert sent(page) == [{"kind": "say", "panel": 0, "place": 1, "word": "maybe"}]
    page.mouse.move(2, 2)  # out of the panel
    assert page.locator(".ud-bars-title").inner_text() == "where it looked, on average"
    assert "point at a word" in page.locator(".ud-offer").inner_text()


def test_a_second_wish_waits_for_the_answer_to_the_first(alive):
    page = alive(AttentionExplorer(image(), FakeSpeaker()))
    take_away = page.locator(".ud-away").first
    take_away.click()
    take_away.click()
    assert len(sent(page)) == 1 and "ud-busy" in page.locator(".updown").get_attribute("class")

    page.evaluate("() => { model.set('busy', true); model.set('busy', false); }")  # as the kernel does
    take_away.click()

    assert len(sent(page)) == 2


def test_the_focus_goes_where_the_pin_goes(page):
    words = page.locator(".ud-word")
    focused = "() => document.activeElement.textContent"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "a"
    assert page.locator(".ud-bars-title").inner_text() == "where it looked for “a”"  # a preview

    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")

    assert page.evaluate(focused) == "kite" and page.locator(".ud-word.ud-pin").inner_text() == "kite"
    assert words.evaluate_all("words => words.map((word) => word.tabIndex)") == [-1, -1, 0, -1, -1, -1]


def test_keys_with_ctrl_are_the_notebooks_and_all_others_the_widgets(page):
    page.evaluate(
        "() => { window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key)); }"
    )
    page.locator(".ud-word").nth(1).click()

    for keys in ("Control+s", "Meta+ArrowRight", "a", "Alt+ArrowRight", "ArrowRight"):
        page.keyboard.press(keys)

    assert page.evaluate("heard") == ["Control", "s", "Meta", "ArrowRight"]
    assert page.locator(".ud-word.ud-pin").inner_text() == "kite"  # one step, by the arrow alone


def test_escape_lets_go_of_a_drag_and_keeps_the_pin(alive):
    page = alive(AttentionExplorer(image(), FakeSpeaker()))
    page.locator(".ud-word").nth(1).click()
    drag(page, release=False)
    assert page.locator(".ud-rubber").is_visible()

    page.keyboard.press("Escape")

    assert not page.locator(".ud-rubber").is_visible()
    page.mouse.up()
    assert sent(page) == [] and page.locator(".ud-word.ud-pin").inner_text() == "4"
    drag(page)
    assert sent(page)[0]["kind"] == "add" and sent(page)[0]["box"] == pytest.approx(
        [1 / 6, 1 / 6, 1 / 2, 1 / 2], abs=0.01
    )


def test_what_was_changed_is_said_and_marked(browser, faults, tmp_path):
    explorer = AttentionExplorer(image(), FakeSpeaker())
    for wish in ({"kind": "remove", "region": 0}, {"kind": "add", "box": [0.5, 0.5, 0.9, 0.9]}):
        explorer._hear(explorer, {"panel": 0, **wish}, [])
    page = open_page(browser, explorer.save_html(tmp_path / "changed.html").as_uri(), faults)

    assert page.locator(".ud-done").inner_text().startswith("with a box of your own; it had no region there")
    assert page.locator(".ud-was").inner_text() == "before: sees 3 things"
    assert page.locator(".ud-was s").all_inner_texts() == ["3"]
    assert page.locator(".ud-word.ud-came").all_inner_texts() == ["4"]
    assert page.locator(".ud-ghosts i.ud-mine").count() == 1 and page.locator(".ud-ghosts i").count() == 2
    assert "(yours)" in page.locator(".ud-bars").inner_text()
    shoot(page, "explorer-changed")


def test_what_it_did_not_see_is_lit_and_listed(page):
    page.get_by_role("button", name="what did it not see?").click()

    # The largest box is the whole picture: nothing lies in no region. Regions 1 to 3 got 94 % of some word, region 4
    # never more than 2 %: less than an equal share, a quarter.
    assert page.locator(".ud-stats").first.inner_text() == "bright: 0% of the picture lies in no region"
    assert page.locator(".ud-stats").nth(1).inner_text() == "1 of 4 regions never got an equal share, 25%"
    assert LABELS[3] in page.locator(".ud-bar:visible").all_inner_texts()[0]
    page.keyboard.press("Escape")
    assert page.locator(".ud-bars-title").inner_text() == "where it looked, on average"


def test_places_in_no_region_are_bright_and_what_was_hardly_looked_at_is_dim(browser, faults, tmp_path):
    boxes = [[0.0, 0, 60, 90], [60, 0, 120, 45]]  # the left half, and the upper right quarter
    half = Panel(["cat"], [[0.95, 0.05]], boxes, (120, 90))
    page = open_page(browser, AttentionExplorer(image(), half).save_html(tmp_path / "half.html").as_uri(), faults)

    page.get_by_role("button", name="what did it not see?").click()

    assert page.locator(".ud-stats").first.inner_text() == "bright: 25% of the picture lies in no region"
    assert brightness(page, 0.75, 0.75) == 0
    assert brightness(page, 0.25, 0.5) == pytest.approx(255 * 0.8, abs=1)  # seen: as dark as it gets
    assert brightness(page, 0.75, 0.25) == pytest.approx(255 * 0.8 / 2, abs=1)  # a region, but 0.05 is less than 1 / 2


def test_a_hover_over_a_hundred_regions_takes_less_than_a_frame(browser, faults, tmp_path):
    page = open_page(browser, AttentionExplorer(image(), many()).save_html(tmp_path / "many.html").as_uri(), faults)

    times = hover_times(page, page.locator(".ud-word"))

    assert page.locator(".ud-word.ud-on").inner_text() == "word19"  # the 60th hover, so they were heard
    assert len(times) == 60 and statistics.median(times) < FRAME


def test_the_picture_is_announced(page):
    name = page.get_by_role("img").get_attribute("aria-label")

    assert name.startswith("the picture with 4 regions: red kite 0.97, blue sea 0.91, sky 0.80")


#: Everything that is written small, or in colour.
SMALL = ".ud-back, .ud-note, .ud-hint, .ud-stats, .ud-offer, .ud-done, .ud-was, s, .ud-truth, .ud-came, small, h4"
CONTRAST = """(root, names) => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return /[,\\/] 0\\)$/.test(colour) ? behind(node.parentElement) : colour;
  };
  return [...root.querySelectorAll(names)].filter((node) => node.textContent).map((node) => {
    const [one, other] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => a - b);
    return [node.className || node.tagName, (other + 0.05) / (one + 0.05)];
  });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["explorer", "ask"])
def test_small_text_stands_out_from_the_paper(browser, faults, tmp_path, theme, kind):
    if kind == "explorer":
        widget = AttentionExplorer(image(), {"one": FakeSpeaker()})
    else:
        widget = AskTheImage(FakeAnswerer(), image(), "how many?", truths={"how many?": ["4"] * 10})
    widget._hear(widget, {"kind": "remove", "panel": 0, "region": 0}, [])
    widget.note = "an error message"
    page = open_page(browser, widget.save_html(tmp_path / "ink.html").as_uri(), faults, color_scheme=theme)

    ratios = page.locator(".updown").evaluate(CONTRAST, SMALL)

    assert len(ratios) >= 5
    assert [pair for pair in ratios if pair[1] < 4.5] == []  # WCAG AA for small text


@pytest.mark.parametrize("width", [480, 1080])
def test_nothing_is_cut_off_in_a_cell_of_any_width(browser, faults, tmp_path, width):
    truths = {f"is this question number {number} of six ?": ["yes"] * 10 for number in range(6)}
    asked, explorer = AskTheImage(FakeAnswerer(), image(), truths=truths), AttentionExplorer(image(), FakeSpeaker())
    for widget in (asked, explorer):
        page = open_page(browser, widget.save_html(tmp_path / "narrow.html").as_uri(), faults)
        page.set_viewport_size({"width": width, "height": 900})

        inside = """nodes => nodes.every((node) => node.scrollHeight <= node.clientHeight + 1
          && node.scrollWidth <= node.clientWidth + 1)"""
        assert page.locator(".ud-hint, .ud-earlier").evaluate_all(inside)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert "drag on the picture draws one" in page.locator(".ud-hint").inner_text()


def places(page, name):
    return [tuple(round(page.locator(name).nth(number).bounding_box()[side]) for side in "xy")
            for number in range(page.locator(name).count())]  # fmt: skip


def test_panels_with_few_and_many_regions_line_up_and_four_are_two_and_two(browser, faults, tmp_path):
    panels = {"few": panel(), "many": many(), "more": many(), "again": panel()}
    page = open_page(browser, compare_attention(image(), panels).save_html(tmp_path / "four.html").as_uri(), faults)
    page.set_viewport_size({"width": 1300, "height": 900})

    for name in (".ud-stage", ".ud-bars", ".ud-foot", ".ud-chips"):
        (left, top), (right, same), (below, bottom), (last, end) = places(page, name)
        assert left == below < right == last and top == same < bottom == end, name
    heights = page.locator(".ud-word").evaluate_all("words => words.map((word) => word.offsetHeight)")
    assert len(set(heights)) == 1  # a short sentence beside a long one keeps its size
    shoot(page, "compare-four")


def test_the_demo_opens_the_explorer_without_a_network(browser, faults, tmp_path, monkeypatch):
    def refuse(*address):
        raise OSError(f"the demo asked for the network: {address}")

    with monkeypatch.context() as offline:
        offline.setattr(socket, "getaddrinfo", refuse)
        offline.setattr(socket.socket, "connect", refuse)
        path = ul.demo().explore().save_html(tmp_path / "demo.html")
    page = open_page(browser, path.as_uri(), faults)
    page.locator(".ud-word").nth(1).hover()

    assert re.fullmatch(
        r".+ [01]\.\d\d", page.locator(".ud-bar .ud-name").first.text_content()
    )  # "plain, red kite 0.93"
    assert page.locator(".ud-chip:visible").count() > 1
    shoot(page, "demo")


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
