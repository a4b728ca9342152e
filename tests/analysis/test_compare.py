"""Comparing runs: refuses what would mislead, and counts what is left by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from updown_lab.analysis.compare import Run, compare
from updown_lab.analysis.paper import TABLES, beside, published
from updown_lab.analysis.tables import latex, markdown, styled
from updown_lab.analysis.uncertainty import holm, permutation_p
from updown_lab.config import override, preset
from updown_lab.errors import ConfigError, DataInvalid

TINY = preset("tiny")


def run(level, seed, scores, config=None):
    return Run(level, seed, config or {"features": level}, pd.Series(scores, dtype=float))


def test_means_and_spread_by_hand():
    table = compare([run("grid", 1, [0, 0]), run("grid", 2, [1, 1]), run("regions", 1, [1, 3])], "features")

    assert table["mean"].to_dict() == {"grid": 0.5, "regions": 2.0}
    assert table.loc["grid", "spread"] == pytest.approx(0.5**0.5)  # of 0 and 1, with n - 1
    assert np.isnan(table.loc["regions", "spread"]) and table.loc["regions", "difference"] == 1.5
    assert table.loc["grid", ["difference", "p", "p_holm"]].isna().all()


def test_the_permutation_test_counts_all_signs_where_it_can():
    differences = [0.3, -0.1, 0.5, 0.2]
    found = abs(sum(differences))
    signed = [abs(sum(s * d for s, d in zip(signs, differences))) for signs in product((1, -1), repeat=4)]
    expected = sum(value >= found - 1e-12 for value in signed) / 16

    assert permutation_p(pd.Series(differences)) == pytest.approx(expected)


def test_questions_about_one_image_change_sign_together():
    differences, images = pd.Series([1.0, 1.0, 1.0, 1.0]), pd.Series([7, 7, 8, 8])

    assert permutation_p(differences, images) == 0.5  # two images: 2 of 4 ways; alone it would be 2 of 16
    assert permutation_p(differences) == 0.125


def test_two_equal_levels_are_not_told_apart():
    table = compare([run("a", 1, [1, 2, 3]), run("b", 1, [1, 2, 3])], "features")

    assert (
        table.loc["b", ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]
        and table.loc["b", "p"] == 1.0
    )


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm(pd.Series([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm(pd.Series([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_runs_that_differ_in_something_else_are_refused_with_its_name():
    other = override(TINY, **{"vqa.activation": "relu", "vqa.dropout": 0.1})
    runs = [run("gated", 1, [1, 2], TINY), run("relu", 1, [2, 3], other)]

    with pytest.raises(ConfigError, match=r"vqa\.dropout: .*0\.1"):
        compare(runs, "vqa.activation")
    assert compare(runs, ["vqa.activation", "vqa.dropout"]).loc["relu", "difference"] == 1.0
    assert compare(runs, "vqa").loc["relu", "difference"] == 1.0


def test_seeds_may_differ_without_saying_so():
    runs = [run("a", 1, [1, 2], override(TINY, seed=1)), run("b", 2, [2, 3], override(TINY, seed=2))]

    assert len(compare(runs, "vqa.activation")) == 2


def test_a_factor_that_no_run_has_is_refused_with_those_near_it():
    with pytest.raises(ConfigError, match=r"'vqa\.activatoin'; near it are vqa\.activation"):
        compare([run("a", 1, [1, 2], TINY), run("b", 1, [1, 2], TINY)], "vqa.activatoin")


def test_a_level_is_of_one_kind():
    relu = override(TINY, **{"vqa.activation": "relu"})
    runs = [run("a", 1, [1, 2], TINY), run("a", 2, [1, 2], relu), run("b", 1, [1, 2], TINY)]

    with pytest.raises(ConfigError, match=r"'a' are not of one kind: vqa\.activation is 'gated_tanh', 'relu'"):
        compare(runs, "vqa.activation")


def test_the_same_items_in_another_order_are_the_same_items():
    straight, turned = pd.Series([1.0, 2.0, 3.0], index=[7, 8, 9]), pd.Series([4.0, 3.0, 2.0], index=[9, 8, 7])
    runs = [Run("a", 1, {"features": "a"}, straight), Run("b", 1, {"features": "b"}, turned)]

    found = compare(runs, "features").loc["b"]

    assert (found["difference"], found["difference_low"], found["difference_high"]) == (1.0, 1.0, 1.0)  # each 1 more


def test_items_without_a_score_are_left_out_and_counted():
    runs = [run("a", 1, [1, 2, np.nan, 4]), run("b", 1, [2, np.nan, 4, 6])]

    table = compare(runs, "features")

    assert table.loc["b", ["difference", "items"]].tolist() == [1.5, 2]  # items 1 and 4: (1 + 2) / 2
    assert table["mean"].to_dict() == pytest.approx({"a": 7 / 3, "b": 4.0}) and table.loc["a", "items"] == 3


def test_bars_of_a_comparison_have_whiskers_around_their_own_means():
    table = compare([run("a", 1, [1, 2, 3]), run("b", 1, [2, 4, 6])], "features")

    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()


@pytest.mark.parametrize(
    ("runs", "baseline", "message"),
    [
        ([run("a", 1, [1, 2])], None, "two levels"),
        ([run("a", 1, [1, 2]), run("b", 1, [1, 2, 3])], None, "other items"),
        ([run("a", 1, [1]), run("a", 1, [1]), run("b", 1, [1])], None, "a seed twice"),
        ([run("a", 1, [1]), run("b", 1, [1])], "c", "there are a, b"),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, baseline, message):
    with pytest.raises(DataInvalid, match=message):
        compare(runs, "features", baseline)


def test_tables_are_exported_with_the_best_in_bold_and_nothing_read_as_code():
    table = pd.DataFrame({"CIDEr": [1.0, float("nan"), 3.0]}, index=["<img src=x>", "b", "c"])

    assert "**3.0**" in markdown(table, ["CIDEr"]) and "–" in markdown(table, ["CIDEr"])
    assert "\\textbf{3.0}" in latex(table, ["CIDEr"])
    assert "&lt;img" in styled(table, ["CIDEr"]).format_index(escape="html").to_html()


@pytest.mark.parametrize("name", TABLES)
def test_each_published_table_says_where_it_is_from(name):
    table = published(name)

    assert table["source"].str.match("(README|remembered)").all() and "2018" in table.attrs["title"]
    assert not table.select_dtypes("number").isna().all(axis=None)


def test_ours_never_stands_in_the_papers_rows():
    ours = pd.DataFrame({"features": ["regions"], "objective": ["scst"], "CIDEr": [189.3], "unknown": [1]})

    table = beside("table1", ours, "Picturebook (drawn)")

    assert table.loc[("COCO (photos)", "Up-Down", "scst"), "CIDEr"] == 120.1
    assert table.loc[("Picturebook (drawn)", "regions", "scst"), "CIDEr"] == 189.3
    assert np.isnan(table.loc[("Picturebook (drawn)", "regions", "scst"), "SPICE"]) and "unknown" not in table
    with pytest.raises(ValueError, match="measured on"):
        beside("table1", ours, " ")
    with pytest.raises(ValueError, match="none of them"):
        beside("table4", ours, "Picturebook")
