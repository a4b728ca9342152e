"""Numbers of a run: the paper's by hand, changed by name, written and read again."""

import dataclasses

import pytest

from updown_lab import config as c
from updown_lab.errors import ConfigError
from updown_lab.presets import PRESETS


def settings(node, prefix: str = ""):
    """(dotted name, field, value) of every single number."""
    for item in dataclasses.fields(node):
        value = getattr(node, item.name)
        if dataclasses.is_dataclass(value):
            yield from settings(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item, value


def leaves(node):
    """(dotted name, value) of every single number."""
    return ((name, value) for name, _, value in settings(node))


#: Where another value must fit a neighbour's.
FITTING = {"encoders": ("oracle",), "trunk.stride_in": "3x3", "decode.groups": 5, "detector.anchor_boxes": (0.0,) * 4,
           "detector.box_weights": (1.0,) * 4, "trunk.weights": "none"}  # fmt: skip


def another(name, item, value):
    """A different value that the setting may have."""
    if name in FITTING:
        return FITTING[name]
    if "packages" in item.metadata:
        return __file__
    if "known" in item.metadata:
        return next(word for word in item.metadata["known"] if word != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, value[0] if value else 1.0)
    if isinstance(value, str):
        return value + "x"
    return (
        value / 2 if {"most", "below"} & {word.split()[-1] for word in item.metadata.get("limits", ())} else value + 1
    )


def test_the_defaults_are_the_numbers_of_the_paper():
    """Anderson et al. 2018: Sec. 3.1 (IoU 0.3, 1600 classes' head), 4.2 (captioner), 4.3 (VQA)."""
    paper = c.preset("paper")

    assert dataclasses.replace(paper, detector=c.DetectorConfig()) == c.Config()  # only its detector differs
    assert (paper.captioner.embedding_size, paper.captioner.hidden_size, paper.captioner.attention_size) \
        == (1000, 1000, 512)  # fmt: skip
    assert (paper.vqa.embedding_size, paper.vqa.hidden_size, paper.vqa.answer_minimum_count) == (300, 512, 9)
    assert (paper.selection.nms_threshold, paper.selection.minimum, paper.selection.maximum) == (0.3, 10, 100)
    assert (paper.cross_entropy.learning_rate, paper.cross_entropy.momentum, paper.cross_entropy.batch_size) \
        == (0.01, 0.9, 100)  # fmt: skip
    assert paper.decode.beam_size == 5 and paper.trunk.layers == (3, 4, 23, 3)
    assert (paper.vqa_training.optimiser, paper.vqa_training.batch_size, paper.vqa_training.keep) \
        == ("adadelta", 512, "best") and paper.vqa_training.patience > 0  # fmt: skip


def test_the_challenge_adds_to_the_paper_what_it_leaves_to_teney():
    """Teney et al. 2018: GloVe, both streams from what is known of the answers, Visual Genome, balanced pairs."""
    challenge, paper = c.preset("vqa-challenge"), c.preset("paper")

    assert dataclasses.replace(challenge, name="paper", vqa=paper.vqa) == paper
    differs = {name: value for name, value in dataclasses.asdict(challenge.vqa).items()
               if value != getattr(paper.vqa, name)}  # fmt: skip
    assert differs == {"word_vectors": "pypi", "classifier": "two-stream", "genome_questions": True, "pairs": True}
    assert challenge.vqa.answer_pictures


@pytest.mark.parametrize("name", PRESETS)
def test_presets_carry_their_name_and_come_back_from_a_file(tmp_path, name):
    config = c.preset(name)

    c.save_config(config, tmp_path / "config.json")

    assert config.name == name
    assert c.load_config(tmp_path / "config.json") == config
    assert c.fingerprint(c.load_config(tmp_path / "config.json")) == c.fingerprint(config)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'huge'; known: paper, tiny, photos"):
        c.preset("huge")


def test_a_configuration_cannot_be_changed_in_place():
    config = c.preset("tiny")

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 2
    assert c.override(config, seed=2).seed == 2 and config.seed == 1


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("seed", "7", 7),
        ("seed", "1e3", 1000),
        ("captioner.hidden_size", "64", 64),
        ("scst.training.learning_rate", "5e-4", 0.0005),
        ("scst.training.learning_rate", 1, 1.0),
        ("captioner.standardise", "TRUE", True),
        ("decode.no_repeat", "false", False),
        ("trunk.layers", "1,2, 3", (1, 2, 3)),
        ("detector.anchor_ratios", "0.5,2", (0.5, 2.0)),
        ("trunk.layers", [2, 2], (2, 2)),
        ("encoders", "regions, grid-detector-7", ("regions", "grid-detector-7")),
        ("scst.form", "authors", "authors"),
    ],
)
def test_text_becomes_the_type_of_the_setting(path, text, expected):
    changed = dict(leaves(c.override(c.preset("paper"), **{path: text})))

    assert changed[path] == expected and type(changed[path]) is type(expected)
    untouched = {name: value for name, value in leaves(c.preset("paper")) if name != path}
    assert {name: value for name, value in changed.items() if name != path} == untouched


