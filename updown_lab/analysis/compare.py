"""Are two ways of doing it different? Runs become one table: means, seeds, paired differences, corrected p-values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd

from updown_lab.analysis.uncertainty import estimate, holm, permutation_p
from updown_lab.errors import ConfigError, DataInvalid

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

    Items are paired, because a hard picture is hard for everybody, and so are seeds. The intervals count both kinds of
    luck (``uncertainty.estimate``): a difference that other pictures or another training would undo is none. Random
    signs of the items say the same of these trained models alone; Holm's correction pays for asking several times.

    Args:
        runs:     at least two levels, all on the same items.
        factor:   the settings that are meant to differ, by dotted name ("vqa.activation", or "vqa" for all of it).
        baseline: the level that the others are compared with; by default that of the first run.
        seed:     of bootstrap and permutations.

    Returns:
        Indexed by level in the order of the runs: runs, mean, spread (standard deviation over seeds, NaN for one),
        low, high (95 % of the mean), difference, difference_low, difference_high (95 %), p, p_holm, p_items (by
        permutation, these models only), items; what compares with the baseline is NaN in its own row.

    Raises:
        ConfigError: runs differ in other settings too, or within a level; they are listed. Or no run has the setting.
        DataInvalid: no runs, one level only, an unknown baseline, a level with a seed twice, or other items.

    >>> easy = pd.Series([0.5, 0.25, 0.75, 1.0] * 5)
    >>> runs = [Run("grid", 1, {"features": "grid"}, easy), Run("regions", 1, {"features": "regions"}, easy + 0.25)]
    >>> compare(runs, "features")[["mean", "difference", "p_holm"]].round(3).to_dict("index")["regions"]
    {'mean': 0.875, 'difference': 0.25, 'p_holm': 0.0}
    """
    levels = _levels(runs, baseline)
    _refuse_other_differences(runs, levels, (factor,) if isinstance(factor, str) else tuple(factor))
    baseline, first = baseline or runs[0].level, runs[0].scores.index
    scores = {
        level: pd.DataFrame({run.seed: run.scores.reindex(first) for run in own}) for level, own in levels.items()
    }
    groups = runs[0].groups
    rows = []
    for level, table in scores.items():
        mean = estimate(table, groups=groups, seed=seed)
        spread = float(np.std(table.mean(), ddof=1)) if table.shape[1] > 1 else float("nan")
        row = {"level": level, "runs": table.shape[1], "mean": mean.value, "spread": spread, "low": mean.low,
               "high": mean.high, "items": mean.items}  # fmt: skip
        rows.append(row | (_against(table, scores[baseline], groups, seed) if level != baseline else {}))
    order = ["runs", "mean", "spread", "low", "high", "difference", "difference_low", "difference_high", "p"]
    table = pd.DataFrame(rows).set_index("level")
    return table.assign(p_holm=holm(table["p"]))[[*order, "p_holm", "p_items", "items"]]


def _against(table: pd.DataFrame, base: pd.DataFrame, groups: pd.Series | None, seed: int) -> dict[str, float]:
    """What compares a level with the baseline, on the items that both have."""
    found = estimate(table, base, groups, seed)
    apart = (table.mean(axis=1, skipna=False) - base.mean(axis=1, skipna=False)).dropna()
    signs = permutation_p(apart, None if groups is None else groups.loc[apart.index], seed)
    return {"difference": found.value, "difference_low": found.low, "difference_high": found.high, "p": found.p,
            "p_items": signs, "items": found.items}  # fmt: skip


def _levels(runs: Sequence[Run], baseline: str | None) -> dict[str, list[Run]]:
    levels: dict[str, list[Run]] = {}
    for run in runs:
        levels.setdefault(run.level, []).append(run)
        if not run.scores.index.sort_values().equals(runs[0].scores.index.sort_values()):
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


def _refuse_other_differences(runs: Sequence[Run], levels: Mapping[str, list[Run]], factor: Sequence[str]) -> None:
    known = {id(run): flat(run.config) for run in runs}
    names = sorted({name for settings in known.values() for name in settings})
    for part in factor:
        if not any(_is_part(name, part) for name in names):
            near = get_close_matches(part, names, 3, 0.5)
            raise ConfigError(f"no run has a setting {part!r}; near it are {', '.join(near) or ', '.join(names[:9])}")

    def values(name: str, some: Sequence[Run]) -> list[str]:
        return list(dict.fromkeys(repr(known[id(run)].get(name)) for run in some))

    free = (*factor, *ALWAYS_FREE)
    wrong = [f"{name}: {', '.join(values(name, runs))}" for name in names
             if len(values(name, runs)) > 1 and not any(_is_part(name, part) for part in free)]  # fmt: skip
    if wrong:
        raise ConfigError(f"these runs differ in more than {', '.join(factor)}, so the table would not tell what made "
                          "the difference:\n  " + "\n  ".join(wrong))  # fmt: skip
    for level, own in levels.items():
        mixed = [name for name in names if name not in ALWAYS_FREE and len(values(name, own)) > 1]
        if mixed:
            raise ConfigError(f"the runs of {level!r} are not of one kind: {mixed[0]} is "
                              f"{', '.join(values(mixed[0], own))}; give each its own level")  # fmt: skip


def _is_part(name: str, whole: str) -> bool:
    return name == whole or name.startswith(whole + ".")


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
