"""Tables to show: bold where it is best, ready for a notebook, a paper or a README."""

from collections.abc import Sequence

import pandas as pd
from pandas.io.formats.style import Styler

NOTHING = "\N{EN DASH}"


def styled(table: pd.DataFrame, best: Sequence[str], digits: int = 1) -> Styler:
    """For notebooks: the best of these columns in bold.

    >>> "font-weight: bold" in styled(pd.DataFrame({"CIDEr": [1.0, 2.0]}), ["CIDEr"]).to_html()
    True
    """
    return table.style.format(precision=digits, na_rep=NOTHING, escape="html").highlight_max(
        subset=list(best), props="font-weight: bold"
    )


def latex(table: pd.DataFrame, best: Sequence[str], digits: int = 1) -> str:
    """For papers: a tabular with rules, the best of these columns in bold.

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
    safe = str.maketrans({mark: f"\\{mark}" for mark in "&%$#_{}"})
    named = table.rename(columns=lambda name: str(name).translate(safe), index=lambda name: str(name).translate(safe))
    shown = named.style.format(precision=digits, na_rep="--", escape="latex").highlight_max(
        subset=[name.translate(safe) for name in best], props="textbf:--rwrap;"
    )
    return shown.to_latex(hrules=True)


def markdown(table: pd.DataFrame, best: Sequence[str] = (), digits: int = 1) -> str:
    """For READMEs: numbers to the right, the best of these columns in bold.

    >>> print(markdown(pd.DataFrame({"CIDEr": [1.0, 2.0]}, index=["grid", "a|b"]), ["CIDEr"]))
    | | CIDEr |
    |---|---:|
    | grid | 1.0 |
    | a\\|b | **2.0** |
    """
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    rows = [f"| {table.index.name or ''} | ".replace("|  |", "| |") + " | ".join(map(str, table.columns)) + " |",
            "|---|" + "|".join("---:" if number else "---" for number in numeric) + "|"]  # fmt: skip
    for label, row in zip(table.index, table.itertuples(index=False), strict=True):
        cells = []
        for name, value in zip(table.columns, row, strict=True):
            text = _cell(value, digits)
            cells.append(f"**{text}**" if name in best and value == table[name].max() else text)
        rows.append("| " + " | ".join([str(label).replace("|", "\\|"), *cells]) + " |")
    return "\n".join(rows)


def _cell(value, digits: int) -> str:
    if pd.isna(value):
        return NOTHING
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value).replace("|", "\\|")