@pytest.mark.parametrize(
    ("path", "value"),
    [("seed", "many"), ("seed", "1.5"), ("captioner.hidden_size", 64.5), ("captioner.standardise", "maybe"),
     ("captioner.standardise", 1), ("cross_entropy.learning_rate", "fast"), ("trunk.layers", "1,two"),
     ("trunk.layers", 3), ("seed", None), ("seed", "nan")],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused_by_name(path, value):
    with pytest.raises(ConfigError, match=f"{path} should be a .*got "):
        c.override(c.preset("paper"), **{path: value})


def test_a_slip_of_the_pen_is_answered_with_the_closest_name():
    with pytest.raises(ConfigError, match=r"'captioner\.hiden_size'; CaptionerConfig knows: hidden_size"):
        c.override(c.preset("paper"), **{"captioner.hiden_size": 64})


def test_groups_and_single_values_are_not_confused():
    with pytest.raises(ConfigError, match=r"'captioner' is a group.*captioner\.embedding_size"):
        c.override(c.preset("paper"), captioner=3)
    with pytest.raises(ConfigError, match="'seed' is a single value"):
        c.override(c.preset("paper"), **{"seed.value": 3})


def test_several_changes_are_made_together():
    config = c.override(c.preset("tiny"), **{"seed": 5, "world.crops": 2, "world.test_images": 3})

    assert (config.seed, config.world.crops, config.world.test_images) == (5, 2, 3)


def test_unknown_settings_in_a_file_are_refused():
    values = c.to_dict(c.preset("tiny"))
    values["captioner"]["depth"] = 3

    with pytest.raises(ConfigError, match=r"\['depth'\] for CaptionerConfig"):
        c.from_dict(values)


def test_every_single_setting_changes_the_fingerprint():
    halves = ("captioner.dropout", "vqa.attention_dropout", "teaching.label_smoothing", "teaching.scheduled_sampling")
    start = {"trunk.block": "Bottleneck", "trunk.stride_in": "1x1", "vqa.group_by_image": False}
    tiny = c.override(c.preset("tiny"), **start, **dict.fromkeys(halves, 0.5))
    changed = [c.fingerprint(c.override(tiny, **{name: another(name, item, value)}))
               for name, item, value in settings(tiny) if name != "trunk.block"]  # fmt: skip
    changed.append(c.fingerprint(c.override(tiny, **{"trunk.block": "BasicBlock", "trunk.stride_in": "3x3"})))

    assert len({c.fingerprint(tiny), *changed}) == len(changed) + 1
    assert all(len(digits) == 12 and int(digits, 16) >= 0 for digits in changed)


def test_fingerprints_look_at_content_not_at_order_or_object():
    assert c.fingerprint({"a": 1, "b": 2}, "x") == c.fingerprint({"b": 2, "a": 1}, "x")
    assert c.fingerprint("a", "b") != c.fingerprint("b", "a")
    assert c.fingerprint("ab") != c.fingerprint("a", "b")
    assert c.fingerprint(c.WorldConfig()) == c.fingerprint(c.to_dict(c.WorldConfig()))
