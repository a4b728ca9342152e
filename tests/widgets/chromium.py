"""A browser for the tests: Debian's Chromium, or a reason why there is none."""

import importlib.util
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="needs playwright and Chromium: pip install playwright, and apt-get install chromium or set CHROMIUM",
)
FRAME = 16.0  # milliseconds: 60 frames a second
#: Until the next frame is laid out and painted: a browser does that right after the frame's callbacks, and hears a
#: message that was posted in one of them only after it.
PAINTED = """() => new Promise((done) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => done();
  port2.postMessage(0);
}))"""
#: Screenshots stay here, to be looked at.
SHOTS = Path(__file__).parents[2] / "runs" / "browser"


@contextmanager
def chromium():
    """A browser that ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser, address: str, faults: list[str], **options):
    """A page whose every console error, script error and request for something else lands in ``faults``."""
    page = browser.new_page(viewport={"width": 1080, "height": 900}, **options)
    page.set_default_timeout(10_000)
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith((address, "blob:")) else faults.append(request.url)
    )
    page.goto(address)
    return page


def hover_times(page, words, hovers: int = 60) -> list[float]:
    """Milliseconds that the page works for each hover: script, style, layout and paint together.

    Chromium's own count of its tasks (CDP, Performance.getMetrics), in processor time of the page's main thread, so
    that other programs on this machine do not matter.
    """
    browser = page.context.new_cdp_session(page)
    browser.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked():
        page.evaluate(PAINTED)
        return {one["name"]: one["value"] for one in browser.send("Performance.getMetrics")["metrics"]}["TaskDuration"]

    frames = [words.nth(number).bounding_box() for number in range(words.count())]
    times, before = [], worked()
    for number in range(hovers):
        frame = frames[number % len(frames)]
        page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
        after = worked()
        times.append(1000 * (after - before))
        before = after
    return times


def shoot(page, name: str) -> None:
    """Keep a picture of the page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.mouse.move(0, 0) if name.endswith("-idle") else None
    page.wait_for_timeout(250)  # transitions
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
