"""Report: one file, nothing from outside, text stays text."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from updown_lab.analysis.report import Report

EVIL = '<img src=x onerror="alert(1)">&"\'</style><script>alert(2)</script>'


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and the text of chosen tags."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def text(self, tag: str) -> list[str]:
        return [data for name, data in self.texts if name == tag]

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def chart() -> Figure:
    figure = Figure(figsize=(4, 2), dpi=100)
    figure.add_subplot().plot([1, 2])
    return figure


def full_report(word: str = "plain") -> Report:
    table = pd.DataFrame({word: [word, "b"], "score": [0.5, 0.25]}, index=pd.Index([word, "y"], name=word))
    return (
        Report(word, word)
        .heading(word)
        .text(word)
        .table(table, word)
        .heading(word, level=3)
        .figure(chart(), word)
        .figure(Image.new("RGB", (9, 9)), word)
    )


def test_text_from_outside_stays_text_everywhere():
    harmless, evil = Page(full_report().html()), Page(full_report(EVIL).html())

    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in harmless.tags]
    assert [sorted(attributes) for _, attributes in evil.tags] == [
        sorted(attributes) for _, attributes in harmless.tags
    ]
    for tag in ("title", "h1", "h2", "h3", "p", "td", "a"):
        assert EVIL in evil.text(tag), tag
    assert evil.text("th").count(EVIL) == 3  # column, index, row
    assert [image["alt"] for image in evil.all("img")] == [EVIL, EVIL]
    assert sum(EVIL in text for text in evil.text("figcaption")) == 3


def test_nothing_is_fetched_from_anywhere():
    html = full_report().html()

    assert "http" not in html and "url(" not in html and "@import" not in html
    page = Page(html)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert all(link["href"].startswith("#") for link in page.all("a"))


def test_pictures_are_inside_the_file():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8))
    clear = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    page = Page(Report("t").figure(chart()).figure(noise).figure(clear, width=77).html())

    sizes = []
    for image in page.all("img"):
        kind, data = re.fullmatch(r"data:image/(\w+);base64,(.+)", image["src"]).groups()
        opened = Image.open(io.BytesIO(base64.b64decode(data)))
        sizes.append((kind, opened.format, opened.size, image["style"]))

    assert sizes == [
        ("png", "PNG", (600, 300), "width: 384px"),  # 4 x 2 inches at 150 dots; 96 CSS pixels an inch
        ("jpeg", "JPEG", (500, 400), "width: 500px"),
        ("png", "PNG", (20, 10), "width: 77px"),
    ]
    with pytest.raises(ValueError, match="got list"):
        Report("t").figure([1])


def test_contents_point_at_the_headings():
    page = Page(Report("t").heading("One").heading("Two", level=3).heading("One").html())

    targets = [tag["id"] for name in ("h2", "h3") for tag in page.all(name)]
    links = [link["href"][1:] for link in page.all("a")]
    assert sorted(links) == sorted(targets) and len(set(links)) == 3
    assert page.text("a") == ["One", "Two", "One"]
    with pytest.raises(ValueError, match="level 2 or 3"):
        Report("t").heading("x", level=1)


def cells(report: Report) -> list[tuple[str, str]]:
    """(class, text) of each cell."""
    return re.findall(r"<td(?: class=\"([\w ]+)\")?>([^<]*)</td>", report.html())


def test_numbers_stand_right_and_text_left():
    table = pd.DataFrame({"name": ["a", "b"], "score": [0.12345, -1.0], "count": [1234, 5], "ok": [True, False]})

    assert cells(Report("t").table(table)) == [
        ("", "a"), ("number", "0.123"), ("number", "1,234"), ("", "True"),
        ("", "b"), ("number", "\N{MINUS SIGN}1.000"), ("number", "5"), ("", "False"),
    ]  # fmt: skip
    assert ("number", "12.3%") in cells(Report("t").table(table, formats={"score": ".1%"}))


def test_the_best_value_is_bold_and_ties_as_printed_share_it():
    table = pd.DataFrame({"up": [0.5004, 0.5001, 0.4, np.nan], "down": [3, 1, 2, 1]})

    both = cells(Report("t").table(table, best="max"))
    chosen = cells(Report("t").table(table, best={"down": "min"}))

    assert [kind == "number best" for kind, _ in both[0::2]] == [True, True, False, False]
    assert [kind == "number best" for kind, _ in both[1::2]] == [True, False, False, False]
    assert [kind == "number best" for kind, _ in chosen[1::2]] == [False, True, False, True]
    assert both[6] == ("number", "\N{EN DASH}")
    for wrong in ({"best": "largest"}, {"best": {"sideways": "max"}}, {"formats": {"sideways": ".1f"}}):
        with pytest.raises(ValueError, match="columns"):
            Report("t").table(table, **wrong)


def test_an_empty_table_and_an_empty_report_are_fine():
    Page(Report("t").html())
    assert Page(Report("t").table(pd.DataFrame({"a": []}), best="max").html()).text("th") == ["a"]


def test_paragraphs_split_at_empty_lines():
    assert Page(Report("t").text("one\ntwo\n\n\n\nthree\n").html()).text("p") == ["one\ntwo", "three"]


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    target = full_report().write(tmp_path / "deep" / "report.html")
    before = target.read_bytes()
    broken = full_report("new")
    monkeypatch.setattr(broken, "_contents", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        broken.write(target)

    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_the_page_adapts_to_dark_rooms_small_screens_and_paper():
    html = full_report().html()

    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 34rem", "tabular-nums"):
        assert rule in html
    assert 'name="viewport"' in html
