"""Running, caching, interrupting and killing, with toy stages in real processes."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from updown_lab.config import load_config, preset
from updown_lab.errors import ConfigError, UpdownError
from updown_lab.pipeline import stages
from updown_lab.pipeline.stages import Plan, Stage, run_plan

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import toy_stages  # noqa: E402 (the stages' processes find it in the same place)
from toy_stages import plan, stage  # noqa: E402


@pytest.fixture(autouse=True)
def toys_can_be_imported(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def calls(folder):
    path = folder / "calls.txt"
    return sorted(path.read_text().split()) if path.exists() else []


def family(folder, b_setting=1):
    """d needs b, b needs a; c stands alone."""
    return plan(
        folder,
        stage("a"),
        stage("b", needs=("a",), argument="a", settings=(b_setting,)),
        stage("c"),
        stage("d", needs=("b",), argument="b"),
    )


# -------------------------------------------------------------------------------- what is done, and what is not


def test_stages_run_once_in_order_and_again_only_where_something_changed(tmp_path, capsys):
    run_plan(family(tmp_path))
    assert calls(tmp_path) == ["a", "b", "c", "d"]
    assert (tmp_path / "stages/d/out.txt").read_text() == "d(b(a()))"
    assert load_config(tmp_path / "config.json") == preset("tiny")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][-1] == "d"

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("out.txt")}
    run_plan(family(tmp_path))
    assert calls(tmp_path) == ["a", "b", "c", "d"]  # nobody was called again
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("out.txt")} == written

    (tmp_path / "stages/b/leftover").touch()
    (tmp_path / "stages/c/leftover").touch()
    run_plan(family(tmp_path, b_setting=2))
    assert calls(tmp_path) == ["a", "b", "b", "c", "d", "d"]  # b, and d which needs it; not a, not c
    assert not (tmp_path / "stages/b/leftover").exists()  # made of other settings
    assert (tmp_path / "stages/c/leftover").exists()


def test_a_stage_without_its_marker_is_resumed_not_emptied(tmp_path):
    one = plan(tmp_path, stage("a"))
    stages._prepare(one, one.stages[0])
    (tmp_path / "stages/a/checkpoint").touch()

    run_plan(one)

    assert one.is_done(one.stages[0]) and (tmp_path / "stages/a/checkpoint").exists()


def test_the_marker_says_what_the_stage_cost(tmp_path):
    run_plan(plan(tmp_path, stage("a")))

    marker = stages.read_json(tmp_path / "stages/a/stage.json")

    assert 0 <= marker["seconds"] < 20 and 0 < marker["cpu_seconds"] < 60
    assert 20 < marker["peak_memory_mb"] < 5000


def test_fingerprints_change_with_all_that_changes_the_result_and_nothing_else(tmp_path):
    first = family(tmp_path)
    b, d = first.find("b"), first.find("d")
    base = first.fingerprint(b)

    assert family(tmp_path / "elsewhere").fingerprint(b) == base
    for change in ({"settings": (2,)}, {"argument": "other"}, {"function": "toy_stages:refuse"}, {"needs": ()}):
        other = replace(b, **change)
        assert plan(tmp_path, first.find("a"), other).fingerprint(other) != base, change
    faster = replace(b, threads=2)
    assert plan(tmp_path, first.find("a"), faster).fingerprint(faster) == base  # how fast is not what
    assert family(tmp_path, b_setting=2).fingerprint(d) != first.fingerprint(d)  # through its need


def test_upto_takes_the_first_word_of_names_for_all_that_begin_so(tmp_path):
    names = ("eyes", "vqa-a", "vqa-b", "vqaish", "speech")
    plan = Plan(tmp_path, tuple(Stage(name, "m:f", ("eyes",) if name == "vqa-b" else ()) for name in names), None)

    assert [stage.name for stage in plan.upto("vqa").stages] == ["eyes", "vqa-a", "vqa-b"]
    with pytest.raises(UpdownError, match="no stage 'vq'"):
        plan.upto("vq")


def test_upto_keeps_a_stage_and_its_needs_in_order(tmp_path):
    names = [stage.name for stage in family(tmp_path).upto("d").stages]

    assert names == ["a", "b", "d"]
    with pytest.raises(UpdownError, match="no stage 'e'; this run has: a, b, c, d"):
        family(tmp_path).upto("e")


# ---------------------------------------------------------------------------------------------- what goes wrong


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background job"])
def interrupts(request):
    """How this process takes Ctrl-C: a shell's background jobs ignore it, and their children inherit that."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_stage_that_refuses_stops_the_others_and_its_log_is_shown(tmp_path, interrupts):
    with pytest.raises(UpdownError) as caught:
        run_plan(plan(tmp_path, stage("long", "dwell"), stage("soup", "refuse"), stage("next", needs=("soup",))))

    message = str(caught.value)
    assert "stage 'soup' failed (exit 2)" in message
    assert "error: the soup is cold; heat it with: make soup" in message
    assert "boiling water" in message and "Traceback" not in message
    assert str(tmp_path / "stages/soup/log.txt") in message
    assert not (tmp_path / "stages/long/stage.json").exists()  # it was stopped long before its end
    assert calls(tmp_path) == []  # "next" never began


