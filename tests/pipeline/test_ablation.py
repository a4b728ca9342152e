"""Ablations: what runs share is made once, tables pair what belongs together, findings are arithmetic."""

from dataclasses import replace

import pandas as pd
import pytest
from test_whole import CHANGES

from updown_lab.cli import main
from updown_lab.config import override, preset
from updown_lab.errors import ConfigError
from updown_lab.files import write_json
from updown_lab.pipeline.ablation import Ablation, Cell, _cells, _share, ablate, time_left
from updown_lab.pipeline.plans import make_plan
from updown_lab.pipeline.stages import _prepare
from updown_lab.pipeline.studies import STUDIES, Study, findings

SMALL = override(preset("tiny"), **dict(change.split("=") for change in CHANGES[:-1]))
FACTORS = {"features": ["grid-pretrained-1"], "vqa.activation": ["gated_tanh", "relu"]}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    return folder, ablate(FACTORS, [1, 2], SMALL, folder, "answers")


def test_what_runs_share_is_made_once_and_found_again(small, capsys):
    folder, _ = small
    made = sorted(path.name.rpartition("-")[0] for path in (folder / "made").iterdir())
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("made/*/stage.json")}

    assert made == ["features-grid-pretrained-1", "trunk", *["vqa-grid-pretrained-1"] * 4, "world"]
    ablate(FACTORS, [2, 1], replace(SMALL, eyes_seed=1), folder, "answers")
    assert "0 of 7 stages to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("made/*/stage.json")} == before


def test_an_ablation_becomes_a_table_and_a_comparison(small):
    _, done = small

    table, compared = done.table(), done.compare("overall")

    assert list(table.index) == ["grid-pretrained-1, activation gated_tanh", "grid-pretrained-1, activation relu"]
    assert (table["seeds"] == 2).all() and table["overall"].between(0, 100).all()
    assert compared["mean"].tolist() == pytest.approx(table["overall"].tolist())
    assert compared["spread"].tolist() == pytest.approx(table["overall spread"].tolist())
    with pytest.raises(ConfigError, match="'CIDEr' was not measured on answers; known: overall"):
        done.runs("CIDEr")


def test_each_run_is_an_ordinary_run(small):
    _, done = small
    cell = done.cells[0]
    plan = make_plan(cell.config, cell.folder)

    assert plan.is_done(plan.find("vqa-grid-pretrained-1")) and (cell.folder / "config.json").exists()


def test_the_seed_moves_the_language_models_only():
    one, two = (make_plan(replace(SMALL, seed=seed, eyes_seed=1), "run") for seed in (1, 2))
    same = {stage.name for stage in one.stages if one.fingerprint(stage) == two.fingerprint(two.find(stage.name))}

    assert same == {"world", "trunk", "detector", *(f"features-{kind}" for kind in (*SMALL.encoders, "symbolic"))}


def test_a_changed_run_leaves_what_it_shared_to_the_others(tmp_path):
    plan, made = make_plan(SMALL, tmp_path / "run"), tmp_path / "made"
    stage = plan.find("world")
    _share(plan, stage, made)
    (made / "kept").touch()

    changed = make_plan(override(SMALL, **{"world.crops": 7}), tmp_path / "run")
    _prepare(changed, changed.find("world"))

    assert (made / "kept").exists() and not changed.path("world").is_symlink()


def test_time_left_counts_stages_of_a_kind(tmp_path):
    class Plan:
        def __init__(self, seconds):
            self.seconds = seconds

        def is_done(self, stage):
            return self.seconds is not None

        def path(self, name):
            write_json(tmp_path / "stage.json", {"seconds": self.seconds})
            return tmp_path

    stages = make_plan(SMALL, "run")
    answers, words = stages.find("vqa-regions"), stages.find("captions-regions-scst")
    jobs = [(Plan(600), answers), (Plan(1800), words), (Plan(None), answers), (Plan(None), answers)]

    assert time_left(jobs, 2) == "  [2/4 stages, about 10 min left]"


@pytest.mark.parametrize("name", STUDIES)
def test_the_papers_tables_are_levels_that_can_run(name, tmp_path):
    study = STUDIES[name]
    cells = _cells(dict(study.levels), [1, 2], preset("tiny"), tmp_path, study.measure)

    assert len({cell.folder for cell in cells}) >= len({(cell.config, cell.objective) for cell in cells}) / 2
    for _, better, worse, metric in study.findings:
        assert {better, worse} <= set(study.levels) == set(study.keys) and metric
    for cell in cells:
        make_plan(cell.config, cell.folder).upto({"captions": "judge-", "answers": "vqa-"}[study.measure] + cell.kind)


def answered(folder, scores):
    stage = folder / "stages/vqa-regions"
    stage.mkdir(parents=True)
    rows = [("test", n, n // 2, "other", score) for n, score in enumerate(scores)] + [("hard", 99, 99, "other", 0.0)]
    pd.DataFrame(rows, columns=["split", "question_id", "image_id", "answer_type", "score"]).to_csv(
        stage / "answers.csv", index=False
    )
    return folder


@pytest.mark.parametrize(
    ("second", "estimate", "holds"),
    [([20.0] * 4 + [60.0] * 4, 20.0, True), ([0.0] * 8, 40.0, False)],  # both seeds say 20; or one 20, the other 60
)
def test_a_finding_holds_if_no_luck_of_pictures_or_seeds_would_undo_it(tmp_path, second, estimate, holds):
    base = replace(SMALL, encoders=("regions",))
    scores = {("a", 1): [60.0] * 8, ("a", 2): [60.0] * 8, ("b", 1): [40.0] * 8, ("b", 2): second}
    cells = [
        Cell(level, replace(base, seed=seed), "scst", answered(tmp_path / f"{level}{seed}", row))
        for (level, seed), row in scores.items()
    ]
    wanted = [("a beats b", "a", "b", "overall"), ("b beats a", "b", "a", "other")]
    study = Study("answers", {}, {}, wanted, "overall", {})

    forth, back = findings(study, Ablation(tuple(cells), "answers", ("vqa",)))

    assert forth["estimate"] == -back["estimate"] == estimate
    assert forth["holds"] is holds and forth["low"] < estimate < forth["high"]
    assert not back["holds"]


@pytest.mark.parametrize(
    ("factors", "seeds", "measure", "message"),
    [
        ({}, [1], "answers", "needs a factor"),
        ({"vqa.activation": "relu"}, [1], "answers", "should have a list of values, got 'relu'"),
        ({"vqa.actvation": ["relu"]}, [1], "answers", "VqaConfig knows: activation"),
        ({"vqa.activation": ["relu"]}, [1, 1], "answers", "different seeds"),
        ({"vqa.activation": ["relu"]}, [], "answers", "different seeds"),
        ({"vqa.activation": ["relu"]}, [1], "spelling", "known: captions, answers"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(factors, seeds, measure, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        ablate(factors, seeds, SMALL, tmp_path / "new", measure)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "wants studies"), (["table9"], "known: table1"), (["--factor", "seed"], "wants NAME=A,B, got 'seed'")],
)
def test_the_command_says_what_it_wants(arguments, message, capsys, tmp_path):
    assert main(["ablate", *arguments, "--out", str(tmp_path / "new")]) == 1
    assert message in capsys.readouterr().err
