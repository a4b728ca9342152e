"""The command line, in this process: what is printed, and what is said when something is missing."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from updown_lab.cli import main
from updown_lab.config import preset, save_config
from updown_lab.datasets.vqa import QuestionRecord, write_vqa
from updown_lab.metrics.java import find_java, missing_java_message
from updown_lab.pipeline.scoring import score_file

OPTIONS = {
    "quickstart": ("--out", "--preset", "--seed", "--set", "--workers", "runs/quickstart"),
    "real": ("--data", "--out", "--set", "runs/real", "photos"),
    "picturebook": ("--out", "--images", "--seed"),
    "train": ("stage", "--out", "--set", "captions-regions-scst"),
    "download": ("NAME", "--root", "--list", "--dry-run", "--keep"),
    "prepare": ("NAME", "--root", "--out", "visual-genome"),
    "extract": ("DIR", "--out", "--store", "--run-folder", "--features", "--weights", "--report"),
    "convert": ("--out", "--from", "--to"),
    "verify": (),
    "look": ("image", "--picture", "--top", "--run-folder", "--features", "--weights"),
    "describe": ("image", "--picture", "--run-folder", "--features", "--captioner", "--words", "--weights"),
    "ask": ("image", "question", "--picture", "--run-folder", "--demo", "--answerer", "--weights"),
    "answer": ("questions", "--store", "--run-folder", "--features", "--model", "--words", "--answers", "--out"),
    "evaluate": ("results", "--captions", "--questions", "--annotations", "--out"),
    "doctor": (),
    "bundle": ("--run", "--out", "--commit"),
    "ablate": ["STUDY", "--factor", "--measure", "--seeds", "--out"],
    "coursework": ("build", "grade", "feedback", "docs/instructor.md"),
}


def failure(capsys, *arguments):
    """The one message of a command that must fail."""
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Traceback" not in said
    return said.strip()


# ------------------------------------------------------------------------------------------------ help, typos


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert [option for option in OPTIONS[command] if option not in said] == []


def test_the_first_help_lists_all_commands_and_where_to_start(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert [line.split()[0] for line in said.splitlines() if re.match("    [a-z]", line)] == list(OPTIONS)
    assert "python -m updown_lab quickstart" in said


@pytest.mark.parametrize("arguments", [[], ["fly"], ["describe"], ["real"]])
def test_a_command_line_that_makes_no_sense_ends_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: python -m updown_lab" in capsys.readouterr().err


def test_settings_are_checked_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / "run"
    cases = {
        "captioner.hiden_size=3": "no setting 'captioner.hiden_size'; CaptionerConfig knows: hidden_size",
        "captioner.hidden_size": "--set wants NAME=VALUE, got 'captioner.hidden_size'",
        "captioner.hidden_size=big": "captioner.hidden_size should be a int like 160, got 'big'",
        "captioner=3": "'captioner' is a group; set one of its members",
    }

    for change, expected in cases.items():
        said = failure(capsys, "quickstart", "--out", out, "--set", change)
        assert expected in said and "\n" not in said, change

    assert not out.exists()


def test_a_preset_that_does_not_exist_is_answered_with_those_that_do(tmp_path, capsys):
    said = failure(capsys, "quickstart", "--out", tmp_path / "run", "--preset", "huge")

    assert said == "error: no preset called 'huge'; known: paper, tiny, photos, lesson, vqa-challenge, visual-genome"


def test_a_stage_that_does_not_exist_is_answered_with_those_that_do(tmp_path, capsys):
    said = failure(capsys, "train", "speech", "--out", tmp_path / "run")

    assert "no stage 'speech'; this run has: world, trunk, detector" in said
    assert not (tmp_path / "run").exists()


def test_no_worker_is_refused(tmp_path, capsys):
    assert "at least 1 worker" in failure(capsys, "quickstart", "--out", tmp_path / "run", "--workers", 0)


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("updown_lab.pipeline.doctor.findings", pressed)

    assert main(["doctor"]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- pictures and finished runs


@pytest.fixture
def picture(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


@pytest.mark.parametrize("command", [["describe"], ["ask"]])
def test_a_missing_picture_or_run_is_named_with_what_to_do(command, picture, tmp_path, capsys):
    question = ["what colour"] if command == ["ask"] else []

    missing_picture = failure(capsys, *command, tmp_path / "no.png", *question)
    missing_run = failure(capsys, *command, picture, *question, "--run-folder", tmp_path / "nowhere")

    assert missing_picture == f"error: no picture {tmp_path / 'no.png'}"
    assert f"no run in {tmp_path / 'nowhere'}" in missing_run
    assert f"python -m updown_lab quickstart --out {tmp_path / 'nowhere'}" in missing_run


def test_a_file_that_is_no_picture_is_named(tmp_path, capsys):
    (tmp_path / "notes.png").write_text("not a picture")

    assert "notes.png cannot be read as an image" in failure(capsys, "describe", tmp_path / "notes.png")


def test_an_unfinished_run_names_the_command_that_finishes_it(picture, tmp_path, capsys):
    save_config(preset("tiny"), tmp_path / "run/config.json")

    said = failure(capsys, "describe", picture, "--run-folder", tmp_path / "run")

    assert "stage 'detector'" in said and "is not done" in said
    assert f"python -m updown_lab train detector --out {tmp_path / 'run'}" in said


def test_extract_wants_a_folder_with_pictures(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()

    said = failure(capsys, "extract", tmp_path, "--store", tmp_path / "store", "--run-folder", tmp_path)

    assert f"no picture in {tmp_path}" in said and ".jpg" in said
    assert not (tmp_path / "store").exists()


def test_real_data_that_is_not_there_is_named(tmp_path, capsys):
    said = failure(capsys, "real", "--data", tmp_path, "--out", tmp_path / "run", "--set", "trunk.weights=none")

    assert f"no file {tmp_path}" in said and "vg_core" in said


# ------------------------------------------------------------------------------------------------------- doctor


def test_the_doctor_says_device_java_and_memory_in_one_line_each(capsys):
    assert main(["doctor"]) == 0

    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["device"] in ("cpu", "cuda", "mps")
    assert "GB free" in lines["memory"]
    assert lines["java"] == str(find_java()) or "pip install" in lines["java"]
    assert torch.__version__ in lines["updown_lab"]


# ----------------------------------------------------------------------------------------------------- evaluate


@pytest.fixture
def references(tmp_path):
    captions = {1: "a red cat on a table", 2: "two blue boats at sea", 3: "a dog with a hat"}
    document = {"images": [{"id": n, "file_name": f"{n}.jpg"} for n in captions],
                "annotations": [{"id": n, "image_id": n, "caption": text} for n, text in captions.items()]}  # fmt: skip
    (tmp_path / "captions.json").write_text(json.dumps(document))
    return tmp_path / "captions.json", captions


def results(tmp_path, rows):
    (tmp_path / "results.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return tmp_path / "results.json"


def scores_of(lines):
    rows = [line.split() for line in lines]
    return {row[0]: float(row[1]) for row in rows if len(row) == 2}


@pytest.fixture
def without_java(monkeypatch):
    monkeypatch.setattr("updown_lab.metrics.captions.find_java", lambda: None)


def test_captions_equal_to_the_references_earn_full_marks(tmp_path, references, capsys, without_java):
    path, captions = references
    file = results(tmp_path, [{"image_id": n, "caption": text} for n, text in captions.items()])

    assert main(["evaluate", str(file), "--captions", str(path)]) == 0

    out = capsys.readouterr().out
    scores = scores_of(out.splitlines())
    assert scores["BLEU-4"] == scores["ROUGE-L"] == 100.0 and scores["CIDEr"] == 1000.0  # the highest there is
    assert "CIDEr on few images (3" in out


def test_captions_of_the_wrong_images_earn_little(tmp_path, references, without_java):
    path, captions = references
    file = results(tmp_path, [{"image_id": n % 3 + 1, "caption": text} for n, text in captions.items()])

    scores = scores_of(score_file(file, path, None, None))

    assert scores["BLEU-4"] < 1 and scores["CIDEr"] < 200


def question(number, answer_type, answers):
    return QuestionRecord(number, 1, "what is it", answer_type, "what", answers[0], tuple(answers))


@pytest.fixture
def asked(tmp_path):
    records = [question(1, "yes/no", ["yes"] * 10), question(2, "number", ["2"] * 9 + ["3"]),
               question(3, "other", ["red"] * 2 + ["blue"] * 8)]  # fmt: skip
    write_vqa(records, tmp_path / "questions.json", tmp_path / "annotations.json")
    return ["--questions", str(tmp_path / "questions.json"), "--annotations", str(tmp_path / "annotations.json")]


def test_answers_are_scored_as_the_official_evaluation_does(tmp_path, asked, capsys):
    rows = [
        {"question_id": 1, "answer": "yes"},
        {"question_id": 2, "answer": "two"},
        {"question_id": 3, "answer": "red"},
    ]

    assert main(["evaluate", str(results(tmp_path, rows)), *asked]) == 0

    scores = scores_of(capsys.readouterr().out.splitlines())
    # by hand: all agree; "two" is read as "2", nine others said so; two said red: (2 * 1/3 + 8 * 2/3) / 10 = 0.6
    assert scores == {"overall": 86.67, "yes/no": 100.0, "number": 100.0, "other": 60.0}


def test_question_types_stand_with_their_number_of_questions_the_commonest_first(tmp_path):
    rare = ("is", "colour", "kind", "size", "sort", "animal", "number", "room")
    kinds, people = ["is the", "is the", *(f"what {word}" for word in rare)], ("red",) * 9 + ("blue",)
    records = [QuestionRecord(n, 1, "?", "other", kind, "red", people) for n, kind in enumerate(kinds)]
    write_vqa(records, tmp_path / "questions.json", tmp_path / "annotations.json")
    said = [{"question_id": n, "answer": "red" if n else "blue"} for n in range(len(kinds))]

    lines = score_file(results(tmp_path, said), None, tmp_path / "questions.json", tmp_path / "annotations.json")

    told = lines[lines.index("by question type (questions):") + 1 :]
    # by hand: one of ten said blue, which is worth 0.3; (0.3 + 1) / 2
    assert told[0].startswith("  is the 65.00 (2); what animal 100.00 (1); what colour 100.00 (1)")
    assert len(told) == 2 and all(len(line) <= 120 for line in told)
    assert sum(line.count("(") for line in told) == 9


def test_a_metric_without_a_figure_says_why(tmp_path, references, without_java):
    path, captions = references
    file = results(tmp_path, [{"image_id": n, "caption": text} for n, text in captions.items()])

    lines = score_file(file, path, None, None)

    assert [line for line in lines if "METEOR" in line] == [f"METEOR   not measured: {missing_java_message()}"]
    assert not any("nan" in line.lower() for line in lines)


def test_results_that_are_broken_are_named_with_file_and_entry(tmp_path, references, capsys):
    path, captions = references
    good = [{"image_id": n, "caption": text} for n, text in captions.items()]
    cases = [
        ("[{]", "results.json is not valid JSON"),
        (good[0], "expected a list of entries with 'image_id' and 'caption'"),
        ([good[0], {"image_id": 2}], "entry 1: expected the fields 'image_id' and 'caption', got {'image_id': 2}"),
        ([good[0], {"image_id": 2, "caption": None}], "entry 1: expected the fields"),
        ([good[0], "a cat"], "entry 1"),
        ([*good, good[0]], "entry 3: image_id 1 comes twice"),
        ([*good, {"image_id": 99, "caption": "a cat"}], "1 captions have no references, first: image 99"),
        ([], "no captions to score"),
    ]

    for rows, expected in cases:
        said = failure(capsys, "evaluate", results(tmp_path, rows), "--captions", path)
        assert expected in said and "results.json" in said, rows


def test_answers_to_other_questions_are_refused(tmp_path, asked, capsys):
    rows = [{"question_id": n, "answer": "yes"} for n in (1, 2, 4)]

    said = failure(capsys, "evaluate", results(tmp_path, rows), *asked)

    assert "question 4 is not in this split" in said and "1 of 3 questions have no answer, first: [3]" in said


def test_evaluate_says_what_it_needs(tmp_path, asked, capsys):
    file = results(tmp_path, [])

    assert "--captions FILE" in failure(capsys, "evaluate", file)
    assert "--annotations FILE" in failure(capsys, "evaluate", file, *asked[:2])
    assert "no file" in failure(capsys, "evaluate", tmp_path / "absent.json", *asked)


# --------------------------------------------------------------------------------------------------- picturebook


def test_the_world_can_be_drawn_alone(tmp_path, capsys):
    assert main(["picturebook", "--out", str(tmp_path), "--images", "6"]) == 0

    assert "8 pictures" in capsys.readouterr().out  # 6 for training, 1 for choosing, 1 for testing
    assert len(list((tmp_path / "images").iterdir())) == 8


def test_the_seed_option_wins_over_the_preset(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("updown_lab.commands.runs._run", lambda config, *_: seen.append(config) or tmp_path)
    monkeypatch.setattr("updown_lab.commands.runs._report", lambda folder: None)

    main(["quickstart", "--seed", "7", "--set", "captioner.hidden_size=9", "--set", "encoders=oracle,regions"])

    tiny = preset("tiny")
    assert seen == [replace(tiny, seed=7, captioner=replace(tiny.captioner, hidden_size=9),
                            encoders=("oracle", "regions"))]  # fmt: skip


def test_train_changes_a_number_of_the_run_that_is_there(tmp_path, monkeypatch):
    seen, there = [], replace(preset("tiny"), seed=9)
    save_config(there, tmp_path / "config.json")
    monkeypatch.setattr("updown_lab.commands.runs._run", lambda config, *_: seen.append(config) or tmp_path)

    main(["train", "detector", "--out", str(tmp_path)])
    main(["train", "detector", "--out", str(tmp_path), "--set", "captioner.hidden_size=9"])

    assert seen == [there, replace(there, captioner=replace(there.captioner, hidden_size=9))]


def test_a_reader_who_has_seen_enough_is_no_error():
    """updown-lab ... | head"""
    talk = """
import sys
from updown_lab import cli
from updown_lab.commands import judging

judging.doctor = lambda options: [print("x" * 1000, flush=True) for _ in range(1000)] and None
sys.exit(cli.main(["doctor"]))
"""
    with subprocess.Popen([sys.executable, "-c", talk], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as talker:
        talker.stdout.readline()
        talker.stdout.close()
        assert talker.stderr.read() == b"" and talker.wait() == 0
