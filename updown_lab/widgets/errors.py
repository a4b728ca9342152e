"""Scores in a table, linked to the images behind them."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import ipywidgets
import pandas as pd
import traitlets

from updown_lab.errors import UpdownError
from updown_lab.widgets.base import Shown, close_earlier, put_away, script, with_page

# A column of text can be chosen from a list if it holds few names, again and again: free text, which may be repeated
# too (a model that says the same of many pictures), is for the search field.
FEW, SHORT = 24, 20  # values; letters


class ScoreTable(Shown):
    """The table of an ``ErrorBrowser``: sort by clicking a heading, filter, click a row.

    Args:
        table: a row an image or question.
        sort:  column to sort by at the beginning, the smallest first; None keeps the order.

    Attributes:
        chosen: number of the clicked row in ``table``, -1 if none.

    Raises:
        ValueError: an empty table, or no such column.

    >>> kinds = ["number", "other", "number", "other"]
    >>> scores = pd.DataFrame({"image_id": range(4), "CIDEr": [0.5, float("nan"), 1.0, 2.0], "answer_type": kinds})
    >>> ScoreTable(scores).rows[:2], ScoreTable(scores).choices
    ([[0, 0.5, 'number'], [1, None, 'other']], {'answer_type': ['number', 'other']})
    """

    scripts = ("shared", "roving", "errors")
    _esm = script(*scripts)

    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)
    sort = traitlets.Unicode("").tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)

    def __init__(self, table: pd.DataFrame, sort: str | None = None):
        if not len(table):
            raise ValueError("the table of scores is empty: there is nothing to browse")
        if sort is not None and sort not in table.columns:
            raise ValueError(f"the table has no column {sort!r} to sort by; it has {list(table.columns)}")
        values = {str(name): [_plain(value) for value in column] for name, column in table.items()}
        choices = {name: options for name, column in values.items() if (options := _options(column))}
        rows = [list(row) for row in zip(*values.values())]
        super().__init__(columns=list(values), rows=rows, choices=choices, sort=sort or "")


class ErrorBrowser(ipywidgets.VBox):
    """A table of scores; click a row and look at what happened there.

    Args:
        table:   a row an image or question, for instance ``judge-regions/scst.csv`` or ``vqa-regions/answers.csv``.
        explore: from a row (a dict) to a widget, for instance
                 ``lambda row: AttentionExplorer(load(row["image_id"]), speaker)``.
        sort:    column to sort by at the beginning, the smallest first: the worst come first.

    Attributes:
        table: the ``ScoreTable``. What goes wrong while a row is opened stands in its ``note``.

    >>> browser = ErrorBrowser(pd.DataFrame({"image_id": [7], "CIDEr": [0.5]}), lambda row: ipywidgets.HTML("seven"))
    >>> browser.table.chosen = 0  # a click
    >>> [type(part).__name__ for part in browser.children]
    ['ScoreTable', 'HTML']
    """

    def __init__(self, table: pd.DataFrame, explore: Callable[[Mapping], ipywidgets.Widget], sort: str | None = None):
        self.table, self._frame, self._explore = ScoreTable(table, sort), table, explore
        close_earlier(self)
        super().__init__([self.table])
        self.table.observe(self._choose, "chosen")

    def save_html(self, path: Path | str, title: str = "updown_lab") -> Path:
        """Write the table as one page, see ``ScoreTable.save_html``. What a click opens needs the notebook."""
        return self.table.save_html(path, title)

    def _repr_mimebundle_(self, **asked):
        """ipywidgets 7 shows a box by other means; it has nothing here."""
        shown = getattr(super(), "_repr_mimebundle_", None)
        return with_page(shown(**asked) if shown else None, self.table)

    def _choose(self, change) -> None:
        """Put what belongs to the clicked row below the table, instead of what was there."""
        before, shown, note = self.children[1:], (), ""
        try:
            if change["new"] >= 0:
                shown = (self._open(self._frame.iloc[change["new"]].to_dict()),)
        except Exception as error:  # it is the reader's own function: whatever it does, the table lives and tells it
            note = str(error) if isinstance(error, UpdownError | ValueError) else f"{type(error).__name__}: {error}"
        self.children, self.table.note = (self.table, *shown), note
        for old in before:
            put_away(old)

    def _open(self, row: Mapping) -> ipywidgets.Widget:
        widget = self._explore(row)
        if not isinstance(widget, ipywidgets.Widget):
            raise ValueError(f"explore(row) should return a widget to show; it returned {type(widget).__name__}")
        return widget


def _options(column: list) -> list[str]:
    """What a column can be filtered by; nothing if it holds numbers or free text."""
    if not all(isinstance(cell, str) and len(cell) <= SHORT for cell in column):
        return []
    options = sorted(set(column))
    return options if 2 <= len(options) <= min(FEW, len(column) // 2) else []


def _plain(value):
    """A cell as JSON."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str) or value is None else str(value)
