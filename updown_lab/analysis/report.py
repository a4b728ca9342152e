"""A report that is one file: text, tables and pictures that open anywhere, without a network, for ever."""

import base64
import io
import math
import numbers
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from updown_lab.files import atomic_path

PIXELS_PER_INCH = 96  # how browsers measure
MINUS, NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"
WIDE = 750  # pixels; a wider figure may leave the text column on a large screen


class Report:
    """Collect headings, text, tables and figures, then write them as one HTML file.

    All text is shown as it is given: nothing in it is read as HTML. The methods return the report, so calls chain.

    Args:
        title:    at the top and in the window's title.
        subtitle: one line below it, for instance the date and the preset.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "report.html"
    >>> _ = Report("Grid or regions?").heading("Scores").text("Regions, 1 < 2.").write(target)
    >>> "Regions, 1 &lt; 2." in target.read_text()
    True
    """

    def __init__(self, title: str, subtitle: str = ""):
        self.title, self.subtitle = title, subtitle
        self._parts: list[str] = []
        self._headings: list[tuple[int, str]] = []
        self._tables = self._figures = 0

    def heading(self, text: str, level: int = 2) -> "Report":
        """Start a section (level 2) or a part of one (level 3); it enters the table of contents."""
        if level not in (2, 3):
            raise ValueError(f"a heading has level 2 or 3, got {level}")
        self._headings.append((level, text))
        self._parts.append(f'<h{level} id="section-{len(self._headings)}">{escape(text)}</h{level}>')
        return self

    def text(self, paragraph: str) -> "Report":
        """Add text; an empty line starts a new paragraph."""
        blocks = [block.strip() for block in paragraph.split("\n\n")]
        self._parts += [f"<p>{escape(block)}</p>" for block in blocks if block]
        return self

    def table(
        self,
        table: pd.DataFrame,
        caption: str = "",
        best: Mapping[str, str] | str | None = None,
        formats: Mapping[str, str] | None = None,
        index: bool | None = None,
    ) -> "Report":
        """Add a table: numbers to the right with equal decimals, text to the left.

        Args:
            table:   a row a row.
            caption: over the table.
            best:    "max" or "min" to print each numeric column's best value in bold, or that word for some columns.
            formats: format of a column, for instance {"CIDEr": ".1f"}; by default three decimals, none for counts.
            index:   show the index; by default if it is more than row numbers.

        Raises:
            ValueError: ``best`` or ``formats`` names an unknown column, or ``best`` is another word.
        """
        formats = dict(formats or {})
        numeric = [name for name in table.columns if _is_numeric(table[name])]
        wanted = dict.fromkeys(numeric, best) if isinstance(best, str) else dict(best or {})
        unknown = [name for name in (*formats, *wanted) if name not in table.columns]
        if unknown or set(wanted.values()) - {"max", "min"}:
            raise ValueError(
                f"best takes 'max' or 'min' for columns {list(table.columns)}; got {best!r} and formats for {unknown}"
            )
        if index is None:
            index = not isinstance(table.index, pd.RangeIndex)
        columns = [_cells(table.iloc[:, place], formats.get(name), wanted.get(name))
                   for place, name in enumerate(table.columns)]  # fmt: skip
        head = "".join(f'<th scope="col"{_number(name in numeric)}>{escape(str(name))}</th>' for name in table.columns)
        stubs = [f'<th scope="row">{escape(_label(name))}</th>' if index else "" for name in table.index]
        corner = f'<th scope="col">{escape(_label(table.index.name or ""))}</th>' if index else ""
        body = "\n".join(f"<tr>{stub}{''.join(row)}</tr>" for stub, row in zip(stubs, zip(*columns)))
        self._tables += 1
        self._parts.append(
            f'<figure class="table">\n{_caption("Table", self._tables, caption)}\n<div class="scroll"><table>\n'
            f"<thead><tr>{corner}{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n</figure>"
        )
        return self

    def figure(self, picture: Figure | Image.Image, caption: str = "", width: int | None = None) -> "Report":
        """Add a matplotlib figure or a PIL image, with its caption below; it is stored inside the file.

        Args:
            picture: what to show; it is read now, so later changes to it do not matter.
            caption: also read aloud in place of the picture.
            width:   in CSS pixels; by default the size that the figure was made for.
        """
        data, kind, natural = _encode(picture)
        width = natural if width is None else int(width)
        self._figures += 1
        shape = ' class="wide"' if width > WIDE else ""
        self._parts.append(
            f'<figure{shape}>\n<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" '
            f'style="width: {width}px" alt="{escape(caption or f"Figure {self._figures}")}">\n'
            f"{_caption('Figure', self._figures, caption)}\n</figure>"
        )
        return self

    def html(self) -> str:
        """The whole page as text."""
        style = files("updown_lab.analysis").joinpath("report.css").read_text(encoding="utf-8")
        subtitle = f'<p class="subtitle">{escape(self.subtitle)}</p>' if self.subtitle else ""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
            f"<header>\n<h1>{escape(self.title)}</h1>\n{subtitle}\n</header>\n{self._contents()}\n<main>\n"
            + "\n".join(self._parts)
            + "\n</main>\n</body>\n</html>\n"
        )

    def write(self, path: Path | str) -> Path:
        """Write the page in one atomic move and return where it is."""
        with atomic_path(path) as draft:
            draft.write_text(self.html(), encoding="utf-8")
        return Path(path)

    def _contents(self) -> str:
        if len(self._headings) < 2:
            return ""
        lines = [
            f'<li class="level-{level}"><a href="#section-{number}">{escape(text)}</a></li>'
            for number, (level, text) in enumerate(self._headings, start=1)
        ]
        return '<nav aria-label="Contents">\n<ol>\n' + "\n".join(lines) + "\n</ol>\n</nav>"


