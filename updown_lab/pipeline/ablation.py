"""Any grid of factors over the same code: a run for each level and seed; what runs share is made once.

A folder holds ``runs/LEVEL-seed-N``, each an ordinary run, whose stages are links into ``made/``: there lies every
stage under its name and fingerprint, so that a second level, seed or study finds what the first has made.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pandas as pd

from updown_lab.analysis.compare import Run, compare
from updown_lab.choices import choices
from updown_lab.config import Config, fingerprint, override, preset, save_config
from updown_lab.errors import ConfigError
from updown_lab.files import locked, read_json, write_json
from updown_lab.pipeline.plans import OBJECTIVES, make_plan
from updown_lab.pipeline.stages import Plan, Stage, run_jobs
from updown_lab.pipeline.tables import ANSWER_TYPES, Findings
from updown_lab.settings import ScstConfig

TARGETS = {"captions": "judge-{}", "answers": "vqa-{}"}  # what is measured, and the stage that measures it
COUNTS = ("words", "words known", "attributes said", "length")  # judged too, but no shares
NO_FACTORS = {"seed": "say how many with --seeds (in Python: seeds)", "eyes_seed": "all runs share their eyes",
              "encoders": "call it features", "stores": "its features are the factor",
              "data": "runs on other data have no items in common"}  # fmt: skip
Settings = Mapping[str, object]


@dataclass(frozen=True)
class Cell:
    """One level with one seed: an ordinary run, and which of its results counts."""

    level: str
    config: Config
    objective: str
    folder: Path

    @property
    def kind(self) -> str:
        """Its features."""
        return self.config.encoders[0]


@dataclass(frozen=True)
class Ablation:
    """Finished runs, ready for tables.

    Attributes:
        cells:   each level with each seed.
        measure: "captions" or "answers".
        factors: dotted names of the settings that differ on purpose.
    """

    cells: tuple[Cell, ...]
    measure: str
    factors: tuple[str, ...]

    def runs(self, metric: str) -> list[Run]:
        """Score of each test item times 100, for ``analysis.compare``; NaN where there is nothing to judge.

        Args:
            metric: one of ``metrics()``.

        Raises:
            ConfigError: a metric that was not measured.
        """
        if metric not in self.metrics():
            raise ConfigError(f"{metric!r} was not measured on {self.measure}; known: {', '.join(self.metrics())}")
        found = []
        for cell in self.cells:
            table = self._items(cell)
            if self.measure == "captions":
                scores, groups = 100 * table[metric], None
            else:
                table = table if metric == "overall" else table[table["answer_type"] == metric]
                scores, groups = table["score"], table["image_id"]
            found.append(Run(cell.level, cell.config.seed, cell.config, scores, groups))
        return found

    def compare(self, metric: str, baseline: str | None = None) -> pd.DataFrame:
        """``analysis.compare`` of all levels on one metric; the factors are the only difference allowed."""
        return compare(self.runs(metric), self.factors, baseline)

    def metrics(self) -> list[str]:
        """What was measured item by item: "overall" and the types of answers; or "CIDEr", ..., and how captions look
        and speak ("pointing", "hallucination", "bad endings", "binding", ...)."""
        table = self._items(self.cells[0])
        if self.measure == "answers":
            return ["overall", *(name for name in ANSWER_TYPES if (table["answer_type"] == name).any())]
        return [name for name in table.columns.drop("caption") if table[name].notna().any()]

    def table(self) -> pd.DataFrame:
        """A row a level, in the papers' figures (corpus scores, times 100).

        Returns:
            Indexed by level: each metric's mean over the seeds, then "METRIC spread", the standard deviation over the
            seeds (NaN for one seed), and "seeds". What no run measured is left out.
        """
        rows = [{"level": cell.level, **self._corpus(cell)} for cell in self.cells]
        grouped = pd.DataFrame(rows).dropna(axis=1, how="all").groupby("level", sort=False)
        spread = grouped.std().add_suffix(" spread")
        return grouped.mean().join(spread).assign(seeds=grouped.size())

    def _items(self, cell: Cell) -> pd.DataFrame:
        findings = Findings(cell.folder, cell.config, None)
        if self.measure == "captions":
            return findings.per_image(cell.kind, cell.objective)
        table = findings.answers(cell.kind)
        return table[table["split"] == "test"].set_index("question_id")

    def _corpus(self, cell: Cell) -> dict[str, float]:
        if self.measure == "answers":
            table = self._items(cell)
            return {"overall": table["score"].mean(), **table.groupby("answer_type")["score"].mean()}
        judged = Findings(cell.folder, cell.config, None).judged(cell.kind, cell.objective)
        found = {**judged["metrics"], **judged["grounding"], **judged["speech"]}
        return {name: 100 * value for name, value in found.items() if name not in COUNTS}


def ablate(
    factors: Mapping[str, Sequence] | Mapping[str, Settings],
    seeds: Sequence[int],
    base: Config | None = None,
    folder: Path | str = "runs/ablation",
    measure: str = "captions",
    workers: int = 2,
) -> Ablation:
    """Run a grid of factors: one thing different, everything else the same code and the same pictures.

    The seed moves the language models only. World, trunk and detector have the first seed in every run, so that all
    runs answer about the same test items and can be paired. Interrupt it and call it again: it goes on.

    Args:
        factors: {setting: values} for all combinations, or {level: {setting: value}} for levels of your own. A setting
                 is a dotted name of the configuration, "features" (a kind of encoder) or "objective"
                 ("cross-entropy", "scst" or a form of SCST).
        seeds:   of the runs.
        base:    all other numbers; the tiny preset by default.
        folder:  where runs, and what they share, are kept.
        measure: "captions" or "answers".
        workers: stages side by side.

    Returns:
        Ablation, for tables and comparisons.

    Raises:
        ConfigError: unknown settings or values, no level, a level or a seed twice, no seed; before anything is written.
        UpdownError: a stage failed.
    """
    base, folder = base or preset("tiny"), Path(folder)
    levels = levels_of(factors)
    cells, jobs = _cells(levels, seeds, base, folder, measure), {}
    plans = [make_plan(cell.config, cell.folder).upto(TARGETS[measure].format(cell.kind)) for cell in cells]
    _refuse_twins(cells, plans, measure)
    with locked(folder) as lock:
        for plan in plans:
            save_config(plan.config, plan.folder / "config.json")
            for stage in plan.stages:
                made = folder / "made" / f"{stage.name}-{plan.fingerprint(stage)}"
                _share(plan, stage, made)
                jobs.setdefault(made, (plan, stage))
        work = list(jobs.values())
        print(f"{folder}: {len(cells)} runs, {sum(not p.is_done(s) for p, s in work)} of {len(work)} stages to do")
        print(time_left(work, workers), flush=True)
        run_jobs(work, workers, lock, told=lambda: time_left(work, workers))
    names = dict.fromkeys(name for settings in levels.values() for name in settings)
    real = {"features": ("encoders", "stores"), "objective": ("scst.form",)}
    return Ablation(tuple(cells), measure, tuple(part for name in names for part in real.get(name, (name,))))


def levels_of(factors: Mapping) -> dict[str, Settings]:
    """{level: {setting: value}} of a grid; levels of one's own stay as they are.

    >>> list(levels_of({"features": ["regions"], "vqa.activation": ["relu", "gated_tanh"]}))
    ['regions, activation relu', 'regions, activation gated_tanh']
    """
    if not factors:
        raise ConfigError("an ablation needs a factor, for instance {'vqa.activation': ['gated_tanh', 'relu']}")
    if all(isinstance(values, Mapping) for values in factors.values()):
        return dict(factors)
    wrong = [name for name, values in factors.items() if isinstance(values, str | Mapping) or not len(list(values))]
    if wrong:
        raise ConfigError(f"{wrong[0]!r} should have a list of values, got {factors[wrong[0]]!r}")
    twice = [name for name, values in factors.items() if len(set(map(str, values))) < len(list(values))]
    if twice:
        raise ConfigError(f"{twice[0]!r} has a value twice: {', '.join(map(str, factors[twice[0]]))}")
    grid = [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]
    return {", ".join(_label(*pair) for pair in settings.items()): settings for settings in grid}


def time_left(jobs: Sequence[tuple[Plan, Stage]], workers: int) -> str:
    """How much is done, and how long the rest takes if stages of a kind take as long as those before: all of them
    shared by the workers, or the longest chain of stages that need each other, whichever is more."""
    took: dict[object, list[float]] = {}
    for plan, stage in jobs:
        if plan.is_done(stage):
            seconds = read_json(plan.path(stage.name) / "stage.json")["seconds"]
            for key in ((stage.function, stage.argument), stage.function):
                took.setdefault(key, []).append(seconds)
    rest = [(plan, stage) for plan, stage in jobs if not plan.is_done(stage)]

    def lasts(stage: Stage) -> float:
        known = took.get((stage.function, stage.argument)) or took.get(stage.function) or [0.0]
        return sum(known) / len(known)

    def chain(plan: Plan, stage: Stage) -> float:
        before = (chain(plan, plan.find(name)) for name in stage.needs)
        return 0.0 if plan.is_done(stage) else lasts(stage) + max(before, default=0.0)

    total = sum(lasts(stage) for _, stage in rest)
    left = max([total / workers, *(chain(plan, stage) for plan, stage in rest)])
    untimed = sum(stage.function not in took for _, stage in rest)
    about = [f"about {left / 60:.0f} min left"] * (left > 0) + [f"{untimed} of kinds not timed yet"] * (untimed > 0)
    return f"  [{', '.join([f'{len(jobs) - len(rest)}/{len(jobs)} stages', *about])}]"


def _label(setting: str, value: object) -> str:
    return str(value) if setting in ("features", "objective") else f"{setting.rpartition('.')[2]} {value}"


def _cells(levels: dict[str, Settings], seeds: Sequence[int], base: Config, folder: Path, measure: str) -> list[Cell]:
    if measure not in TARGETS:
        raise ConfigError(f"no measure {measure!r}; known: {', '.join(TARGETS)}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"an ablation needs different seeds, for instance [1, 2, 3]; got {list(seeds)}")
    made = {level: applied(base, settings) for level, settings in levels.items()}
    eyes, cells = base.eyes_seed or seeds[0], []
    for level, (config, objective) in made.items():
        slug = re.sub(r"[^A-Za-z0-9.-]+", "-", level).strip("-")[:60]
        for seed in seeds:
            own = replace(config, seed=seed, eyes_seed=eyes)
            cells.append(Cell(level, own, objective, folder / "runs" / f"{slug}-{fingerprint(own)[:6]}-seed-{seed}"))
    return cells


def _refuse_twins(cells: Sequence[Cell], plans: Sequence[Plan], measure: str) -> None:
    """Two levels must differ in something that makes a difference to what is measured."""
    first: dict[object, str] = {}
    for cell, plan in zip(cells, plans, strict=True):
        made = plan.fingerprint(plan.find(TARGETS[measure].format(cell.kind)))
        level = first.setdefault((made, cell.objective if measure == "captions" else ""), cell.level)
        if level != cell.level:
            raise ConfigError(f"levels {level!r} and {cell.level!r} differ in nothing that {measure} depend on")


def applied(base: Config, settings: Settings) -> tuple[Config, str]:
    """A level's configuration and objective.

    Raises:
        ConfigError: a setting that is no factor, an unknown one, or a value that it does not know.

    >>> config, objective = applied(preset("tiny"), {"features": "oracle", "objective": "paper"})
    >>> config.encoders, config.scst.form, objective
    (('oracle',), 'paper', 'scst')
    """
    for name in settings:
        if name in NO_FACTORS:
            raise ConfigError(f"{name} is no factor: {NO_FACTORS[name]}")
    changed = dict(settings)
    kind, objective = changed.pop("features", base.encoders[0]), changed.pop("objective", "scst")
    forms = choices(ScstConfig, "form")
    if objective not in (*OBJECTIVES, *forms):
        raise ConfigError(f"objective is one of {', '.join((*OBJECTIVES, *forms))}; got {objective!r}")
    if objective in forms:
        changed["scst.form"], objective = objective, "scst"
    stores = [pair for pair in base.stores if pair.partition("=")[0] == kind]
    return override(base, **changed, encoders=[kind], stores=stores), objective


def _share(plan: Plan, stage: Stage, made: Path) -> None:
    """Let a run's stage be a link to the one folder where it is made."""
    if not (made / "started.json").exists():
        made.mkdir(parents=True, exist_ok=True)
        write_json(made / "started.json", plan.fingerprint(stage))
    link = plan.path(stage.name)
    link.parent.mkdir(parents=True, exist_ok=True)
    wanted = os.path.relpath(made, link.parent)
    if link.is_symlink() and os.readlink(link) != wanted:
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(wanted, target_is_directory=True)
