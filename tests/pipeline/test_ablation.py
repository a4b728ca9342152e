"""Ablations: what runs share is made once, tables pair what belongs together, findings are arithmetic."""

import signal
import subprocess
import sys
import time
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
from updown_lab.pipeline.stages import Stage, _prepare
from updown_lab.pipeline.studies import STUDIES, Study, findings, measurable

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


class Timed:
    """A plan whose stages that are done took so many seconds."""

    def __init__(self, folder, stages, done):
        self.folder, self.stages, self.done = folder, stages, done

    def find(self, name):
        return next(stage for stage in self.stages if stage.name == name)

    def is_done(self, stage):
        return stage.name in self.done

    def path(self, name):
        write_json(self.folder / name / "stage.json", {"seconds": self.done[name]})
        return self.folder / name


def jobs(folder, done, *chains):
    """A job for each letter of the chains, whose stages need the letter before; one kind a letter."""
    stages = [Stage(f"{letter}{number}", letter, (f"{chain[place - 1]}{number}",) if place else ())
              for number, chain in enumerate(chains) for place, letter in enumerate(chain)]  # fmt: skip
    plan = Timed(folder, stages, done)
    return [(plan, stage) for stage in stages]


def test_time_left_is_shared_by_the_workers(tmp_path):
    work = jobs(tmp_path, {"a0": 600, "a1": 1800}, "a", "a", "a", "a")  # two more of 1200 seconds, two at a time

    assert time_left(work, 2) == "  [2/4 stages, about 20 min left]"


def test_a_chain_cannot_be_shared(tmp_path):
    done = {"a0": 600, "b0": 600, "c0": 600}

    assert time_left(jobs(tmp_path, done, "abc", "abc"), 2) == "  [3/6 stages, about 30 min left]"  # not 15


def test_what_was_never_timed_is_said(tmp_path):
    assert time_left(jobs(tmp_path, {}, "ab"), 2) == "  [0/2 stages, 2 of kinds not timed yet]"
    assert time_left(jobs(tmp_path, {"a0": 600}, "ab", "ac"), 2) == (
        "  [1/4 stages, about 10 min left, 2 of kinds not timed yet]"
    )
    assert time_left(jobs(tmp_path, {"a0": 600}, "a"), 2) == "  [1/1 stages]"


@pytest.mark.parametrize("name", STUDIES)
def test_the_papers_tables_are_levels_that_can_run(name, tmp_path):
    study, _ = measurable(STUDIES[name], preset("tiny"))
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
        ({"vqa.activation": ["relu", "relu"]}, [1], "answers", "'vqa.activation' has a value twice: relu, relu"),
        ({"seed": ["1", "2"]}, [1], "answers", "seed is no factor: say how many with --seeds"),
        ({"features": ["regions", "nonsense"]}, [1], "answers", "features are some of regions, .*; got 'nonsense'"),
        ({"objective": ["scst", "xe-typo"]}, [1], "captions", "objective is one of cross-entropy, scst, .*'xe-typo'"),
        ({"vqa.activation": ["relu", "gelu"]}, [1], "answers", r"vqa.activation is one of .*; got 'gelu'"),
        (
            {"a": {}, "b": {"vqa.activation": "gated_tanh"}},
            [1],
            "answers",
            "'a' and 'b' differ in nothing that answers",
        ),
        ({"decode.beam_size": ["2", "3"]}, [1], "answers", "beam_size 3' differ in nothing that answers depend on"),
        ({"vqa.genome_questions": ["false", "true"]}, [1], "answers", "those of real data"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(factors, seeds, measure, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        ablate(factors, seeds, SMALL, tmp_path / "new", measure)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "wants one of: studies"),
        (["table1", "--level", "a:"], "wants one of: studies"),
        (["table9"], "known: table1"),
        (["--factor", "seed"], "wants NAME=A,B, each setting once; got 'seed'"),
        (["--factor", "vqa.activation=relu"], "two rows or more; there is only activation relu"),
        (["--level", "36 selection.minimum=36"], '"ROW: NAME=A,NAME=B", each row once; got'),
        (["--level", "a: vqa.reader=lstm", "--level", "a:"], "each row once; got 'a:'"),
        (["--level", "a:", "--level", "36: selection.maximum=3,selection.minimum=36"], "got 36 and 3: set both"),
    ],
)
def test_the_command_says_what_it_wants(arguments, message, capsys, tmp_path):
    assert main(["ablate", *arguments, "--out", str(tmp_path / "new")]) == 1
    assert message in capsys.readouterr().err


def test_an_interrupted_ablation_goes_on_with_the_same_command(tmp_path):
    changes = [part for change in CHANGES[:-1] for part in ("--set", change)]
    command = [sys.executable, "-m", "updown_lab", "ablate", "--factor", "vqa.activation=gated_tanh,relu", *changes,
               "--set", "encoders=symbolic", "--seeds", "1", "--workers", "1", "--out", str(tmp_path)]  # fmt: skip
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    world = wait_for(tmp_path, "made/world-*/stage.json", first)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=300)
    assert first.returncode == 130 and "interrupted; the same command goes on" in said, said
    made, before = len(list(tmp_path.glob("made/*/stage.json"))), world.stat().st_mtime_ns
    assert made < 4

    again = subprocess.run(command, capture_output=True, text=True, timeout=500)

    assert again.returncode == 0, again.stderr[-2000:]
    assert f"2 runs, {4 - made} of 4 stages to do" in again.stdout and "| activation relu |" in again.stdout
    assert world.stat().st_mtime_ns == before


def wait_for(folder, pattern, process):
    """The first file of that name, as soon as there is one."""
    while process.poll() is None:
        if found := list(folder.glob(pattern)):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"it ended before: {process.communicate()[0][-2000:]}")