def _caption(kind: str, number: int, text: str) -> str:
    return f"<figcaption><b>{kind} {number}.</b> {escape(text)}</figcaption>"


def _number(numeric: bool, best: bool = False) -> str:
    names = ["number"] * numeric + ["best"] * best
    return f' class="{" ".join(names)}"' if names else ""


def _label(name) -> str:
    return " / ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _cells(column: pd.Series, form: str | None, best: str | None) -> list[str]:
    """The cells of one column; values that print the same as the best are best too."""
    numeric = _is_numeric(column)
    shown = [_format(value, form) for value in column]
    top = _format(getattr(column, best)(), form) if best and column.notna().any() else None
    return [f"<td{_number(numeric, text == top)}>{escape(text)}</td>" for text in shown]


def _format(value, form: str | None) -> str:
    """One value as text: a true minus sign, a dash for nothing.

    >>> _format(-0.12345, None), _format(1234567, None), _format(float("nan"), None), _format(0.5, ".0%")
    ('−0.123', '1,234,567', '–', '50%')
    """
    if value is None or value is pd.NA or (isinstance(value, numbers.Real) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, numbers.Number):
        return str(value)
    default = "," if isinstance(value, numbers.Integral) else ".3f"
    return format(value, form or default).replace("-", MINUS)


def _encode(picture: Figure | Image.Image) -> tuple[bytes, str, int]:
    """File content, its type, and the width in CSS pixels that the picture was made for."""
    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format="png", dpi=max(picture.dpi, 150), facecolor="white")
        return buffer.getvalue(), "png", round(picture.get_figwidth() * PIXELS_PER_INCH)
    if not isinstance(picture, Image.Image):
        raise ValueError(f"a report shows matplotlib figures and PIL images, got {type(picture).__name__}")
    photo = picture.mode in ("RGB", "L") and picture.width * picture.height > 300 * 300  # a PNG would be ten times it
    if photo:
        picture.save(buffer, format="JPEG", quality=90)
    else:
        picture.convert("RGBA" if "A" in picture.mode else "RGB").save(buffer, format="PNG")
    return buffer.getvalue(), "jpeg" if photo else "png", picture.width
