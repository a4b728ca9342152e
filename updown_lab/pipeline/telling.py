"""The end of a run: tables as CSV, all figures as JSON, and one page to look at."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from updown_lab.analysis import plots
from updown_lab.analysis.report import Report
from updown_lab.files import atomic_path, read_json, write_json
from updown_lab.pipeline.caffe import show_caffe
from updown_lab.pipeline.plans import OBJECTIVES, has_caffe_features, make_plan
from updown_lab.pipeline.sources import open_source
from updown_lab.pipeline.stages import Work
from updown_lab.pipeline.tables import Findings
from updown_lab.store.feature_store import FeatureStore
from updown_lab.vision.images import load_image

UNPRINTED = ("BLEU-1", "BLEU-2", "BLEU-3", "SPICE")  # in the CSV and the report, too wide for a terminal
CAPTIONED = 10  # test pictures shown with their captions and attention: half of them good, half bad
PICTURES = 4  # and with regions
ASKED = 10  # questions shown with answer, score and attention


def tell(work: Work) -> None:
    """Write ``report.html``, ``report.json``, ``tables/*.csv`` and ``pictures/*.png`` into the run's folder."""
    source = open_source(work.config, work.need("world"))
    findings = Findings(work.run, work.config, source)
    names = [stage.name for stage in make_plan(work.config, work.run).stages if stage.name != "report"]
    tables = {"captions": findings.captions(), "vqa": findings.vqa(), "grounding": findings.grounding(),
              "speech": findings.speech(),
              "comparisons": findings.comparisons(), "detector": _detector(work)}  # fmt: skip
    for name, table in tables.items():
        with atomic_path(work.run / "tables" / f"{name}.csv") as draft:
            table.round(4).to_csv(draft, index=False)
    costs = findings.costs(names)
    _write_json(work, findings, tables, costs)
    _write_page(work, source, findings, tables, costs)


def _detector(work: Work) -> pd.DataFrame:
    """Scores of the run's own detector; no row if features were given and nobody had to look."""
    scores = work.need("detector") / "scores.json"
    return pd.DataFrame([read_json(scores)] if scores.exists() else [])


def _write_json(work: Work, findings: Findings, tables, costs: pd.DataFrame) -> None:
    captions = [{**row, "per_picture": findings.intervals(row["features"], row["objective"])}
                for row in tables["captions"].to_dict("records")]  # fmt: skip
    record = {
        "name": work.config.name,
        "seed": work.config.seed,
        "stages": costs.to_dict("records"),
        "detector": next(iter(tables["detector"].to_dict("records")), None),
        "captions": captions,
        "vqa": tables["vqa"].rename(columns={"yes/no": "yes_no"}).to_dict("records"),
        **{name: tables[name].to_dict("records") for name in ("grounding", "speech", "comparisons")},
    }
    write_json(work.run / "report.json", _plain(record), indent=1)


def _plain(value):
    """JSON has no NaN: a figure that could not be had is null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _write_page(work: Work, source, findings: Findings, tables, costs) -> None:
    real = bool(work.config.data)
    page = Report(
        "Bottom-up and top-down attention, " + ("on real photographs" if real else "in a drawn world"),
        f"preset {work.config.name}, seed {work.config.seed}; scored on test pictures that no stage was trained on",
    )
    _size_note(page, work, source)
    if not real:
        with Image.open(work.need("world") / "contact_sheet.png") as sheet:
            page.figure(sheet.convert("RGB"), "The generated world: Picturebook.")
    _findings(page, tables["comparisons"])
    _speaking(page, work, findings, tables)
    _answering(page, work, source, tables)
    _seeing(page, work, source, tables)
    if has_caffe_features(work.config):
        show_caffe(page, work)
    page.heading("What it cost")
    page.table(costs, "Seconds, CPU seconds and peak memory of each stage.",
               formats=dict.fromkeys(costs.columns[1:], ".0f"))  # fmt: skip
    page.write(work.run / "report.html")


def _size_note(page: Report, work: Work, source) -> None:
    counts = {split: len(source.captions(split)) for split in ("train", "val", "test")}
    asked = {split: len(source.questions(split)) for split in ("train", "test")}
    small = ("These figures are of a small run on a small world: compare the rows with each other, never with "
             "the tables of the paper." if not work.config.data else
             "This set is tiny. The figures are modest and noisy; they show that every stage reads and handles "
             "real data, not what the model can reach.")  # fmt: skip
    page.text(
        f"{small} Captioned pictures: {counts['train']} for training, {counts['val']} for choosing, "
        f"{counts['test']} for testing. Questions: {asked['train']} for training, {asked['test']} for testing."
    )


def _findings(page: Report, comparisons: pd.DataFrame) -> None:
    page.heading("Do the paper's findings hold here?")
    against = (comparisons["high"] < 0).sum()
    unclear = len(comparisons) - comparisons["holds"].sum() - against
    page.text(f"Paired differences on the same test items, 95 % bootstrap intervals: {comparisons['holds'].sum()} of "
              f"{len(comparisons)} lie above zero, {unclear} include zero (this run cannot tell), {against} lie below "
              "(the opposite was found). Other pictures are in these intervals, another training is not: for several "
              "seeds there is make ablation.")  # fmt: skip
    page.table(comparisons, "Differences in points (CIDEr x 100, VQA accuracy in percent).",
               formats=dict.fromkeys(("estimate", "low", "high"), ".1f"))  # fmt: skip
    shown = comparisons.set_index("finding")
    page.figure(plots.bars_with_intervals(shown, value="estimate"), "The same differences with their intervals.")


def _speaking(page: Report, work: Work, findings: Findings, tables) -> None:
    cfg = work.config
    page.heading("Speaking: captions")
    captions = tables["captions"].drop(columns=["BLEU-2", "BLEU-3"])
    metrics = list(captions.columns[2:])
    best = {name: "max" for name in metrics if name not in ("CIDEr low", "CIDEr high", "SPICE")}
    page.table(captions, "Caption metrics times 100; CIDEr with its 95 % interval.", best,
               dict.fromkeys(metrics, ".1f"))  # fmt: skip
    for note in findings.judged(cfg.encoders[0], OBJECTIVES[0])["notes"]:
        page.text(f"Note: {note}")
    page.table(tables["grounding"], "Grounding: share of object words for which the centre of the most attended region "
               "lies on that object (pointing), overlaps it by half (iou50), attention on it (mass), share of object "
               "words that name what is not there (hallucination), and of captions with such a word.")  # fmt: skip
    for objective in OBJECTIVES:
        histories = {
            kind: pd.read_csv(work.need(f"captions-{kind}-{objective}") / "history.csv") for kind in cfg.encoders
        }
        page.figure(plots.curves(histories, "score", title=f"{objective}: validation CIDEr-D"),
                    "Greedy captions of validation pictures.")  # fmt: skip
    _attention(page, work, findings)


def _attention(page: Report, work: Work, findings: Findings) -> None:
    """The paper's figure: the same picture through regions and through a grid, a word at a time; good and bad ones."""
    kinds = [work.config.encoders[0], work.config.encoders[-1]]
    stores = {kind: FeatureStore.open(work.need(f"features-{kind}") / "store") for kind in kinds}
    looks = {kind: np.load(work.need(f"captions-{kind}-scst") / "attention.npz") for kind in kinds}
    scores = {kind: findings.per_image(kind, "scst") for kind in kinds}
    records = {record.image_id: record for record in findings.source.captions("test")}
    order = scores[kinds[0]]["CIDEr"].sort_values(ascending=False, kind="stable").index
    half = min(CAPTIONED, len(order)) // 2
    for heading, chosen in (("the best captions", order[:half]), ("the worst captions", order[len(order) - half :])):
        page.heading(f"Where it looked, word by word: {heading}")
        page.text(f"Test pictures by the CIDEr of their caption from {kinds[0]}, after SCST.")
        for image in chosen:
            record = records[image]
            rows = [(kind, stores[kind][image], scores[kind]["caption"][image].split(),
                     torch.from_numpy(looks[kind][str(image)]).float()) for kind in kinds]  # fmt: skip
            figure = plots.attention_compare(load_image(record.file), rows)
            with atomic_path(work.run / "pictures" / f"attention-{image}.png") as draft:
                figure.savefig(draft, format="png", dpi=120)
            told = ", ".join(f"{kind} {100 * scores[kind]['CIDEr'][image]:.0f}" for kind in kinds)
            page.figure(figure, f"CIDEr: {told}. A person said: {record.captions[0]}")


def _answering(page: Report, work: Work, source, tables) -> None:
    page.heading("Answering: questions")
    page.table(tables["vqa"], "VQA accuracy in percent as the official evaluation counts it; overall with its 95 % "
               "interval. Hard questions need two objects at once and are not part of overall.",
               formats=dict.fromkeys(tables["vqa"].columns[1:], ".1f"))  # fmt: skip
    kind = work.config.encoders[0]
    table = pd.read_csv(work.need(f"vqa-{kind}") / "answers.csv", keep_default_na=False)
    weights = np.load(work.need(f"vqa-{kind}") / "attention.npz")
    store = FeatureStore.open(work.need(f"features-{kind}") / "store")
    files = {record.image_id: record.file for record in source.pictures()}
    shown = table[table["question_id"].astype(str).isin(weights.files)]
    # One of each type first, then others, until there are ten.
    shown = (
        shown.assign(again=shown.groupby("question_type").cumcount()).sort_values("again", kind="stable").head(ASKED)
    )
    for row in shown.itertuples():
        look = torch.from_numpy(weights[str(row.question_id)]).float()[None]
        figure = plots.attention_strip(load_image(files[row.image_id]), store[row.image_id], [str(row.answer)], look)
        page.figure(figure, f"{row.question} Answer: {row.answer} ({row.score:.0f} % of full marks; most people said "
                    f"{row.truth}).", width=260)  # fmt: skip


def _seeing(page: Report, work: Work, source, tables) -> None:
    page.heading("Seeing: the detector")
    if len(tables["detector"]):
        page.table(
            tables["detector"], "On test pictures: mean average precision at IoU 0.5; class and colour on true boxes."
        )
        page.figure(plots.curves({"detector": pd.read_csv(work.need("detector") / "history.csv")}, "score"),
                    "Validation mAP@0.5 while training.")  # fmt: skip
    store = FeatureStore.open(work.need("features-" + work.config.encoders[0]) / "store")
    about = store.manifest.get("about") or {}  # a store that was made elsewhere brings its own names
    names = [about.get(kind, getattr(source.names, kind)) for kind in ("objects", "attributes")]
    known = (*source.detection("test"), *source.captions("test"))
    records = [record for record in known if record.image_id in store][:PICTURES]
    for record in records:
        figure = plots.draw_regions(load_image(record.file), store[record.image_id], *names)
        page.figure(figure, "Regions with class and attribute.", width=380)


def printed(run: Path) -> str:
    """The small tables that a finished run prints."""
    parts = []
    for name in ("detector", "captions", "vqa", "grounding", "speech", "comparisons"):
        table = pd.read_csv(run / "tables" / f"{name}.csv")
        table = table.drop(columns=[column for column in UNPRINTED if column in table])
        parts.append(
            f"{name}\n{table.round(3 if name in ('detector', 'grounding', 'speech') else 1).to_string(index=False)}"
        )
    return "\n\n".join(parts)
