"""Both kinds of luck are in an interval: other pictures, and another training."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from updown_lab.analysis.uncertainty import estimate


def level(random, items, seeds, mean=0.0, spread=0.0, noise=0.1):
    """(N, S) scores: what an item is worth, what luck each training had, and noise."""
    luck = random.normal(0.0, spread, len(seeds)) if spread else np.zeros(len(seeds))
    scores = items[:, None] + mean + luck[None] + random.normal(0.0, noise, (len(items), len(seeds)))
    return pd.DataFrame(scores, columns=list(seeds))


def test_two_levels_that_only_luck_tells_apart_are_not_told_apart():
    random, fooled = np.random.default_rng(0), 0
    for _ in range(60):
        items = random.normal(size=300)
        first, second = (level(random, items, range(5), spread=2.0) for _ in range(2))
        found = estimate(first, second)
        fooled += not found.low <= 0 <= found.high

    assert fooled <= 8  # 5 % of 60 are 3, and more than 8 happens once in 250 times; over items alone it is 59


def test_with_many_items_and_few_seeds_it_is_the_t_test_over_seeds():
    random = np.random.default_rng(1)
    items = random.normal(size=20_000)
    first, second = level(random, items, range(4), 1.0, spread=1.0), level(random, items, range(4), spread=1.0)
    apart = (first.mean() - second.mean()).to_numpy()

    found = estimate(first, second)

    theirs = stats.ttest_1samp(apart, 0.0)
    assert found.p == pytest.approx(theirs.pvalue, rel=0.01)
    low, high = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_without_luck_of_seeds_it_is_the_bootstrap_over_items():
    random = np.random.default_rng(2)
    one = pd.Series(random.normal(0.3, 1.0, 400))
    same = pd.DataFrame({1: one, 2: one, 3: one})

    found = estimate(same)

    error = one.std(ddof=0) / 400**0.5
    assert (found.low, found.high) == pytest.approx((one.mean() - 1.96 * error, one.mean() + 1.96 * error), abs=0.01)


def test_other_seeds_are_compared_as_two_groups():
    random = np.random.default_rng(3)
    items = random.normal(size=20_000)
    first, second = level(random, items, (1, 2, 3), 1.0, 1.0), level(random, items, (4, 5, 6, 7), 0.0, 0.5)

    found = estimate(first, second)

    theirs = stats.ttest_ind(first.mean(), second.mean(), equal_var=False)  # Welch
    assert found.p == pytest.approx(theirs.pvalue, rel=0.02)


def test_seeds_are_paired_by_their_number_and_not_by_their_place():
    items = np.linspace(0.0, 1.0, 50)
    first = pd.DataFrame({1: items + 5, 2: items, 3: items - 5})
    second = first[[3, 1, 2]] - 1.0

    found = estimate(first, second)

    assert found[:4] == pytest.approx((1.0, 1.0, 1.0, 0.0))  # each seed is exactly 1 better


def test_questions_of_one_image_are_one_piece_of_evidence():
    random = np.random.default_rng(4)
    once = level(random, random.normal(size=60), (1, 2), spread=0.01)
    copied = pd.DataFrame(np.repeat(once.to_numpy(), 5, axis=0), columns=once.columns)

    alone, together = estimate(once), estimate(copied, groups=pd.Series(np.repeat(np.arange(60), 5)))

    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), abs=1e-9)


def test_one_seed_speaks_of_these_models_only():
    scores = pd.DataFrame({1: [1.0, 2.0, 3.0, 6.0]})

    found = estimate(scores, scores - 1.0)

    assert found[:3] == (1.0, 1.0, 1.0) and found.p == 0.125  # two of 16 ways to sign four items


def test_nothing_in_common_is_refused():
    scores = pd.DataFrame({1: [1.0, np.nan], 2: [np.nan, 1.0]})

    with pytest.raises(ValueError, match="none of 2 items"):
        estimate(scores)
