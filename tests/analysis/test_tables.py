"""Tables to show: what is best is bold, what is special stays readable, in Markdown, LaTeX and HTML."""

import numpy as np
import pandas as pd
import pytest

from updown_lab.analysis.tables import latex, markdown, styled

WRITERS = (markdown, latex, lambda *given, **more: styled(*given, **more).to_html())


def test_less_is_better_where_things_go_wrong():
    table = pd.DataFrame({"hallucination": [0.1, 0.4], "loss": [3.0, 2.0], "CIDEr": [1.0, 5.0]})

    assert "**0.1**" in markdown(table, ["hallucination"]) and "**0.4**" not in markdown(table, ["hallucination"])
    assert "\\textbf{2.0}" in latex(table, ["loss"], lowest=["loss"])
    assert "**5.0**" in markdown(table, ["CIDEr"])


def test_the_best_is_looked_for_within_each_data_set_and_never_across():
    index = pd.MultiIndex.from_tuples(
        [("COCO", "grid"), ("COCO", "regions"), ("drawn", "grid"), ("drawn", "regions"), ("alone", "grid")],
        names=["data", "features"],
    )
    table = pd.DataFrame({"CIDEr": [105.0, 113.0, 190.0, 120.0, 999.0]}, index=index)

    for text, shown in (
        (markdown(table, ["CIDEr"], within="data"), "**{}**".format),
        (latex(table, ["CIDEr"], within="data"), "\\textbf{{{}}}".format),
    ):
        assert [number for number in table["CIDEr"] if shown(number) in text] == [113.0, 190.0]  # 999 beats nobody
    assert styled(table, ["CIDEr"], within="data").to_html().count("font-weight: bold") == 1  # one rule for two cells


def test_an_index_of_several_levels_has_a_column_each():
    index = pd.MultiIndex.from_tuples([("COCO", "a|b")], names=["data", "features"])

    assert markdown(pd.DataFrame({"x|y": [1.0]}, index=index)).splitlines() == [
        "| data | features | x\\|y |", "|---|---|---:|", "| COCO | a\\|b | 1.0 |"]  # fmt: skip
    assert "COCO & a|b & 1.0 \\\\" in latex(pd.DataFrame({"x|y": [1.0]}, index=index))


def test_latex_escapes_whatever_means_something_to_it():
    table = pd.DataFrame({"x~y^z\\": ["<5 %", "a_b"]}, index=["c\\d~e", "{f}"])

    text = latex(table)

    assert r"x\textasciitilde{}y\textasciicircum{}z\textbackslash{}" in text
    assert r"c\textbackslash{}d\textasciitilde{}e & \textless{}5 \% \\" in text
    assert r"\{f\} & a\_b \\" in text


@pytest.mark.parametrize("write", WRITERS)
def test_a_p_value_is_never_zero(write):
    text = write(pd.DataFrame({"mean": [1.0, 2.0], "p": [0.0001, 0.04567], "p_holm": [np.nan, 1.0]}), digits=1)

    assert "0.001" in text and "0.046" in text and "1.000" in text and "0.000" not in text


@pytest.mark.parametrize("write", WRITERS)
def test_a_column_that_is_not_there_cannot_be_best(write):
    with pytest.raises(ValueError, match="no column 'CIDER' to be best in; there are CIDEr"):
        write(pd.DataFrame({"CIDEr": [1.0]}), ["CIDER"])


def test_rows_of_one_name_are_rows_all_the_same():
    table = pd.DataFrame({"n": [1, 2]}, index=["same", "same"])

    assert markdown(table, ["n"]).endswith("| same | 1 |\n| same | **2** |")
    assert "same & \\textbf{2} \\\\" in latex(table, ["n"])
