"""Are two ways of doing it different? Runs become one table: means, seeds, paired differences, corrected p-values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass

import numpy as np
import pandas as pd
from scipy import stats

from updown_lab.errors import ConfigError, DataInvalid
from updown_lab.metrics.bootstrap import paired_difference

ALWAYS_FREE = ("seed", "name")  # two runs may differ in these without anybody saying so


@dataclass(frozen=True)
class Run:
    """The scores of one run, item by item.

    Attributes:
        level:  what the row is called, for instance "regions" or "grid 7 x 7".
        seed:   of the run.
        config: its settings: a ``Config``, or nested dictionaries.
        scores: (N,) score of each test item, indexed by the item.
        groups: (N,) items of one label are drawn together (the image of each question); None takes each alone.
    """

    level: str
    seed: int
    config: object
    scores: pd.Series
    groups: pd.Series | None = None


def compare(
    runs: Sequence[Run], factor: str | Sequence[str], baseline: str | None = None, seed: int = 0
) -> pd.DataFrame:
    """One row a level: its mean, how far seeds move it, and how surely it differs from the baseline.

    Scores of an item are averaged over a level's seeds first. Then items are paired, because a hard picture is hard for
    everybody: a bootstrap says how large the difference may be, a permutation of signs how often chance alone makes one
    as large, and Holm's correction pays for asking several times (Holm 1979).

    Args:
        runs:     at least two levels, all on the same items.
        factor:   the settings that are meant to differ, by dotted name ("vqa.activation", or "vqa" for all of it).
        baseline: the level that the others are compared with; by default that of the first run.
        seed:     of bootstrap and permutations.

    Returns:
        Indexed by level in the order of the runs: runs, mean, spread (standard deviation over seeds, NaN for one),
        difference, low, high (95 %), p, p_holm; the baseline's last five are NaN.

    Raises:
        ConfigError: runs differ in other settings too; they are listed.
        DataInvalid: no runs, one level only, an unknown baseline, a level with a seed twice, or other items.

    >>> easy = pd.Series([0.5, 0.25, 0.75, 1.0] * 5)
    >>> runs = [Run("grid", 1, {"features": "grid"}, easy), Run("regions", 1, {"features": "regions"}, easy + 0.25)]
    >>> compare(runs, "features")[["mean", "difference", "p_holm"]].round(3).to_dict("index")["regions"]
    {'mean': 0.875, 'difference': 0.25, 'p_holm': 0.0}
    """
    levels = _levels(runs, baseline)
    _refuse_other_differences(runs, (factor,) if isinstance(factor, str) else tuple(factor))
    baseline = baseline or runs[0].level
    items = {level: pd.concat([run.scores for run in own], axis=1).mean(axis=1) for level, own in levels.items()}
    groups, rows = runs[0].groups, []
    for level, own in levels.items():
        means = [run.scores.mean() for run in own]
        spread = float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")
        row = {"level": level, "runs": len(own), "mean": float(np.mean(means)), "spread": spread}
        if level != baseline:
            difference = paired_difference(items[level], items[baseline], seed=seed, groups=groups)
            chance = permutation_p(items[level] - items[baseline], groups, seed)
            row |= {"difference": difference.mean, "low": difference.low, "high": difference.high, "p": chance}
        rows.append(row)
    table = pd.DataFrame(rows).set_index("level")
    return table.assign(p_holm=holm(table["p"]))


def permutation_p(differences: pd.Series, groups: pd.Series | None = None, seed: int = 0, times: int = 9999) -> float:
    """How often random signs give a mean at least as far from 0 as the one that was found.

    Args:
        differences: (N,) of paired items.
        groups:      items of one label change sign together.
        seed, times: of the permutations; with few groups all are tried.

    >>> permutation_p(pd.Series([1.0, 1.0, 1.0])), permutation_p(pd.Series([1.0, -1.0]))   # 2 of 8 ways; all 4
    (0.25, 1.0)
    """
    sums = (
        differences.groupby((differences.index if groups is None else groups.to_numpy()), sort=False).sum().to_numpy()
    )
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


def _levels(runs: Sequence[Run], baseline: str | None) -> dict[str, list[Run]]:
    levels: dict[str, list[Run]] = {}
    for run in runs:
        levels.setdefault(run.level, []).append(run)
        if not run.scores.index.equals(runs[0].scores.index):
            raise DataInvalid(f"{run.level} (seed {run.seed}) was scored on other items than {runs[0].level}: "
                              f"{len(run.scores)} and {len(runs[0].scores)}; score both on the same split")  # fmt: skip
    twice = [level for level, own in levels.items() if len({run.seed for run in own}) < len(own)]
    if twice:
        raise DataInvalid(f"{twice[0]} has a seed twice: {sorted(run.seed for run in levels[twice[0]])}; the same run "
                          "counted twice looks surer than it is")  # fmt: skip
    if len(levels) < 2:
        raise DataInvalid(f"comparing takes two levels or more, got {', '.join(levels) or 'none'}")
    if baseline is not None and baseline not in levels:
        raise DataInvalid(f"no level {baseline!r} to compare with; there are {', '.join(levels)}")
    return levels


def _refuse_other_differences(runs: Sequence[Run], factor: Sequence[str]) -> None:
    known = [flat(run.config) for run in runs]
    free = (*factor, *ALWAYS_FREE)
    wrong = []
    for name in sorted({name for settings in known for name in settings}):
        seen = list(dict.fromkeys(repr(settings.get(name)) for settings in known))
        if len(seen) > 1 and not any(name == part or name.startswith(part + ".") for part in free):
            wrong.append(f"{name}: {', '.join(seen)}")
    if wrong:
        raise ConfigError(f"these runs differ in more than {', '.join(factor)}, so the table would not tell what made "
                          "the difference:\n  " + "\n  ".join(wrong))  # fmt: skip


def flat(config: object, before: str = "") -> dict[str, object]:
    """Nested settings by dotted name.

    >>> flat({"vqa": {"hidden": 4}, "seed": 1})
    {'vqa.hidden': 4, 'seed': 1}
    """
    table = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config
    found: dict[str, object] = {}
    for name, value in table.items() if isinstance(table, Mapping) else ():
        nested = isinstance(value, Mapping) or is_dataclass(value)
        found |= flat(value, f"{before}{name}.") if nested else {f"{before}{name}": value}
    return found
