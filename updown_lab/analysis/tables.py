"""Tables to show: bold where it is best, ready for a notebook, a paper or a README."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

NOTHING = "\N{EN DASH}"
LOWER = ("hallucination", "hallucinated captions", "bad endings")  # columns in which less is better
_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
)


def styled(
    table: pd.DataFrame, best: Sequence[str] = (), digits: int = 1, lowest: Sequence[str] = LOWER, within: str = ""
) -> Styler:
    """For notebooks: the best of some columns in bold.

    Args:
        table:  a row a thing that was measured.
        best:   columns that have a best row.
        digits: after the point; p-values ("p", "p_holm", ...) have three.
        lowest: those of them in which less is better.
        within: level of the index (or column) whose values share no best, for instance "data"; empty: all rows do.

    Raises:
        ValueError: no such column.

    >>> "font-weight: bold" in styled(pd.DataFrame({"CIDEr": [1.0, 2.0]}), ["CIDEr"]).to_html()
    True
    """
    marks = np.where(_best(table, best, lowest, within), "font-weight: bold", "")
    shown = {name: partial(_text, name, digits=digits, nothing=NOTHING) for name in table.columns}
    bold = table.style.apply(lambda data: pd.DataFrame(marks, data.index, data.columns), axis=None)
    return bold.format(shown, escape="html").format_index(escape="html").format_index(axis=1, escape="html")


def latex(
    table: pd.DataFrame, best: Sequence[str] = (), digits: int = 1, lowest: Sequence[str] = LOWER, within: str = ""
) -> str:
    """For papers: a tabular with rules (package booktabs), the best of some columns in bold; as for ``styled``.

    >>> print(latex(pd.DataFrame({"C_1": [1.0, 2.0]}, index=["50 %", "b"]), ["C_1"]))
    \\begin{tabular}{lr}
    \\toprule
     & C\\_1 \\\\
    \\midrule
    50 \\% & 1.0 \\\\
    b & \\textbf{2.0} \\\\
    \\bottomrule
    \\end{tabular}
    <BLANKLINE>
    """
    marks = _best(table, best, lowest, within)
    head, rows = _cells(table, marks, digits, "--", lambda text: text.translate(_LATEX), r"\textbf{{{}}}".format)
    sides = "".join("r" if side else "l" for side in _numeric(table))
    head, *body = (" & ".join(row) + r" \\" for row in (head, *rows))
    ends = (rf"\begin{{tabular}}{{{sides}}}", r"\toprule", head, r"\midrule"), (r"\bottomrule", r"\end{tabular}", "")
    return "\n".join([*ends[0], *body, *ends[1]])


def markdown(
    table: pd.DataFrame, best: Sequence[str] = (), digits: int = 1, lowest: Sequence[str] = LOWER, within: str = ""
) -> str:
    """For READMEs: numbers to the right, the best of some columns in bold; as for ``styled``.

    >>> print(markdown(pd.DataFrame({"CIDEr": [1.0, 2.0]}, index=["grid", "a|b"]), ["CIDEr"]))
    | | CIDEr |
    |---|---:|
    | grid | 1.0 |
    | a\\|b | **2.0** |
    """
    marks = _best(table, best, lowest, within)
    head, rows = _cells(table, marks, digits, NOTHING, lambda text: text.replace("|", "\\|"), "**{}**".format)
    rule = "|" + "|".join("---:" if side else "---" for side in _numeric(table)) + "|"
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0].replace("|  |", "| |"), rule, *lines[1:]])


def _numeric(table: pd.DataFrame) -> list[bool]:
    """Which columns stand to the right; those of the index do not."""
    return [False] * table.index.nlevels + [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]


def _cells(
    table: pd.DataFrame, marks: np.ndarray, digits: int, nothing: str, safe: Callable[[str], str],
    bold: Callable[[str], str],
) -> tuple[list[str], list[list[str]]]:  # fmt: skip
    """Head and rows as text, the index' columns first."""
    head = [safe(str(name)) if name is not None else "" for name in (*table.index.names, *table.columns)]
    rows = []
    for labels, values, where in zip(table.index, table.itertuples(index=False), marks, strict=True):
        labels = labels if isinstance(labels, tuple) else (labels,)
        texts = [_text(name, value, digits, nothing) for name, value in zip(table.columns, values, strict=True)]
        cells = [bold(safe(text)) if mark else safe(text) for text, mark in zip(texts, where, strict=True)]
        rows.append([*(safe(str(label)) for label in labels), *cells])
    return head, rows


def _text(name: str, value, digits: int, nothing: str) -> str:
    """One cell. A p-value is never 0."""
    if pd.isna(value):
        return nothing
    if not isinstance(value, float | np.floating):
        return str(value)
    if str(name) == "p" or str(name).startswith("p_"):
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    return f"{value:.{digits}f}"


def _best(table: pd.DataFrame, best: Sequence[str], lowest: Sequence[str], within: str) -> np.ndarray:
    """(rows, columns) bool: which cells are the best of their column, if there are others to be better than."""
    unknown = [name for name in best if name not in table.columns]
    if unknown:
        raise ValueError(f"no column {unknown[0]!r} to be best in; there are {', '.join(map(str, table.columns))}")
    plain = table.reset_index()
    groups = plain[within] if within else pd.Series(0, plain.index)
    marks = np.zeros(table.shape, bool)
    for place, name in enumerate(table.columns):
        if name in best:
            values = pd.Series(table.iloc[:, place].to_numpy())
            rivals = values.groupby(groups.to_numpy()).transform("count") > 1
            top = values.groupby(groups.to_numpy()).transform("min" if name in lowest else "max")
            marks[:, place] = (values == top) & rivals
    return marks
