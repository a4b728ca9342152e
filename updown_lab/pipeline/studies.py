"""The paper's tables as ablations: which runs, which columns, which findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from updown_lab.analysis.paper import beside
from updown_lab.analysis.plots import bars_with_intervals
from updown_lab.analysis.tables import markdown
from updown_lab.analysis.uncertainty import estimate, holm
from updown_lab.config import Config
from updown_lab.errors import ConfigError
from updown_lab.files import atomic_path, write_json
from updown_lab.pipeline.ablation import Ablation, ablate
from updown_lab.pipeline.plans import OBJECTIVES

GRID = "grid-pretrained-7"


@dataclass(frozen=True)
class Study:
    """One table.

    Attributes:
        measure:  "captions" or "answers".
        levels:   {row: {setting: value}}.
        keys:     {row: the columns that name it}, as in the published table.
        findings: (sentence, better row, worse row, metric): holds if the whole interval is above 0.
        main:     metric of comparison and picture.
        renamed:  our name of a metric to the published column's.
    """

    measure: str
    levels: Mapping[str, Mapping[str, object]]
    keys: Mapping[str, Mapping[str, str]]
    findings: Sequence[tuple[str, str, str, str]]
    main: str
    renamed: Mapping[str, str]


def _captions(renamed: Mapping[str, str]) -> Study:
    names = {GRID: "ResNet grid", "regions": "Up-Down"}
    rows = {f"{name}, {objective}": (kind, objective) for objective in OBJECTIVES for kind, name in names.items()}
    findings = [
        (f"regions beat the grid on {metric} ({how})", f"Up-Down, {how}", f"ResNet grid, {how}", metric)
        for metric in ("CIDEr", "BLEU-4", "METEOR", "ROUGE-L") for how in OBJECTIVES
    ]  # fmt: skip
    findings += [(f"SCST beats cross-entropy on CIDEr ({name})", f"{name}, scst", f"{name}, cross-entropy", "CIDEr")
                 for name in names.values()]  # fmt: skip
    return Study(
        "captions",
        {row: {"features": kind, "objective": objective} for row, (kind, objective) in rows.items()},
        {row: {"features": names[kind], "objective": objective} for row, (kind, objective) in rows.items()},
        findings, "CIDEr", renamed,
    )  # fmt: skip


def _answers() -> Study:
    rows = {**{f"ResNet {n} x {n}": f"grid-pretrained-{n}" for n in (1, 14, 7)}, "Up-Down": "regions"}
    findings = [(f"regions beat the {row.removeprefix('ResNet ')} grid on {metric}", "Up-Down", row, metric)
                for row in rows if row != "Up-Down" for metric in ("overall", "yes/no", "number", "other")]  # fmt: skip
    findings += [(f"7 x 7 beats {n} x {n} overall", "ResNet 7 x 7", f"ResNet {n} x {n}", "overall") for n in (1, 14)]
    findings += [("14 x 14 beats 1 x 1 overall", "ResNet 14 x 14", "ResNet 1 x 1", "overall")]
    return Study("answers", {row: {"features": kind} for row, kind in rows.items()},
                 {row: {"features": row} for row in rows}, findings, "overall", {})  # fmt: skip


def _one_at_a_time() -> Study:
    changes: dict[str, dict[str, object]] = {
        "reference": {}, "ReLU instead of gated tanh": {"vqa.activation": "relu"},
        "hard targets": {"vqa.targets": "hard"}, "uniform attention": {"vqa.attention": "uniform"},
        "product attention": {"vqa.attention": "product"}, "two streams": {"vqa.classifier": "two-stream"},
        "two streams from chance": {"vqa.classifier": "two-stream", "vqa.answer_pictures": False},
        "LSTM reads": {"vqa.reader": "lstm"}, "lengths of 1": {"vqa.normalise": True},
    }  # fmt: skip
    findings = [(f"the reference beats {name}", "reference", name, "overall") for name in list(changes)[1:4]]
    return Study("answers", {row: {"features": "regions", **settings} for row, settings in changes.items()},
                 {row: {"model": row} for row in changes}, findings, "overall", {})  # fmt: skip


_PARTS = {f"SPICE {part}": f"{part}s" for part in ("object", "attribute", "relation")} | {
    f"SPICE {part}": part for part in ("colour", "count", "size")
}
STUDIES = {"table1": _captions({}), "table2": _captions(_PARTS), "table4": _answers(), "teney": _one_at_a_time()}


def study(
    names: Sequence[str], seeds: Sequence[int], base: Config, folder: Path | str, workers: int = 2
) -> tuple[list[str], list[dict]]:
    """Run the named tables and write, for each, numbers, comparison and picture; and ``findings.json`` for all.

    Args:
        names:   of ``STUDIES``.
        seeds, base, folder, workers: as for ``ablate``.

    Returns:
        The tables as Markdown, and the findings: {study, finding, estimate, low, high, holds}, in points.

    Raises:
        ConfigError: an unknown study.
    """
    unknown = [name for name in names if name not in STUDIES]
    if unknown or not names:
        raise ConfigError(f"no study {', '.join(unknown) or 'named'}; known: {', '.join(STUDIES)}")
    folder, said, found = Path(folder), [], []
    data = f"{Path(base.data).name} (photos)" if base.data else "Picturebook (drawn)"
    for name in names:
        plan = STUDIES[name]
        done = ablate(plan.levels, seeds, base, folder, plan.measure, workers)
        said += _write(name, plan, done, folder, data)
        found += [{"study": name, **finding} for finding in findings(plan, done)]
        write_json(folder / "findings.json", found, indent=1)
    return said, found


def findings(plan: Study, done: Ablation) -> list[dict]:
    """What the paper found, found again or not: paired differences in points with 95 % intervals.

    The intervals count other pictures and other trainings (``analysis.uncertainty.estimate``). A finding holds if the
    whole interval is above 0; ``p_holm`` is its p-value after Holm's correction for all findings of the table.
    """
    rows, chances = [], []
    for text, better, worse, metric in plan.findings:
        runs = done.runs(metric)
        pair = [pd.DataFrame({run.seed: run.scores for run in runs if run.level == level}) for level in (better, worse)]
        found = estimate(*pair, groups=runs[0].groups)
        chances.append(found.p)
        rows.append({"finding": text, "estimate": found.value, "low": found.low, "high": found.high,
                     "holds": found.low > 0})  # fmt: skip
    corrected = holm(pd.Series(chances, dtype=float))
    return [{**row, "p_holm": float(p)} for row, p in zip(rows, corrected, strict=True)]


def _write(name: str, plan: Study, done: Ablation, folder: Path, data: str) -> list[str]:
    table = done.table()
    ours = table.rename(columns=dict(plan.renamed)).join(pd.DataFrame(plan.keys).T)
    both = beside(name, ours, data)
    measured = [c for c in both.columns if c != "source" and ours.get(c, pd.Series(dtype=float)).notna().any()]
    compared = done.compare(plan.main)
    for title, part in ((name, table), (f"{name}-compared", compared), (f"{name}-beside", both)):
        with atomic_path(folder / f"{title}.csv") as draft:
            part.to_csv(draft)
    bars = [{"level": level, **_middle(done, plan.main, level)} for level in plan.levels]
    figure = bars_with_intervals(pd.DataFrame(bars), label="level", title=f"{name}: {plan.main}, {data}", digits=1)
    figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
    spread = table[[f"{plan.main} spread"]].round(2)
    shown = both[[*measured, "source"]].reset_index()
    lines = [f"## {both.attrs['title']}", "", markdown(shown.set_index(shown.columns[0]), ()), "",
             markdown(compared.join(spread), (), 2), ""]  # fmt: skip
    with atomic_path(folder / f"{name}.md") as draft:
        Path(draft).write_text("\n".join(lines), encoding="utf-8")
    return lines


def _middle(done: Ablation, metric: str, level: str) -> dict[str, float]:
    runs = [run for run in done.runs(metric) if run.level == level]
    found = estimate(pd.DataFrame({run.seed: run.scores for run in runs}), groups=runs[0].groups)
    return {"mean": found.value, "low": found.low, "high": found.high}
