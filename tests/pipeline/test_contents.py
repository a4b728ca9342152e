"""Cached by content: a changed byte makes a stage anew, another place does not, and nothing is read twice."""

import os
from dataclasses import replace

import pytest

from updown_lab.config import override, preset
from updown_lab.errors import ConfigError
from updown_lab.pipeline import contents
from updown_lab.pipeline.contents import content
from updown_lab.pipeline.plans import make_plan

OLD = 1_600_000_000_000_000_000  # ns: long ago, so that it is remembered


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    contents._digits.cache_clear()
    return tmp_path / "cache/updown-lab/contents.json"


def written(path, text, time=OLD):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(time, time))
    return path


def test_a_file_is_read_once_and_again_only_if_its_size_or_its_time_changes(tmp_path):
    path = written(tmp_path / "objects.json", "[1]")
    first = content(path)

    written(path, "[2]")  # behind its back: the same size and the same time
    contents._digits.cache_clear()  # another process
    assert content(path) == first
    written(path, "[2]", OLD + 1)
    assert content(path) != first


def test_a_file_that_was_just_written_is_not_remembered(tmp_path, memory):
    path = tmp_path / "objects.json"
    path.write_text("[1]")

    content(path)

    assert not memory.exists()  # it may change within the same tick of the clock


def test_a_file_that_is_gone_is_what_it_was(tmp_path):
    path = written(tmp_path / "glove.txt", "a 1")
    before = content(path)
    path.unlink()

    assert content(path) == before and content(tmp_path / "never.txt") == "missing"


def data(root):
    for name in ("vg_core/objects.json", "vg_vocab/objects_vocab.txt", "coco_core/captions.json",
                 "vqa2/questions_train.json"):  # fmt: skip
        written(root / name, "[1]")
    return root


def changed(before, config):
    after = make_plan(config, "run")
    return {stage.name for stage in after.stages if after.fingerprint(stage) != before.fingerprint(stage)}


def test_a_changed_byte_of_real_data_makes_what_reads_it_anew(tmp_path):
    config = replace(preset("photos"), data=str(data(tmp_path / "data")))
    plan = make_plan(config, "run")
    everything = {plan.fingerprint(stage) and stage.name for stage in plan.stages}

    written(tmp_path / "data/vqa2/questions_train.json", "[2]", OLD + 1)
    assert changed(plan, config) == {"report", *(name for name in everything if name.startswith("vqa-"))}
    written(tmp_path / "data/vg_core/objects.json", "[2]", OLD + 1)
    assert changed(plan, config) == everything


def test_the_same_data_in_another_place_are_the_same(tmp_path):
    one, two = (replace(preset("photos"), data=str(data(tmp_path / name))) for name in ("one", "two"))
    plan = make_plan(one, "run")
    known = {stage.name: plan.fingerprint(stage) for stage in plan.stages}

    other = make_plan(two, "run")

    assert {stage.name: other.fingerprint(stage) for stage in other.stages if stage.name != "report"} == {
        name: digits for name, digits in known.items() if name != "report"}  # fmt: skip


def test_changed_word_vectors_make_the_answers_anew(tmp_path):
    glove = written(tmp_path / "glove.txt", "a 1")
    config = override(preset("tiny"), **{"vqa.word_vectors": str(glove)})
    plan = make_plan(config, "run")
    answers = {"report", *(stage.name for stage in plan.stages if plan.fingerprint(stage) and "vqa-" in stage.name)}

    written(glove, "a 2", OLD + 1)

    assert changed(plan, config) == answers


def test_questions_that_the_generated_world_does_not_have_are_refused_before_anything_is_drawn():
    with pytest.raises(ConfigError, match="genome_questions=true adds Visual Genome's questions to those of real data"):
        make_plan(override(preset("tiny"), **{"vqa.genome_questions": True}), "run")
