import importlib
from dataclasses import replace

import pytest

from updown_lab.config import fingerprint, override, preset
from updown_lab.errors import ConfigError
from updown_lab.pipeline.plans import make_plan


def real_folder(root, with_caffe=False):
    for name in ("vg_core/objects.json", "vg_vocab/objects_vocab.txt", "coco_core/captions.json"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("{}")
    if with_caffe:
        (root / "bu_features_demo").mkdir()
        (root / "bu_features_demo/some.tsv").touch()
    return root


@pytest.fixture(params=["tiny", "paper", "photos", "real", "real with caffe", "one encoder"])
def plan(request, tmp_path):
    if request.param.startswith("real"):
        folder = real_folder(tmp_path, "caffe" in request.param)
        return make_plan(replace(preset("photos"), data=str(folder)), "run")
    if request.param == "one encoder":
        return make_plan(replace(preset("tiny"), encoders=("oracle",)), "run")
    return make_plan(preset(request.param), "run")


def test_every_need_comes_before_the_stage_that_needs_it(plan):
    seen = set()
    for stage in plan.stages:
        assert set(stage.needs) <= seen, stage.name
        assert stage.name not in seen, "two stages would share a folder"
        seen.add(stage.name)


def test_every_stage_names_a_function_that_exists(plan):
    for stage in plan.stages:
        module, name = stage.function.split(":")
        assert callable(getattr(importlib.import_module(module), name)), stage.name


def test_the_report_waits_for_everything(plan):
    *others, report = plan.stages

    assert report.name == "report" and set(report.needs) == {stage.name for stage in others}


def test_real_data_needs_no_world_and_no_symbols(tmp_path):
    drawn = make_plan(preset("photos"), "run")
    real = make_plan(replace(preset("photos"), data=str(real_folder(tmp_path))), "run")

    assert {stage.name for stage in drawn.stages} - {stage.name for stage in real.stages} == {
        "world", "features-symbolic", "vqa-symbolic"}  # fmt: skip
    assert not any("world" in stage.needs for stage in real.stages)


def test_a_lesson_has_nothing_to_train_a_trunk_on():
    with pytest.raises(ConfigError, match=r"'lesson' has none .*--set world.crops=7200"):
        make_plan(preset("lesson"), "run")

    assert make_plan(override(preset("lesson"), **{"world.crops": 7200}), "run")


def test_published_features_are_read_where_there_are_any(tmp_path):
    names = [stage.name for stage in
             make_plan(replace(preset("photos"), data=str(real_folder(tmp_path, True))), "run").stages]  # fmt: skip

    assert "caffe-features" in names


def changed(plan_before, plan_after):
    return {stage.name for stage in plan_after.stages
            if plan_after.fingerprint(stage) != plan_before.fingerprint(plan_before.find(stage.name))}  # fmt: skip


EVERYTHING = {stage.name for stage in make_plan(preset("tiny"), "run").stages}
CAPTIONS = {name for name in EVERYTHING if name.startswith(("captions-", "judge-"))}
ANSWERS = {name for name in EVERYTHING if name.startswith("vqa-")}
SCST = {name for name in CAPTIONS if name.endswith("-scst") or name.startswith("judge-")}
PRETRAINED = {name for name in EVERYTHING if "grid-pretrained" in name}
UNSEEING = {"vqa-question-only", "features-symbolic", "vqa-symbolic"}


@pytest.mark.parametrize(
    ("setting", "value", "again"),
    [
        ("world.train_images", 7, EVERYTHING),
        ("seed", 7, EVERYTHING),
        ("pretraining.steps", 7, EVERYTHING - UNSEEING - {"world"}),
        ("detector_training.steps", 7, EVERYTHING - UNSEEING - PRETRAINED - {"world", "trunk"}),
        ("captioner.hidden_size", 7, CAPTIONS | {"report"}),
        ("cross_entropy.steps", 7, CAPTIONS | {"report"}),
        ("scst.training.steps", 7, SCST | {"report"}),
        ("vqa_training.steps", 7, ANSWERS | {"report"}),
    ],
)
def test_a_changed_setting_is_felt_by_those_who_use_it_and_by_nobody_else(setting, value, again):
    before = make_plan(preset("tiny"), "run")
    after = make_plan(override(preset("tiny"), **{setting: value}), "run")

    assert changed(before, after) == again


def test_changed_annotations_of_real_data_are_noticed(tmp_path):
    config = replace(preset("photos"), data=str(real_folder(tmp_path)))
    before = [make_plan(config, "run").fingerprint(stage) for stage in make_plan(config, "run").stages]

    (tmp_path / "coco_core/captions.json").write_text('{"images": []}')
    after = [make_plan(config, "run").fingerprint(stage) for stage in make_plan(config, "run").stages]

    assert all(old != new for old, new in zip(before, after, strict=True))


def test_a_fingerprint_tells_types_of_settings_apart():
    assert fingerprint(1) != fingerprint("1") != fingerprint([1])
