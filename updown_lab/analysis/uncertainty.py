"""How sure is a mean, or a difference, when both the pictures and the seeds were a matter of chance?"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from updown_lab.metrics.bootstrap import interval, standard_error


class Estimate(NamedTuple):
    """A number and how far chance may have moved it.

    Attributes:
        value:     a mean, or a mean difference, in the unit of the scores.
        low, high: 95 % interval.
        p:         how often chance alone would bring it as far from 0.
        items:     how many items it was measured on.
    """

    value: float
    low: float
    high: float
    p: float
    items: int


def estimate(
    first: pd.DataFrame, second: pd.DataFrame | None = None, groups: pd.Series | None = None, seed: int = 0
) -> Estimate:
    """The mean of a level, or how much better it is than another one, with both kinds of luck in its interval.

    Other pictures would give other scores, and so would another training. The bootstrap over items says how far the
    first goes; the spread over seeds says how far the second does. Both variances are added, and the interval is as
    much wider as few seeds make it:

        e^2 = e_items^2 + s_seeds^2 / S,   low, high = value -+ t_f e,   1/f = sum of (share of e^2)^2 / f_part
                                                                        Welch 1947, Satterthwaite 1946

    What one seed does with one item alone is in both parts, so the interval is a little too wide, never too narrow.
    With one seed nothing is known of other trainings: then it is the bootstrap's over items, p is that of random
    signs, and both speak of these trained models only.

    Args:
        first:  (N, S) score of each item (index) and seed (columns).
        second: the same of the level to subtract; paired by seed where both have the same ones.
        groups: (N,) items of one label are drawn together (the image of each question); None takes each alone.
        seed:   of the bootstrap and the permutations.

    Returns:
        Estimate. Items without a score in one of the runs are left out; ``items`` counts the others.

    Raises:
        ValueError: no item has a score in all runs.

    >>> scores = pd.DataFrame({1: [0.0, 1.0, 0.0, 1.0], 2: [0.5, 1.0, 0.0, 1.0]})
    >>> estimate(scores + 0.25, scores)
    Estimate(value=0.25, low=0.25, high=0.25, p=0.0, items=4)
    """
    both = first if second is None else pd.concat([first, second], axis=1)
    kept = both.notna().all(axis=1).to_numpy()
    if not kept.any():
        raise ValueError(f"none of {len(kept)} items has a score in all of {both.shape[1]} runs: nothing to compare")
    first, second = first[kept], None if second is None else second[kept]
    groups = None if groups is None else groups[kept]
    items = first.mean(axis=1) - (0.0 if second is None else second.mean(axis=1))
    trainings = _by_seed(first, second)
    if min(map(len, trainings)) < 2 or _count(items, groups) < 2:
        middle = interval(items, seed=seed, groups=groups)
        return Estimate(*middle, permutation_p(items, groups, seed), len(items))
    parts = [(standard_error(items, seed=seed, groups=groups) ** 2, _count(items, groups) - 1)]
    parts += [(float(np.var(means, ddof=1)) / len(means), len(means) - 1) for means in trainings]
    return Estimate(*_student(float(items.mean()), parts), len(items))


def _by_seed(first: pd.DataFrame, second: pd.DataFrame | None) -> list[np.ndarray]:
    """Means of each training: differences where the seeds are the same, else one row a level."""
    if second is None:
        return [first.mean().to_numpy()]
    if set(first.columns) == set(second.columns):
        return [(first.mean() - second.mean()[first.columns]).to_numpy()]
    return [first.mean().to_numpy(), second.mean().to_numpy()]


def _count(items: pd.Series, groups: pd.Series | None) -> int:
    return len(items) if groups is None else groups.nunique()


def _student(value: float, parts: list[tuple[float, int]]) -> tuple[float, float, float, float]:
    """Ends and p of a value whose variance has several parts, each known from so many degrees of freedom."""
    variance = sum(part for part, _ in parts)
    if variance < 1e-24 * max(1.0, value**2):  # nothing ever moved it
        return value, value, value, float(value == 0)
    freedom = variance**2 / sum(part**2 / max(1, known) for part, known in parts)
    error = variance**0.5
    reach = float(stats.t.ppf(0.975, freedom)) * error
    return value, value - reach, value + reach, float(2 * stats.t.sf(abs(value) / error, freedom))


def permutation_p(differences: pd.Series, groups: pd.Series | None = None, seed: int = 0, times: int = 9999) -> float:
    """How often random signs give a mean at least as far from 0 as the one that was found.

    Args:
        differences: (N,) of paired items.
        groups:      items of one label change sign together.
        seed, times: of the permutations; with few groups all are tried.

    >>> permutation_p(pd.Series([1.0, 1.0, 1.0])), permutation_p(pd.Series([1.0, -1.0]))   # 2 of 8 ways; all 4
    (0.25, 1.0)
    """
    labels = differences.index if groups is None else groups.to_numpy()
    sums = differences.groupby(labels, sort=False).sum().to_numpy()
    if not np.any(sums):
        return 1.0
    found = stats.permutation_test(
        (sums,), lambda x, axis: np.abs(x.sum(axis)), permutation_type="samples", n_resamples=times, vectorized=True,
        alternative="greater", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.pvalue)


def holm(p: pd.Series) -> pd.Series:
    """p-values corrected for how many there are: the smallest times n, the next times n - 1, never falling; Holm 1979.

    >>> holm(pd.Series([0.01, float("nan"), 0.04, 0.03])).round(3).tolist()
    [0.03, nan, 0.06, 0.06]
    """
    real = p.dropna().sort_values()
    corrected = (real * np.arange(len(real), 0, -1)).cummax().clip(upper=1.0)
    return corrected.reindex(p.index)
