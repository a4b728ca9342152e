"""Scores in a table, linked to the images behind them."""

import math
from collections.abc import Callable, Mapping

import ipywidgets
import pandas as pd
import traitlets

from updown_lab.errors import UpdownError
from updown_lab.widgets.base import Shown, script, with_page

FEW = 24  # a column of text with at most so many values can be chosen from a list


class ScoreTable(Shown):
    """The table of an ``ErrorBrowser``: sort by clicking a heading, filter, click a row.

    Args:
        table: a row an image or question.
        sort:  column to sort by at the beginning, the smallest first; None keeps the order.

    Attributes:
        chosen: number of the clicked row in ``table``, -1 if none.

    Raises:
        ValueError: an empty table, or no such column.

    >>> scores = pd.DataFrame({"image_id": [1, 2], "CIDEr": [0.5, float("nan")], "answer_type": ["number", "other"]})
    >>> ScoreTable(scores).rows, ScoreTable(scores).choices
    ([[1, 0.5, 'number'], [2, None, 'other']], {'answer_type': ['number', 'other']})
    """

    scripts = ("shared", "errors")
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
        texts = {name: column for name, column in values.items() if all(isinstance(cell, str) for cell in column)}
        choices = {name: sorted(set(column)) for name, column in texts.items() if len(set(column)) <= FEW}
        choices = {name: options for name, options in choices.items() if len(options) < len(table) or len(options) < 4}
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
        table: the ``ScoreTable``.
    """

    def __init__(self, table: pd.DataFrame, explore: Callable[[Mapping], ipywidgets.Widget], sort: str | None = None):
        self.table, self._frame, self._explore = ScoreTable(table, sort), table, explore
        super().__init__([self.table])
        self.table.observe(self._choose, "chosen")

    def _repr_mimebundle_(self, **asked):
        return with_page(super()._repr_mimebundle_(**asked), self.table)

    def _choose(self, change) -> None:
        """Put what belongs to the clicked row below the table, instead of what was there."""
        before = self.children[1:]
        try:
            shown = () if change["new"] < 0 else (self._explore(self._frame.iloc[change["new"]].to_dict()),)
            self.table.note = ""
        except (UpdownError, ValueError, KeyError, OSError) as error:
            shown = ()
            self.table.note = str(error)
        self.children = (self.table, *shown)
        for old in before:
            old.close()


def _plain(value):
    """A cell as JSON."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str) or value is None else str(value)
