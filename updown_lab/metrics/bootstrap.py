"""How sure is a mean: resample the items and look at how far it moves."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

_CELLS = 4_000_000  # numbers drawn at once: 32 MB


class Interval(NamedTuple):
    """A mean (or a mean difference) and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def interval(values, confidence: float = 0.95, seed: int = 0, resamples: int = 2000, groups=None) -> Interval:
    """The mean of per-item scores with its bootstrap interval.

    Had we drawn other images, the mean would be another. Drawing again from
    the images we have, with replacement, shows how much another.

        [q_low, q_high] of mean(resampled values)       percentile bootstrap, Efron 1979; drawn by scipy.stats

    Args:
        values: (N,) score of each item.
        confidence: share of resampled means between the two ends.
        seed: the same seed gives the same interval.
        resamples: how many times to draw.
        groups: (N,) label of each item, for instance image ids; items of one label are drawn together. Five
            questions about one image are no five independent pieces of evidence: without groups the interval is too
            narrow.

    Returns:
        Interval(mean, low, high) in the unit of ``values``; one group alone has no interval, its ends are NaN.

    Raises:
        ValueError: no values, a value that is not finite, groups of another length, or an impossible confidence.

    >>> interval([0.0, 1.0, 1.0, 1.0], seed=1)
    Interval(mean=0.75, low=0.25, high=1.0)
    """
    drawn = _drawn(values, confidence, seed, resamples, groups)
    ends = drawn.confidence_interval if drawn else (float("nan"), float("nan"))
    return Interval(float(np.mean(values)), *map(float, ends))


def standard_error(values, seed: int = 0, resamples: int = 2000, groups=None) -> float:
    """The bootstrap's standard error of the mean: how far drawing other items moves it.

    Args:
        values, seed, resamples, groups: as in ``interval``.

    Returns:
        in the unit of ``values``; NaN for one group alone.

    >>> bool(abs(standard_error(np.arange(100.0)) - np.arange(100.0).std() / 10) < 0.1)
    True
    """
    drawn = _drawn(values, 0.95, seed, resamples, groups)
    return float(drawn.standard_error) if drawn else float("nan")


def _drawn(values, confidence: float, seed: int, resamples: int, groups):
    """scipy's bootstrap of the mean, whole groups at a time; None if there is one group only."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values must be a row of finite numbers, got shape {values.shape} with "
                         f"{np.count_nonzero(~np.isfinite(values))} not finite; drop or fill those first")  # fmt: skip
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, for instance 0.95; got {confidence}")
    groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    if groups.shape != values.shape:
        raise ValueError(f"groups must name one label a value: {values.shape}, got {groups.shape}")
    member = np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(member, values), np.bincount(member)
    if len(sums) < 2:
        return None
    return stats.bootstrap(
        (np.arange(len(sums)),), lambda rows, axis: sums[rows].sum(axis) / counts[rows].sum(axis), method="percentile",
        confidence_level=confidence, n_resamples=resamples, batch=max(1, _CELLS // len(sums)), vectorized=True,
        rng=np.random.default_rng(seed),
    )  # fmt: skip


def paired_difference(
    first, second, confidence: float = 0.95, seed: int = 0, resamples: int = 2000, groups=None
) -> Interval:
    """By how much the first is better than the second on the same items, with its interval.

    Hard images are hard for both models; subtracting item by item takes that
    out, so the interval is narrower than two separate ones suggest.

    Args:
        first, second: (N,) scores of the same items in the same order. Two pandas Series must have the same index.
        confidence, seed, resamples, groups: as in ``interval``.

    Returns:
        Interval(mean of first - second, low, high); if 0 lies between the ends, the data do not tell them apart.

    Raises:
        ValueError: lengths or indices differ, or as in ``interval``.

    >>> paired_difference([0.5, 0.75, 1.0], [0.25, 0.5, 0.75])
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    both_labelled = isinstance(first, pd.Series) and isinstance(second, pd.Series)
    if both_labelled and not first.index.equals(second.index):
        raise ValueError("the two Series have different indices; align them first: second = second[first.index]")
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a paired difference needs the same items, got {first.shape} and {second.shape} scores")
    return interval(first - second, confidence, seed, resamples, groups)
