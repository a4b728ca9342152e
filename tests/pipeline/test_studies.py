"""The paper's tables as studies: what cannot be measured is said first, what is written is whole."""

import json

import numpy as np
import pandas as pd

from updown_lab.cli import main
from updown_lab.config import override, preset
from updown_lab.files import read_json, write_json
from updown_lab.pipeline import studies
from updown_lab.pipeline.ablation import Ablation, _cells
from updown_lab.pipeline.studies import STUDIES, measurable, study

TINY = preset("tiny")
SPICE = ("SPICE", "SPICE object", "SPICE attribute", "SPICE relation", "SPICE colour", "SPICE count", "SPICE size")


def judged(folder, shift, spice):
    """What judging leaves of 40 pictures: CIDEr is 0.5 and ``shift`` more, half of the colours are NaN."""
    figures = dict.fromkeys(("BLEU-1", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr"), 0.5 + shift)
    figures |= dict.fromkeys(SPICE if spice else SPICE[:1], 0.25 if spice else np.nan)
    looks, speaks = {"pointing": 0.5, "hallucination": 0.1}, {"bad endings": 0.3, "binding": 0.75}
    table = pd.DataFrame({**figures, **looks, **speaks}, index=pd.Index(range(40), name="image_id"))
    if spice:
        table.loc[:19, "SPICE colour"] = np.nan
    for objective in ("cross-entropy", "scst"):
        folder.mkdir(parents=True, exist_ok=True)
        table.assign(caption="a cat").to_csv(folder / f"{objective}.csv")
        write_json(folder / f"{objective}.json",
                   {"metrics": figures, "grounding": looks | {"words": 9}, "speech": speaks | {"length": 4.0},
                    "notes": []})  # fmt: skip


def finished(spice):
    """``ablate`` without the work: regions are better than the grid by 20 points."""

    def ablate(levels, seeds, base, folder, measure, workers):
        cells = _cells(dict(levels), list(seeds), base, folder, measure)
        for cell in cells:
            judged(cell.folder / f"stages/judge-{cell.kind}", 0.2 * (cell.kind == "regions"), spice)
        return Ablation(tuple(cells), measure, ("encoders", "stores", "scst.form"))

    return ablate


def test_a_table_of_spice_without_its_jars_is_announced_and_written_with_nan(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(studies, "spice_jars", lambda: None)
    monkeypatch.setattr(studies, "ablate", finished(spice=False))

    lines, found = study(["table2"], [1, 2], TINY, tmp_path)

    said = capsys.readouterr().out
    assert "table2: SPICE and its parts cannot be measured and stay empty (NaN): it needs stanford-corenlp" in said
    beside = pd.read_csv(tmp_path / "table2-beside.csv")
    ours = beside[beside["data"] == "Picturebook (drawn)"]
    assert len(ours) == 4 and ours[["SPICE", "objects", "colour"]].isna().all(axis=None)
    assert "| Picturebook (drawn) | Up-Down | scst | \N{EN DASH} |" in "\n".join(lines)
    assert found and {row["study"] for row in found} == {"table2"}


def test_without_java_the_findings_on_meteor_are_left_out(tmp_path, monkeypatch, capsys):
    def ablate(*given):
        done = finished(spice=False)(*given)
        for file in tmp_path.rglob("*.csv"):
            pd.read_csv(file).assign(METEOR=np.nan).to_csv(file, index=False)
        return done

    monkeypatch.setattr(studies, "find_java", lambda: None)
    monkeypatch.setattr(studies, "ablate", ablate)

    _, found = study(["table1"], [1], TINY, tmp_path)

    assert "table1: METEOR cannot be measured and stays empty (NaN): no Java found" in capsys.readouterr().out
    assert len(found) == 8 and not any("METEOR" in row["finding"] for row in found)


def test_a_study_is_written_as_numbers_markdown_latex_and_picture_with_the_best_of_each_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "ablate", finished(spice=True))

    study(["table1"], [1, 2], TINY, tmp_path)

    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {
        "findings.json", "table1.csv", "table1.md", "table1.png", "table1.tex", "table1-beside.csv",
        "table1-beside.tex", "table1-compared.csv", "table1-compared.tex"}  # fmt: skip
    text = (tmp_path / "table1.md").read_text()
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("|")][
        :14
    ]
    bold = {row[head.index("CIDEr")] for row in rows if "**" in row[head.index("CIDEr")]}
    assert bold == {"**120.1**", "**70.0**"}  # COCO's best CIDEr, and ours: 100 * (0.5 + 0.2)
    assert "\\textbf{120.1}" in (tmp_path / "table1-beside.tex").read_text()


def test_findings_of_another_study_stay_and_those_of_this_one_are_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "ablate", finished(spice=True))
    write_json(
        tmp_path / "findings.json", [{"study": "table4", "finding": "kept"}, {"study": "table1", "finding": "stale"}]
    )

    study(["table1"], [1, 2], TINY, tmp_path)

    rows = read_json(tmp_path / "findings.json")
    assert {row["study"] for row in rows} == {"table4", "table1"} and "stale" not in json.dumps(rows)


def test_whatever_judging_measures_of_each_picture_can_be_compared(tmp_path):
    levels = {row: settings for row, settings in STUDIES["table1"].levels.items() if "scst" in row}
    done = finished(spice=True)(levels, [1, 2], TINY, tmp_path, "captions", 1)

    assert {"hallucination", "bad endings", "binding", "SPICE colour"} <= set(done.metrics())
    for metric in done.metrics():
        assert not done.compare(metric).empty
    assert done.compare("SPICE colour")["items"].tolist() == [20, 20]  # the others have no figure
    table = done.table()
    assert table["bad endings"].tolist() == [30.0, 30.0] and table["binding"].tolist() == [75.0, 75.0]
    assert "words" not in table and "length" not in table  # no shares


def test_rows_that_cannot_be_measured_are_left_out_and_said(monkeypatch):
    monkeypatch.setattr(studies, "find_spec", lambda name: None)

    kept, missing = measurable(STUDIES["teney"], TINY)

    assert not {"with Visual Genome questions", "50 numbers a word, from GloVe", "lengths of 1"} & set(kept.levels)
    assert {"36 regions", "reference"} <= set(kept.levels) == set(kept.keys)
    assert {level for finding in kept.findings for level in finding[1:3]} <= set(kept.levels)
    assert [line.partition(" (")[0] for line in missing] == [
        "left out: 'with Visual Genome questions'", "left out: '50 numbers a word, from GloVe'"]  # fmt: skip


def test_a_row_that_is_the_reference_already_is_left_out():
    kept, missing = measurable(STUDIES["teney"], override(TINY, **{"vqa.activation": "relu"}))

    assert "ReLU instead of gated tanh" not in kept.levels
    assert "left out: 'ReLU instead of gated tanh' (these settings make it the same as 'reference')" in missing


def test_the_command_refuses_a_wrong_value_before_it_says_what_is_missing(capsys, tmp_path):
    assert main(["ablate", "teney", "--set", "vqa.reader=rnn", "--out", str(tmp_path / "new")]) == 1
    assert "vqa.reader is one of gru, lstm; got 'rnn'" in capsys.readouterr().err
