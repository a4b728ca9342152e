"""Packing a run so that it can travel."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from untrained_run import untrained_run

from updown_lab.checkpoints import read_facts, save_model
from updown_lab.cli import main
from updown_lab.config import override, preset
from updown_lab.datasets.picturebook import make_picturebook
from updown_lab.demo import BUNDLE, Demo
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import write_json
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.models.vqa import UpDownVqa
from updown_lab.pipeline.bundling import _page, make_bundle
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.plans import OBJECTIVES, make_plan
from updown_lab.pipeline.sources import open_source
from updown_lab.pipeline.speaking_models import Speaker
from updown_lab.text import AnswerVocabulary, Vocabulary
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.trunk import build_trunk

SMALL = override(
    replace(preset("tiny"), seed=5, encoders=("regions",)),
    **{"world.train_images": 4, "world.validation_images": 2, "world.test_images": 3, "world.crops": 2,
       "world.questions_per_image": 4, "captioner.hidden_size": 24, "vqa.hidden_size": 20},
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of one kind of features; it has learned nothing."""
    folder = untrained_run(tmp_path_factory.mktemp("run"), SMALL)
    plan, size = make_plan(SMALL, folder), SMALL.trunk.widths[-1]
    make_picturebook(plan.path("world"), SMALL.world, SMALL.seed, workers=1)
    source = open_source(SMALL, plan.path("world"))
    names = {"objects": source.names.objects, "attributes": source.names.attributes}
    detector = BottomUpDetector(build_trunk(SMALL.trunk), SMALL.detector, *map(len, names.values()))
    save_model(plan.path("detector"), detector, **names)
    write_json(plan.path("detector") / "scores.json", {"map50": 0.5, "class_accuracy": 0.5, "colour_accuracy": 0.5})
    words, answers = Vocabulary(["a", "cat", "hat"]), AnswerVocabulary(["yes", "no"])
    for stage in [f"captions-regions-{objective}" for objective in OBJECTIVES]:
        captioner = UpDownCaptioner(SMALL.captioner, len(words), size)
        save_model(plan.path(stage), captioner, vocabulary_size=len(words), feature_dim=size)
        said = [{"image_id": record.image_id, "caption": "a cat"} for record in source.captions("test")]
        write_json(plan.path(stage) / "captions.json", said)
    vqa = UpDownVqa(SMALL.vqa, len(words), len(answers), size)
    save_model(plan.path("vqa-regions"), vqa, vocabulary_size=len(words), answers=len(answers), feature_dim=size)
    answers.save(plan.path("vqa-regions") / "answers.json")
    pd.DataFrame({"split": ["test", "test", "hard"], "score": [100.0, 50.0, 0.0]}).to_csv(
        plan.path("vqa-regions") / "answers.csv", index=False
    )
    for objective in OBJECTIVES:
        write_json(plan.path("judge-regions") / f"{objective}.json", {"metrics": {"BLEU-4": 0.25, "CIDEr": 0.75}})
    for stage in plan.stages:
        if stage.name.startswith(("captions-", "vqa-regions")):
            words.save(plan.path(stage.name) / "vocabulary.json")
        if plan.path(stage.name).exists():
            write_json(plan.path(stage.name) / "stage.json", {"fingerprint": plan.fingerprint(stage), "seconds": 1.5})
    return folder


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "bundle"
    story = make_bundle(run, folder, "what was typed", ("regions",), commit="abc")
    return folder, story


def test_a_bundle_holds_the_models_alone_and_can_be_used_like_the_run(run, bundle):
    folder, _ = bundle

    names = {file.name for file in folder.rglob("*") if file.is_file()}
    demo = Demo(folder)

    assert names == {"config.json", "bundle.json", "BUNDLE.md", "model.safetensors", "model.json", "stage.json",
                     "vocabulary.json", "answers.json", "scores.json"}  # fmt: skip
    stages = {path.name for path in (folder / "stages").iterdir()}
    assert stages == {"trunk", "detector", "captions-regions-cross-entropy", "captions-regions-scst", "vqa-regions"}
    assert read_facts(folder / "stages" / "detector") == read_facts(FinishedRun(run).stage("detector"))
    picture = demo.scene(1)
    told = demo.speaker().describe(demo.see(picture))
    assert set(told.words) <= {"a", "cat", "hat"}
    # the run's own models, in full precision, see the same and say it as surely
    full = Speaker.of(FinishedRun(run))
    torch.testing.assert_close(full.see(picture).features, demo.see(picture).features, atol=0.02, rtol=0.02)
    assert sum(full.describe(full.see(picture)).log_probs) == pytest.approx(sum(told.log_probs), abs=0.1)


