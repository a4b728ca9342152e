"""The whole pipeline in processes of its own, on a world of forty pictures, every training four steps long."""

import csv
import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from updown_lab.datasets.picturebook import Paths

ENCODERS = ("regions", "grid-pretrained-7")
TRAININGS = ("pretraining", "detector_training", "cross_entropy", "scst.training", "vqa_training")
WORLD = {"train_images": 24, "validation_images": 8, "test_images": 8, "crops": 160, "questions_per_image": 4}
CHANGES = [
    *(f"world.{name}={value}" for name, value in WORLD.items()),
    *(f"{name}.{number}" for name in TRAININGS for number in ("steps=4", "evaluate_every=2")),
    "encoders=" + ",".join(ENCODERS),
]
#: Without Java, whose cold start takes longer than all the rest; METEOR and SPICE are tested in tests/metrics.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"} | {"PATH": "/nowhere"}


def updown(*arguments):
    command = [sys.executable, "-m", "updown_lab", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=500)


def quickstart(folder):
    return updown("quickstart", "--out", folder, *(part for change in CHANGES for part in ("--set", change)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = quickstart(folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder, done.stdout


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run[0] / "report.json").read_text())


def test_a_run_prints_its_stages_its_tables_and_where_the_report_is(run):
    folder, said = run

    assert f"{folder}: 17 stage(s) to do" in said
    assert all(
        f"\n{table}\n" in said for table in ("detector", "captions", "vqa", "grounding", "speech", "comparisons")
    )
    assert said.rstrip().endswith(f"open {folder / 'report.html'}")


def test_the_report_carries_everything_in_one_file(run):
    page = (run[0] / "report.html").read_text()

    outside = re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:|#)[^\"']*", page) + re.findall(r"url\((?!data:)[^)]*", page)
    assert outside == []
    assert re.findall(r"(?<!xmlns=\")(?<!xmlns:xlink=\")https?://\S{0,40}", page) == []
    assert page.count("data:image/") >= 8  # contact sheet, four rows of attention, questions, detections
    assert all(heading in page for heading in ("Speaking", "Answering", "Seeing", "What it cost"))
    assert not re.search(r"\bnan\b", page)


def test_the_json_report_has_one_record_for_each_thing_that_was_measured(report):
    pairs = {(kind, objective) for kind in ENCODERS for objective in ("cross-entropy", "scst")}

    assert {"stages", "detector", "captions", "vqa", "grounding", "comparisons"} <= report.keys()
    assert len(report["stages"]) == 16 and all(stage["seconds"] >= 0 for stage in report["stages"])
    assert 0 <= report["detector"]["map50"] <= 1
    for table in ("captions", "grounding", "speech"):
        assert sorted((row["features"], row["objective"]) for row in report[table]) == sorted(pairs), table
    assert [row["features"] for row in report["vqa"]] == [
        "answer prior", "question-only", "grid-pretrained-7", "regions", "symbolic"]  # fmt: skip
    assert len(report["comparisons"]) == 2 + 1 + 2  # CIDEr by objective, VQA, and SCST against cross-entropy by kind


def test_figures_are_within_their_ranges_and_intervals_hold_their_means(report):
    for row in report["captions"]:
        assert 0 <= row["CIDEr"] <= 1000 and 0 <= row["BLEU-1"] <= 100
        assert row["METEOR"] is None  # there was no Java
    for row in report["vqa"]:
        assert 0 <= row["low"] <= row["overall"] <= row["high"] <= 100, row
    for row in report["comparisons"]:
        assert row["low"] <= row["estimate"] <= row["high"]
        assert row["holds"] == (row["low"] > 0)


def test_the_tables_hold_what_the_report_says(run, report):
    for name in ("detector", "captions", "vqa", "grounding", "speech", "comparisons"):
        assert len(pd.read_csv(run[0] / "tables" / f"{name}.csv")), name

    captions = pd.read_csv(run[0] / "tables/captions.csv")
    assert captions["CIDEr"].tolist() == pytest.approx([row["CIDEr"] for row in report["captions"]], abs=1e-4)


def test_every_test_picture_is_described_and_every_test_question_answered(run):
    stages = run[0] / "stages"
    world = Paths(stages / "world")
    asked = {split: {row["question_id"] for row in json.loads(world.questions(split).read_text())["questions"]}
             for split in ("test", "hard")}  # fmt: skip
    pictures = {entry["cocoid"] for entry in json.loads(world.karpathy.read_text())["images"]
                if entry["split"] == "test"}  # fmt: skip

    for kind in ENCODERS:
        said = json.loads((stages / f"captions-{kind}-scst/captions.json").read_text())
        assert {row["image_id"] for row in said} == pictures and len(pictures) == 8
        answers = pd.read_csv(stages / f"vqa-{kind}/answers.csv", keep_default_na=False)
        assert answers["question_id"].is_unique
        for split in asked:
            assert set(answers.loc[answers["split"] == split, "question_id"]) == asked[split]


def test_a_second_call_has_nothing_to_do(run):
    folder, _ = run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("stage.json")}

    again = quickstart(folder)

    assert again.returncode == 0
    assert f"{folder}: 0 stage(s) to do" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("stage.json")} == before


def test_a_finished_run_describes_pictures_and_answers_questions(run, tmp_path):
    folder, _ = run
    picture = sorted(Paths(folder / "stages/world").images.iterdir())[-1]

    described = updown("describe", picture, "--run-folder", folder, "--picture", tmp_path / "words.png")
    asked = updown("ask", picture, "what zebra is there", "--run-folder", folder, "--features", "grid-pretrained-7")

    assert described.returncode == asked.returncode == 0, described.stderr + asked.stderr
    assert "saved" in described.stdout and (tmp_path / "words.png").stat().st_size > 1000
    chances = [float(line.split()[-2]) for line in asked.stdout.splitlines()]
    assert len(chances) == 5 and chances == sorted(chances, reverse=True)
    assert "zebra" in asked.stderr  # a word the model has never read


def test_a_folder_of_pictures_can_be_encoded_and_bad_ones_are_listed(run, tmp_path):
    folder, _ = run
    pictures = sorted(Paths(folder / "stages/world").images.iterdir())[:2]
    for picture in pictures:
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / picture.name).write_bytes(picture.read_bytes())
    (tmp_path / "pictures/broken.jpg").write_bytes(pictures[0].read_bytes()[:200])
    (tmp_path / "pictures" / pictures[0].with_suffix(".png").name).write_bytes(pictures[0].read_bytes())

    done = updown("extract", tmp_path / "pictures", "--out", tmp_path / "store", "--run-folder", folder)

    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "2 pictures in" in done.stdout
    assert "2 left out, listed in" in done.stderr
    twin = pictures[0].with_suffix(".png").name
    with open(tmp_path / "store.problems.csv", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == sorted([twin, "broken.jpg"])
    assert f"belongs to {pictures[0].name} already" in done.stderr
    assert (tmp_path / "store/manifest.json").exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_tables_in_another_folder(run, tmp_path):
    assert quickstart(tmp_path / "run").returncode == 0

    for first in (run[0] / "tables").iterdir():
        assert (tmp_path / "run/tables" / first.name).read_bytes() == first.read_bytes(), first.name
