"""Bootstrap intervals: known spread, pairing, clusters."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from updown_lab.metrics.bootstrap import interval, paired_difference


def test_the_interval_of_a_mean_is_two_standard_errors_each_way():
    values = np.random.default_rng(0).normal(size=1000)

    mean, low, high = interval(values)

    error = values.std() / 1000**0.5
    assert mean == values.mean()
    assert low == pytest.approx(mean - 1.96 * error, abs=0.15 * error)  # the normal quantile; 2000 resamples wobble
    assert high == pytest.approx(mean + 1.96 * error, abs=0.15 * error)


def test_it_agrees_with_scipy():
    values = np.random.default_rng(1).exponential(size=60)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval

    _, low, high = interval(values, resamples=20_000)

    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_five_copies_of_an_image_are_no_new_evidence():
    values = np.random.default_rng(2).normal(size=200)
    groups = np.repeat(np.arange(200), 5)

    once = interval(values)
    copied = interval(np.repeat(values, 5), groups=groups)
    fooled = interval(np.repeat(values, 5))

    assert copied[1:] == pytest.approx(once[1:], abs=1e-12)  # the same draws of the same images
    assert fooled.high - fooled.low < 0.6 * (once.high - once.low)  # too narrow by about sqrt 5


def test_groups_of_different_sizes_keep_the_plain_mean():
    scores = interval([1.0, 1.0, 1.0, 0.0], groups=["a", "a", "a", "b"])

    assert scores.mean == 0.75
    assert (scores.low, scores.high) == (0.0, 1.0)  # two images: both draws may be "a", or both "b"


def test_pairing_removes_what_both_share():
    random = np.random.default_rng(3)
    hard = random.normal(size=300) * 10
    first, second = hard + 0.2 + random.normal(size=300) * 0.1, hard

    difference, low, high = paired_difference(first, second)

    assert 0.15 < low < difference < high < 0.25
    assert paired_difference(second, first)[0] == pytest.approx(-difference)


def test_the_seed_decides_and_nothing_else(monkeypatch):
    values = np.random.default_rng(4).random(50)
    first = interval(values, seed=5)
    np.random.seed(0)

    assert interval(values, seed=5) == first
    assert interval(values, seed=6) != first
    monkeypatch.setattr("updown_lab.metrics.bootstrap._CELLS", 130)  # two resamples at a time
    assert interval(values, seed=5) == first


def test_series_that_are_not_aligned_are_refused():
    first = pd.Series([1.0, 2.0], index=[10, 20])

    with pytest.raises(ValueError, match="align them"):
        paired_difference(first, first.iloc[::-1])
    assert paired_difference(first, first).mean == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "finite"),
        ({"values": [1.0, float("nan")]}, "1 not finite"),
        ({"values": [1.0], "confidence": 95}, "0.95"),
        ({"values": [1.0, 2.0], "groups": [1]}, "groups"),
    ],
)
def test_impossible_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        interval(**arguments)
    with pytest.raises(ValueError, match="same items"):
        paired_difference([1.0, 2.0], [1.0])