def test_captioners_are_rounded_to_8_bits_and_all_others_to_16(bundle):
    folder, _ = bundle

    kinds = {path.name: {value.dtype for value in load_file(path / "model.safetensors").values() if value.dim() > 1}
             for path in (folder / "stages").iterdir()}  # fmt: skip

    assert kinds == {name: {torch.int8 if name.startswith("captions") else torch.float16} for name in kinds}


def test_the_story_beside_it_tells_how_it_was_made_and_what_it_is_worth(bundle):
    folder, story = bundle

    assert json.loads((folder / "bundle.json").read_text()) == json.loads(json.dumps(story))
    assert story["bundled_with"] == "what was typed" and story["trained_at_commit"] == "abc"
    assert story["trained_with"].startswith(
        "python -m updown_lab quickstart --preset tiny --seed 5 --set=encoders=regions "
    )
    assert "--set=world.test_images=3" in story["trained_with"] and "--set=vqa.hidden_size=20" in story["trained_with"]
    assert story["scores_of_the_run"]["vqa-regions"] == {"accuracy": 75.0}  # (100 + 50) / 2, the hard ones apart
    assert story["scores_of_the_run"]["captions-regions-scst"] == {"BLEU-4": 0.25, "CIDEr": 0.75}
    found = story["scores_of_the_bundle"]
    assert found.keys() == story["scores_of_the_run"].keys()
    assert 0 <= found["vqa-regions"]["accuracy"] <= 100 and 0 <= found["captions-regions-scst"]["CIDEr"] < 10
    page = (folder / "BUNDLE.md").read_text()
    assert page.startswith("# Trained beforehand") and "| vqa-regions | accuracy | 75.0 |" in page


def test_the_record_tells_a_way_from_a_clean_clone_and_nobodys_private_folders(run, tmp_path, bundle, monkeypatch):
    recorded = []
    monkeypatch.setattr("updown_lab.pipeline.bundling.make_bundle",
                        lambda folder, out, typed, commit: recorded.append(typed) or bundle[1])  # fmt: skip

    assert main(["bundle", "--run", str(run), "--out", str(tmp_path / "out")]) == 0

    assert recorded == [f"python -m updown_lab bundle --run ELSEWHERE/{run.name} --out ELSEWHERE/out"]
    train, pack = bundle[1]["made_anew_with"]
    assert train == bundle[1]["trained_with"] + " --out runs/bundle" and "--run runs/bundle" in pack
    assert f"`{train}`, then `{pack}`" in (bundle[0] / "BUNDLE.md").read_text()


def test_make_bundle_does_what_the_travelling_bundles_record_says():
    rule = (Path(__file__).parents[2] / "Makefile").read_text().split("\nbundle:")[1].split("\n\n")[0]
    done = [line.strip().replace("$(BIN)/", "") for line in rule.splitlines()[1:]]
    story = json.loads((BUNDLE / "bundle.json").read_text())

    assert done[0] == story["made_anew_with"][0] and done[1].startswith(story["made_anew_with"][1])
    assert (BUNDLE / "BUNDLE.md").read_text() == _page(story)
    assert not re.search(r"/(tmp|home|root|work|Users)/", json.dumps(story))


def test_the_command_that_is_told_trains_the_same_numbers(bundle):
    from updown_lab.cli import _parser
    from updown_lab.commands.parsing import config_of

    typed = shlex.split(bundle[1]["trained_with"])[3:]

    assert config_of(_parser().parse_args(typed)) == SMALL


def test_a_bundle_that_would_be_too_large_is_not_made_and_the_old_one_stays(run, bundle):
    folder, _ = bundle
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    with pytest.raises(DataInvalid, match=r"would have \d\.\d MB, more than 0\.1; take fewer kinds"):
        make_bundle(run, folder, "", ("regions",), largest=100_000)

    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_with_something_else_in_it_is_left_alone(run, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")

    assert main(["bundle", "--run", str(run), "--out", str(tmp_path)]) == 1

    assert "holds something that is no bundle" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_run_that_lacks_a_stage_is_named(run, tmp_path):
    with pytest.raises(DataMissing, match="captions-grid-pretrained-7-cross-entropy"):
        make_bundle(run, tmp_path / "bundle", "", ("grid-pretrained-7",))

    assert not list(tmp_path.iterdir())