def test_a_stage_with_a_bug_shows_where_and_can_be_run_again(tmp_path):
    with pytest.raises(UpdownError, match=r"(?s)stage 'soup' failed \(exit 1\).*toy_stages.py.*a bug in the soup"):
        run_plan(plan(tmp_path, stage("soup", "crash")))

    run_plan(plan(tmp_path, stage("soup", "write")))  # mended; the folder was given back

    assert calls(tmp_path) == ["soup"]


def test_two_runs_in_one_folder_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(stages.time, "sleep", lambda seconds: None)  # else it waits ten seconds for a dying run
    with open(tmp_path / ".lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UpdownError, match=r"another run is working in .*; wait for it, or give another folder"):
            run_plan(plan(tmp_path, stage("a")))

    assert not (tmp_path / "config.json").exists()  # the other run's settings are not touched
    assert not (tmp_path / "stages").exists()


def test_no_worker_is_an_error_not_a_run_that_does_nothing(tmp_path):
    with pytest.raises(ConfigError, match="at least 1 worker, got 0"):
        run_plan(plan(tmp_path, stage("a")), workers=0)


# ---------------------------------------------------------------------------------- interrupts and sudden death


def start(folder, *names):
    command = [sys.executable, toy_stages.__file__, str(folder), *names]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **quiet, start_new_session=True)


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def beats(folder, name):
    path = folder / "stages" / name / "beats.txt"
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """What the training gives if nobody disturbs it."""
    folder = tmp_path_factory.mktemp("untouched")
    assert subprocess.run([sys.executable, toy_stages.__file__, folder, "train"], timeout=60,
                          env=os.environ | {"PYTHONPATH": str(HERE)}, capture_output=True).returncode == 0  # fmt: skip
    return (folder / "stages/train/out.txt").read_text()


def assert_resumes_to(folder, expected):
    steps_before = len(beats(folder, "train").split())
    assert 20 <= steps_before < toy_stages.STEPS
    assert start(folder, "train").wait(60) == 0
    steps = [int(step) for step in beats(folder, "train").split()]
    assert steps[steps_before] > 0  # it did not begin again
    assert steps[-1] == toy_stages.STEPS - 1
    assert (folder / "stages/train/out.txt").read_text() == expected


def test_control_c_in_the_terminal_loses_no_step_and_a_rerun_ends_with_the_same_weights(tmp_path, untouched):
    run = start(tmp_path, "train")
    wait_for(lambda: len(beats(tmp_path, "train").split()) > 60)

    os.killpg(run.pid, signal.SIGINT)  # what a terminal does: every process in the foreground hears it
    assert run.wait(20) == 130

    assert not (tmp_path / "stages/train/stage.json").exists()
    assert_resumes_to(tmp_path, untouched)
    assert len(beats(tmp_path, "train").split()) == toy_stages.STEPS  # no step was done twice


def test_a_killed_run_leaves_nobody_writing_and_ends_with_the_same_weights(tmp_path, untouched):
    run = start(tmp_path, "train", "helped")
    wait_for(lambda: len(beats(tmp_path, "train").split()) > 60 and beats(tmp_path, "helped"))

    run.kill()
    run.wait()
    time.sleep(1.0)  # stages look twice a second whether their run is alive
    quiet = beats(tmp_path, "train"), beats(tmp_path, "helped")
    time.sleep(0.5)

    assert (beats(tmp_path, "train"), beats(tmp_path, "helped")) == quiet
    assert_resumes_to(tmp_path, untouched)
