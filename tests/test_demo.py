"""The demo: opens at once, draws what nobody has trained on, says what it said when it was packed."""

import hashlib
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import updown_lab as ul
from updown_lab.datasets.picturebook.scenes import compose_scene
from updown_lab.datasets.picturebook.world import SPLITS
from updown_lab.demo import BUNDLE, FRESH, Demo
from updown_lab.errors import ConfigError, DataMissing

#: What the bundle said about fresh scenes when it was packed; in each it was sure of every word.
SAID = {
    1: "a green ball on an orange table",
    5: "a white ball on an orange table",
    8: "a purple apple on a blue table",
}


@pytest.fixture(scope="module")
def demo():
    return ul.demo()


def test_importing_the_library_loads_nothing_heavy():
    code = "import sys, updown_lab; print(sorted({'torch', 'numpy', 'pandas', 'updown_lab.demo'} & set(sys.modules)))"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out.strip() == "[]"


def test_the_demo_is_a_door_however_it_is_reached(demo):
    from updown_lab.demo import demo as by_name

    assert isinstance(demo, Demo) and isinstance(by_name(), Demo) and isinstance(sys.modules["updown_lab.demo"](), Demo)
    assert "demo" in dir(ul) and not hasattr(ul, "no_such_thing")


def test_the_bundle_is_small_whole_and_tells_where_it_comes_from(demo):
    files = [file for file in BUNDLE.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 10_000_000

    for name, digest in demo.about["sha256"].items():
        assert hashlib.sha256((BUNDLE / name).read_bytes()).hexdigest() == digest, name
    assert len(demo.about["sha256"]) == len([file for file in files if file.suffix == ".safetensors"]) == 8
    assert demo.about["trained_with"].startswith("python -m updown_lab quickstart")
    assert demo.about["bundled_with"].startswith("python -m updown_lab bundle --run")
    assert all(len(demo.about[name].rstrip("+")) == 40 for name in ("trained_at_commit", "bundled_at_commit"))
    assert demo.about["seeds"] and "trained beforehand" in repr(demo) and "# Trained beforehand" in page(demo)


def page(demo):
    return (demo.folder / "BUNDLE.md").read_text()


def test_rounding_has_cost_next_to_nothing(demo):
    before, after = demo.about["scores_of_the_run"], demo.about["scores_of_the_bundle"]

    for stage, scores in before.items():
        for name, value in scores.items():
            assert after[stage][name] == pytest.approx(value, rel=0.01), (stage, name)
    assert after["captions-regions-scst"]["CIDEr"] > after["captions-grid-pretrained-7-scst"]["CIDEr"] + 0.5


@pytest.mark.parametrize("seed", SAID)
def test_captions_of_fresh_scenes_are_the_ones_it_was_packed_with(demo, seed):
    told = demo.speaker().describe(demo.see(demo.scene(seed)))

    assert str(told) == SAID[seed]
    assert told.ended and torch.allclose(told.weights.sum(1), torch.ones(len(told.words)))


def test_packed_weights_are_ordinary_numbers_once_loaded(demo):
    for model in (demo.speaker().model, demo.answerer().model, demo.speaker().encoder.detector):
        assert {value.dtype for value in model.parameters()} == {torch.float32}
        assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


def test_all_models_of_the_promise_are_there(demo):
    picture = demo.scene(seed=4)
    for features, count in (("regions", None), ("grid-pretrained-7", 49)):
        regions = demo.see(picture, features)
        assert count in (None, regions.count)
        for objective in ("cross-entropy", "scst"):
            speaker = demo.speaker(features, objective)
            assert len(speaker.describe(regions).words) > 2 and speaker is demo.speaker(features, objective)
        answers = demo.answerer(features).ask(regions, "where is this ?").answers
        assert answers[0][0] in ("meadow", "beach", "lake", "room")
    assert demo.speaker().encoder is demo.answerer().encoder  # the eyes are loaded once


def test_a_scene_is_the_same_each_time_and_another_for_another_seed(demo):
    one, again, other = demo.scene(3), demo.scene(np.int64(3)), demo.scene(4)

    assert one.shape == (3, 128, 128) and one.dtype == torch.float32 and one.min() >= 0 and one.max() <= 1
    assert torch.equal(one, again) and not torch.equal(one, other) and not torch.equal(demo.scene(), demo.scene())
    drawn = demo.scene_truth()
    assert torch.equal(demo.scene(drawn.seed), drawn.image)


def test_scenes_of_the_demo_are_in_no_world(demo):
    # A world's pictures come from (its seed, the split's number, the picture's number); see picturebook/world.py.
    assert FRESH[1] not in {*range(len(SPLITS)), 7, 8, 9}
    worlds = [np.asarray(compose_scene(np.random.default_rng([1, split, number])).image)
              for split in range(len(SPLITS)) for number in range(3)]  # fmt: skip

    for seed in range(3):
        mine = demo.scene(seed).mul(255).round().byte().permute(1, 2, 0).numpy()
        assert not any(np.array_equal(mine, other) for other in worlds)


@pytest.mark.parametrize("seed", range(6))
def test_the_truth_about_a_scene_is_true(demo, seed):
    drawn = demo.scene_truth(seed)
    counts = Counter(thing.category for thing in drawn.things)
    colours = {(thing.colour, thing.category) for thing in drawn.things}
    asked = {question.kind: question for question in drawn.questions}

    assert len(drawn.captions) == 5 and len(asked) == len(drawn.questions) >= 5
    assert asked["where"].answer == drawn.place
    names = {"kitten": "cat", "mug": "cup", "cottage": "house", "pine tree": "tree", "parasol": "umbrella",
             "sailboat": "boat"}  # fmt: skip
    colour, noun = asked["exists"].text.removesuffix(" ?").split(" a ")[1].split(" ", 1)
    assert asked["exists"].answer == ("yes" if (colour, names.get(noun, noun)) in colours else "no")
    plural = asked["how many"].text.split()[2]
    assert asked["how many"].answer == str(counts["fish" if plural == "fish" else plural[:-1]])
    assert all(question.answers.count(question.answer) >= 6 for question in drawn.questions)


@pytest.mark.parametrize("seed", [-1, 1.5, "7"])
def test_a_seed_that_is_none_is_named(demo, seed):
    with pytest.raises(ConfigError, match="whole number from 0 on, got"):
        demo.scene(seed)


def test_what_the_demo_has_not_is_named(demo, tmp_path):
    with pytest.raises(
        ConfigError, match="no 'captions-grid-detector-7-scst'; it has captions-grid-pretrained-7-cross"
    ):
        demo.speaker("grid-detector-7")
    with pytest.raises(ConfigError, match="no 'vqa-symbolic'"):
        demo.answerer("symbolic")
    with pytest.raises(DataMissing, match="python -m updown_lab quickstart"):
        demo.run.stage("world")
    with pytest.raises(DataMissing, match="make it with: python -m updown_lab bundle"):
        Demo(tmp_path)
    with pytest.raises(ConfigError, match="'dog' as word 2"):
        demo.speaker().describe(demo.see(demo.scene(1)), ["a", "dog"])


def test_explore_opens_the_explorer_on_a_picture_and_a_speaker(demo, monkeypatch):
    opened = []
    widgets = SimpleNamespace(AttentionExplorer=lambda *parts: opened.append(parts) or "the widget")
    monkeypatch.setitem(sys.modules, "updown_lab.widgets", widgets)

    assert demo.explore(demo.scene(5)) == demo.explore() == "the widget"

    assert torch.equal(opened[0][0], demo.scene(5)) and opened[0][1] is demo.speaker()
    assert opened[1][0].shape == (3, 128, 128)


def test_explore_without_widgets_says_what_to_install(demo, monkeypatch):
    monkeypatch.setitem(sys.modules, "updown_lab.widgets", None)

    with pytest.raises(DataMissing, match=r"pip install --upgrade updown_lab anywidget"):
        demo.explore()
