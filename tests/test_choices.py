"""What settings may be is said once: refused wherever a configuration is made, and known to the models."""

from dataclasses import fields, is_dataclass, replace

import pytest

from updown_lab.choices import choices, fits
from updown_lab.cli import main
from updown_lab.config import FEATURES, Config, from_dict, override, preset, to_dict
from updown_lab.datasets.word_vectors import PACKAGE
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.models.classifiers import CLASSIFIERS
from updown_lab.models.vqa import READERS
from updown_lab.presets import PRESETS
from updown_lab.settings import (
    GLOVE,
    CaptionerConfig,
    DetectorConfig,
    GridConfig,
    ScstConfig,
    SelectionConfig,
    TrainingConfig,
    TrunkConfig,
    VqaConfig,
)
from updown_lab.training.optimising import OPTIMISERS, PRECISIONS
from updown_lab.training.self_critical import FORMS
from updown_lab.vision.anchors import KINDS as ANCHORS
from updown_lab.vision.encoders import KINDS
from updown_lab.vision.pixels import METHODS
from updown_lab.vision.pooling import POOLINGS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": "nonsense"}, r"features are some of regions, grid-pretrained-N, .*; got 'nonsense'"),
        ({"encoders": "regions,regions"}, "twice: regions, regions"),
        ({"encoders": "oracle", "data": "photos"}, "features 'oracle' are made from true boxes"),
        ({"captioner.attention": "hard"}, r"captioner\.attention is one of soft, uniform, none; got 'hard'"),
        ({"vqa.activation": "gelu"}, r"vqa\.activation is one of gated_tanh, relu; got 'gelu'"),
        ({"vqa.attention": "soft"}, r"vqa\.attention is one of concatenated, product, uniform, none; got 'soft'"),
        ({"vqa.targets": "squishy"}, r"vqa\.targets is one of soft, hard; got 'squishy'"),
        ({"scst.form": "xe-typo"}, r"scst\.form is one of paper, authors, rennie, leave_one_out; got 'xe-typo'"),
        ({"scst.training.schedule": "cosinus"}, r"scst\.training\.schedule is one of linear, constant, cosine, step"),
        ({"selection.confidence": "7"}, r"selection\.confidence is at least 0 and at most 1; got 7\.0"),
        ({"selection.nms_ladder": "0.5,1.5"}, r"selection\.nms_ladder is at least 0 and at most 1; got 1\.5"),
        ({"selection.maximum": "2"}, r"selection\.minimum is at most selection\.maximum; got 4 and 2: set both"),
        ({"vqa.dropout": "1"}, r"vqa\.dropout is at least 0 and below 1; got 1\.0"),
        ({"cross_entropy.learning_rate": "nan"}, r"cross_entropy\.learning_rate is at least 0; got nan"),
    ],
)  # fmt: skip
def test_a_value_that_nothing_knows_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ConfigError, match=message):
        override(preset("tiny"), **changes)


def test_numbers_that_must_fit_each_other_may_change_together():
    changed = override(preset("tiny"), **{"selection.minimum": 36, "selection.maximum": 36})

    assert (changed.selection.minimum, changed.selection.maximum) == (36, 36)
    assert override(preset("tiny"), **{"selection.rule": "fixed", "selection.maximum": 2}).selection.maximum == 2


@pytest.mark.parametrize("make", [
    lambda: VqaConfig(activation="gelu"),
    lambda: replace(preset("tiny").vqa, activation="gelu"),
    lambda: from_dict({"vqa": {"activation": "gelu"}}),
    lambda: override(preset("tiny"), **{"vqa.activation": "gelu"}),
])  # fmt: skip
def test_no_way_to_make_a_configuration_goes_round_the_check(make):
    with pytest.raises(ConfigError, match=r"vqa\.activation is one of gated_tanh, relu; got 'gelu'"):
        make()


def test_word_vectors_that_are_not_there_are_refused_when_they_are_asked_for_only(tmp_path):
    file = tmp_path / "glove.txt"
    file.write_text("cat 1 2\n")
    kept = to_dict(override(preset("tiny"), **{"vqa.word_vectors": str(file)}))
    file.unlink()

    with pytest.raises(DataMissing, match=r"vqa\.word_vectors is a file or pypi; there is no file '/nope'"):
        override(preset("tiny"), **{"vqa.word_vectors": "/nope"})
    assert from_dict(kept).vqa.word_vectors == str(file)  # a finished run can still be opened
    with pytest.raises(ConfigError, match=r"vqa\.embedding_size=0 takes the width of vqa\.word_vectors"):
        VqaConfig(embedding_size=0)
    assert VqaConfig(embedding_size=0, word_vectors="pypi").embedding_size == 0
    with pytest.raises(ConfigError, match=r"set vqa\.pairs or vqa\.group_by_image to false"):
        VqaConfig(pairs=True, group_by_image=True)


def test_every_command_refuses_before_it_works(tmp_path, capsys):
    folder = tmp_path / "run"

    assert main(["quickstart", "--out", str(folder), "--set", "vqa.activation=gelu"]) == 1
    assert "vqa.activation is one of gated_tanh, relu; got 'gelu'" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("kind", "name", "known"),
    [
        (VqaConfig, "reader", READERS), (VqaConfig, "classifier", CLASSIFIERS), (ScstConfig, "form", FORMS),
        (TrainingConfig, "optimiser", OPTIMISERS), (TrainingConfig, "precision", ["auto", *PRECISIONS]),
        (DetectorConfig, "anchors", ANCHORS), (DetectorConfig, "resize", METHODS),
        (DetectorConfig, "roi_pooling", POOLINGS), (TrunkConfig, "block", ["Bottleneck", "BasicBlock"]),
        (GridConfig, "pooling", ["bilinear", "corners", "average"]),
        (SelectionConfig, "rule", ["per-class", "fixed", "max-nms", "pairs"]),
        (CaptionerConfig, "attention", ["soft", "uniform", "none"]),
    ],
)  # fmt: skip
def test_what_a_setting_allows_is_what_the_library_can_do(kind, name, known):
    assert sorted(choices(kind, name)) == sorted(known)


def test_a_run_knows_the_kinds_of_features_that_encoders_make_from_its_networks():
    assert set(FEATURES) == set(KINDS) - {"regions-coco"}  # those need a detector that no run trains
    assert fits("grid-detector-14", FEATURES) and not fits("grid-detector-0", FEATURES)
    assert GLOVE == PACKAGE


def numbers(node, prefix=""):
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from numbers(value, f"{prefix}{item.name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + item.name, item


def test_every_number_has_its_limits_and_every_preset_is_within_them():
    free = {name for name, item in numbers(Config()) if not {"limits", "known"} & item.metadata.keys()}

    assert free == {"seed", "eyes_seed"}
    for config in PRESETS.values():
        assert from_dict(to_dict(config)) == config
