"""A4, the design of an ablation: what makes a comparison worth running, checked before anything is run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from updown_lab.analysis.compare import flat
from updown_lab.config import override, preset
from updown_lab.coursework.hints import Hint, call
from updown_lab.errors import ConfigError

LEAST_SEEDS = 3
SPLITS = ("training", "validation", "test")
VERDICTS = ("two things changed", "chosen on the test split", "one seed", "not the same items", "nothing is wrong")


@dataclass(frozen=True)
class PlannedRun:
    """One training run that you would start.

    Attributes:
        level:   which side of the comparison it belongs to, for instance "soft".
        seed:    its number.
        changes: settings that differ from the tiny preset, by dotted name.
    """

    level: str
    seed: int
    changes: Mapping[str, object]


@dataclass(frozen=True)
class Plan:
    """An ablation on paper.

    Attributes:
        question:  what you want to know, in one sentence that ends with a question mark.
        factor:    the one setting that answers it, by dotted name.
        baseline:  the level that the others are compared with.
        runs:      all of them.
        choose_on: the split that decides about checkpoints and settings.
        report_on: the split whose figures you will print.

    >>> run = PlannedRun("none", 1, {"captioner.attention": "none"})
    >>> Plan("Does looking help?", "captioner.attention", "none", [run], "validation", "test").levels
    ['none']
    """

    question: str
    factor: str
    baseline: str
    runs: Sequence[PlannedRun]
    choose_on: str
    report_on: str

    @property
    def levels(self) -> list[str]:
        """Every level once, in the order of the runs."""
        return list(dict.fromkeys(run.level for run in self.runs))


def check_one_factor(function: Callable[[], Plan]) -> None:
    """Try ``my_plan() -> Plan``: does exactly one thing change between its levels?

    Raises:
        Hint: it is not right yet.

    >>> check_one_factor(_example)
    my_plan: one thing changes (captioner.attention), in 2 levels.
    """
    plan = _plan(function)
    if len(plan.levels) < 2:
        raise Hint(f"my_plan: comparing takes two levels or more, and there is {plan.levels or 'none'}")
    if plan.baseline not in plan.levels:
        raise Hint(f"my_plan: the baseline {plan.baseline!r} is none of the levels, {plan.levels}")
    if not plan.question.strip().endswith("?"):
        raise Hint("my_plan: what do you want to know? `question` is a sentence that ends with a question mark")
    settings = [_settings(run) for run in plan.runs]
    if plan.factor not in settings[0] or plan.factor in ("seed", "name"):
        raise Hint(f"my_plan: the factor {plan.factor!r} is no setting that can answer a question; one is named as in "
                   "`changes`, for instance captioner.attention")  # fmt: skip
    values = {level: {repr(own[plan.factor]) for run, own in zip(plan.runs, settings) if run.level == level}
              for level in plan.levels}  # fmt: skip
    moved = [level for level, seen in values.items() if len(seen) > 1]
    if moved:
        raise Hint(f"my_plan: within the level {moved[0]!r} the factor has several values: {sorted(values[moved[0]])}")
    if len(set.union(*values.values())) < len(values):
        raise Hint(f"my_plan: two levels have the same {plan.factor}, so they are the same thing twice: {values}")
    also = sorted(name for name in settings[0] if name not in (plan.factor, "seed", "name")
                  and len({repr(own[name]) for own in settings}) > 1)  # fmt: skip
    if also:
        raise Hint(
            f"my_plan: {', '.join(also)} changes too. If the levels come out different, which of the two was it?"
        )
    print(f"my_plan: one thing changes ({plan.factor}), in {len(plan.levels)} levels.")


def check_seeds(function: Callable[[], Plan]) -> None:
    """Try ``my_plan() -> Plan``: can luck be told from the factor?

    Raises:
        Hint: it is not right yet.

    >>> check_seeds(_example)
    my_plan: 3 seeds, the same for every level.
    """
    plan = _plan(function)
    seeds = {level: [run.seed for run in plan.runs if run.level == level] for level in plan.levels}
    for level, own in seeds.items():
        if len(set(own)) < len(own):
            raise Hint(f"my_plan: {level!r} has a seed twice, {own}: the same run counted twice looks surer than it is")
        if len(own) < LEAST_SEEDS:
            raise Hint(f"my_plan: {level!r} has {len(own)} seed(s). How far do two runs lie apart that differ in "
                       f"nothing but luck? To see that, plan at least {LEAST_SEEDS}")  # fmt: skip
    if len({frozenset(own) for own in seeds.values()}) > 1:
        raise Hint(f"my_plan: the levels have different seeds, {seeds}. With the same ones the data comes in the same "
                   "order for both, and one source of chance is gone")  # fmt: skip
    print(f"my_plan: {len(next(iter(seeds.values())))} seeds, the same for every level.")


def check_splits(function: Callable[[], Plan]) -> None:
    """Try ``my_plan() -> Plan``: is the figure that you print measured on pictures that decided nothing?

    Raises:
        Hint: it is not right yet.

    >>> check_splits(_example)
    my_plan: chosen on validation, reported on test.
    """
    plan = _plan(function)
    for name in ("choose_on", "report_on"):
        if getattr(plan, name) not in SPLITS:
            raise Hint(f"my_plan: {name} is one of {', '.join(SPLITS)}; got {getattr(plan, name)!r}")
    if plan.choose_on == plan.report_on:
        raise Hint(f"my_plan: {plan.report_on} decides and is reported. The best of many checkpoints is partly the "
                   "luckiest; on the pictures that chose it, luck looks like skill")  # fmt: skip
    if plan.choose_on != "validation":
        raise Hint(f"my_plan: {plan.choose_on} decides which checkpoint is kept. Which split is there for decisions?")
    if plan.report_on != "test":
        raise Hint(f"my_plan: {plan.report_on} is reported, but the model has learned from it")
    print("my_plan: chosen on validation, reported on test.")


def check_paired_interval(function: Callable[..., tuple[float, float, float]]) -> None:
    """Try ``paired_interval(ours (N,), theirs (N,), draw) -> (mean, low, high)`` of the difference, 95 %.

        resample the items, with replacement, the same for both; 2.5 % and 97.5 % of the mean differences

    Raises:
        Hint: it is not right yet.

    >>> from updown_lab.metrics.bootstrap import paired_difference
    >>> check_paired_interval(lambda ours, theirs, draw: paired_difference(ours, theirs, seed=int(draw.integers(99))))
    paired_interval: right (always a quarter better, hard and easy pictures, the same draw twice).
    """
    name, case = "paired_interval", "always a quarter better"
    hard = np.random.default_rng(0).normal(1.0, 0.4, 200)
    mean, low, high = _interval(function, case, hard + 0.25, hard)
    if not math.isclose(mean, 0.25, abs_tol=1e-9):
        hint = "theirs - ours; exchange them" if math.isclose(mean, -0.25, abs_tol=1e-9) else "not the mean difference"
        raise Hint(f"{name}, {case}: the mean is {mean:.4f}, which is {hint}")
    if high - low > 1e-6:
        raise Hint(f"{name}, {case}: every picture gains exactly 0.25, so whichever are drawn, the mean is 0.25, but "
                   f"yours goes from {low:.3f} to {high:.3f}. Draw pictures once, for both models")  # fmt: skip
    case = "hard and easy pictures"
    ours = hard + np.random.default_rng(1).normal(0.02, 0.1, 200)
    mean, low, high = _interval(function, case, ours, hard)
    wanted, single = 3.92 * (ours - hard).std() / math.sqrt(200), 3.92 * (ours - hard).std()
    if not 0.8 * wanted < high - low < 1.2 * wanted:
        hint = ("that is how far single pictures lie apart; the mean of as many pictures as there are moves much less"
                if high - low > 0.7 * single else "95 % of the resampled means lie between the 2.5 % and the 97.5 % "
                "quantile, and each resample has as many pictures as there are")  # fmt: skip
        raise Hint(f"{name}, {case}: from {low:.3f} to {high:.3f} is {high - low:.3f} wide, it should be about "
                   f"{wanted:.3f}: {hint}")  # fmt: skip
    if (mean, low, high) != _interval(function, case, ours, hard):
        raise Hint(f"{name}: the same numbers and the same `draw` gave another interval; take all chance from `draw`")
    print(f"{name}: right (always a quarter better, hard and easy pictures, the same draw twice).")


def check_verdicts(function: Callable[[], Mapping[int, str]]) -> None:
    """Is ``my_verdicts()`` well formed: a known verdict for each of the four reports? Whether it is right is not told.

    Raises:
        Hint: it is not right yet.

    >>> check_verdicts(lambda: dict.fromkeys((1, 2, 3, 4), "one seed"))
    my_verdicts: four verdicts; whether they are right you will see when your work is graded.
    """
    given = call(function, "my_verdicts", "four reports", ())
    if not isinstance(given, Mapping) or sorted(given) != [1, 2, 3, 4]:
        raise Hint(f"my_verdicts: it should be a dictionary with the keys 1, 2, 3, 4; got {given!r}")
    for number, verdict in given.items():
        if verdict not in VERDICTS:
            raise Hint(f"my_verdicts: report {number} is {verdict!r}; choose one of: {'; '.join(VERDICTS)}")
    print("my_verdicts: four verdicts; whether they are right you will see when your work is graded.")


def _plan(function: Callable[[], Plan]) -> Plan:
    given = call(function, "my_plan", "as it is", ()) if callable(function) else function
    plan = _copied(Plan, given)
    if plan is None:
        raise Hint(f"my_plan: it should give a Plan, got {type(given).__name__}")
    runs = [_copied(PlannedRun, run) for run in plan.runs]
    if not runs or None in runs:
        raise Hint("my_plan: `runs` is a list of PlannedRun, one for every training that you would start")
    return replace(plan, runs=runs)


def _copied(kind: type, value):
    """``value`` as a ``kind``, field by field; None if it is something else.

    Asking for its class would not do: a graded cell reads this module again, and the learner's Plan is an older one.
    """
    names = [field.name for field in fields(kind)]
    return kind(*(getattr(value, name) for name in names)) if all(hasattr(value, name) for name in names) else None


def _settings(run: PlannedRun) -> dict[str, object]:
    try:
        return flat(override(preset("tiny"), **run.changes))
    except ConfigError as error:
        raise Hint(f"my_plan, level {run.level!r}: {error}") from None


def _interval(function: Callable, case: str, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    given = call(function, "paired_interval", case, (ours, theirs, np.random.default_rng(7)))
    try:
        mean, low, high = (float(part) for part in given)
    except (TypeError, ValueError):
        raise Hint(f"paired_interval, {case}: it should give three numbers, mean, low, high; got {given!r}") from None
    if not low <= mean + 1e-9 or not mean <= high + 1e-9:
        raise Hint(f"paired_interval, {case}: mean {mean:.4f} does not lie between low {low:.4f} and high {high:.4f}")
    return mean, low, high


def _example() -> Plan:
    runs = [
        PlannedRun(level, seed, {"captioner.attention": level}) for level in ("uniform", "soft") for seed in (1, 2, 3)
    ]
    return Plan("Does looking help?", "captioner.attention", "uniform", runs, "validation", "test")
