"""Reading published weights: a detector of a few thousand numbers, written as LXMERT and detectron2 write theirs."""

import pickle
import sys
from collections import OrderedDict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from updown_lab.config import preset
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.vision import published_files
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.published import ANCHORS, load_visual_genome_detector, published_state
from updown_lab.vision.selection import select_detections, select_regions
from updown_lab.vision.trunk import build_trunk

PUBLISHED = preset("visual-genome")
SETTINGS = {  # as in LXMERT's file, some keys in small letters
    "input": {"format": "BGR", "MIN_SIZE_TEST": 64, "max_size_test": 96},
    "MODEL": {"pixel_mean": [102.9801, 115.9465, 122.7717], "PIXEL_STD": [1.0, 1.0, 1.0]},
    "ANCHOR_GENERATOR": {"SIZES": [[16, 32]], "ASPECT_RATIOS": [[0.5, 1.0, 2.0]], "OFFSET": 0.0},
    "RPN": {"PRE_NMS_TOPK_TEST": 200, "POST_NMS_TOPK_TEST": 12, "NMS_THRESH": 0.6},
    "ROI_BOX_HEAD": {"BBOX_REG_WEIGHTS": [10.0, 10.0, 5.0, 5.0], "POOLER_RESOLUTION": 6, "POOLER_TYPE": "ROIPool"},
    "ROI_HEADS": {"NMS_THRESH_TEST": [0.5, 0.7]},
    "RESNETS": {"STRIDE_IN_1X1": True, "RES5_DILATION": 1},
    "min_detections": 3,
    "MAX_DETECTIONS": 6,
}
FIRST = "backbone.stem.conv1.weight"
CLASSES = "roi_heads.box_predictor.cls_score.weight"


@pytest.fixture(scope="module")
def original():
    """A published network in small: 5 classes, 4 attributes, six anchors."""
    torch.manual_seed(0)
    trunk = replace(PUBLISHED.trunk, layers=(1, 2, 1, 2), widths=(4, 6, 8, 10), stem_width=5)
    cfg = replace(PUBLISHED.detector, anchor_sizes=(16, 32), image_min=64, image_max=96, roi_size=6, proposals_test=12,
                  proposal_candidates=200, proposal_nms=0.6, proposal_width=7, class_embedding=6,
                  attribute_hidden=9)  # fmt: skip
    detector = BottomUpDetector(build_trunk(trunk), cfg, classes=5, attributes=4).eval()
    for name, value in detector.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif name.endswith("running_mean"):
            value.normal_(0.0, 0.1)
    torch.nn.init.normal_(detector.predictor.cls_score.weight, std=0.5)
    return detector


@pytest.fixture
def image():
    return torch.rand(3, 50, 70, generator=torch.Generator().manual_seed(0))


def write_bin(folder, state, settings=SETTINGS, **options):
    torch.save(state, folder / "pytorch_model.bin", **options)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def write_pickle(folder, state, protocol=2, settings=SETTINGS):
    arrays = {name: value.numpy() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    file = folder / "faster_rcnn_from_caffe_attr.pkl"
    file.write_bytes(pickle.dumps({"model": arrays, "__author__": "someone"}, protocol=protocol))
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return file


def same(a, b):
    for name in ("proposals", "features", "probabilities", "attributes", "deltas"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "before torch 1.6"])
def test_a_conversion_of_lxmert_gives_the_same_detections(tmp_path, original, image, options):
    write_bin(tmp_path, OrderedDict(published_state(original)), **options)

    loaded = load_visual_genome_detector(tmp_path)

    assert not loaded.training and (loaded.classes, loaded.attributes) == (5, 4)
    same(loaded.detect([image])[0], original.detect([image])[0])


@pytest.mark.parametrize("protocol", [2, 4])
def test_detectron2s_pickle_gives_the_same_detections(tmp_path, original, image, protocol):
    file = write_pickle(tmp_path, published_state(original), protocol)

    loaded = load_visual_genome_detector(file, **{"detector.resize": "plain"})

    same(loaded.detect([image])[0], original.detect([image])[0])
    assert load_visual_genome_detector(file).cfg.resize == "pil"  # as airsplay's programs see images


def test_a_pickle_of_python_2_is_read(tmp_path, original, image):
    text = pickle.dumps(
        {"model": {name: value.numpy() for name, value in published_state(original).items()}}, protocol=2
    )
    (tmp_path / "old.pkl").write_bytes(text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(SETTINGS))

    loaded = load_visual_genome_detector(tmp_path / "old.pkl", **{"detector.resize": "plain"})

    same(loaded.detect([image])[0], original.detect([image])[0])


def test_numbers_come_from_the_file_in_any_spelling(tmp_path, original):
    loaded = load_visual_genome_detector(write_bin(tmp_path, published_state(original)))

    config = loaded.published.config
    assert (loaded.cfg.image_min, loaded.cfg.image_max, loaded.cfg.roi_size) == (64, 96, 6)
    assert (loaded.cfg.proposal_candidates, loaded.cfg.proposals_test, loaded.cfg.proposal_nms) == (200, 12, 0.6)
    assert (config.selection.minimum, config.selection.maximum, config.selection.nms_ladder) == (3, 6, (0.5, 0.7))
    assert (config.trunk.layers, config.trunk.widths, config.trunk.stem_width) == ((1, 2, 1, 2), (4, 6, 8, 10), 5)
    assert config.trunk.colours == "bgr" and config.trunk.head_dilation == 2
    assert any("RES5_DILATION is 1" in note for note in loaded.published.notes)


def test_settings_that_differ_from_the_published_ones_are_obeyed(tmp_path, original, image):
    settings = {**SETTINGS, "ROI_BOX_HEAD": {"BBOX_REG_WEIGHTS": [1, 1, 1, 1], "POOLER_RESOLUTION": 6},
                "RESNETS": {"STRIDE_IN_1X1": False}}  # fmt: skip

    loaded = load_visual_genome_detector(write_bin(tmp_path, published_state(original), settings))

    assert loaded.trunk.layer2[0].conv2.stride == (2, 2) and loaded.trunk.layer2[0].conv1.stride == (1, 1)
    found = loaded.detect([image])[0]
    assert loaded.cfg.box_weights == found.box_weights == (1.0, 1.0, 1.0, 1.0)


def test_without_settings_the_published_ones_are_used_and_said(tmp_path, original):
    torch.save(published_state(original), tmp_path / "pytorch_model.bin")

    loaded = load_visual_genome_detector(tmp_path)

    assert (loaded.cfg.image_min, loaded.cfg.image_max, loaded.cfg.proposals_test) == (600, 1000, 300)
    assert any("no config.yaml" in note for note in loaded.published.notes)


@pytest.mark.parametrize(
    ("mean", "stated", "colours"),
    [
        ([102.98, 115.95, 122.77], "BGR", "bgr"),
        ([102.98, 115.95, 122.77], "RGB", "bgr"),  # one published reader means BGR when it says RGB
        ([123.7, 116.3, 103.5], "RGB", "rgb"),
        ([127.5, 127.5, 127.5], "RGB", "rgb"),
    ],
)
def test_the_means_say_which_colour_is_first(tmp_path, original, mean, stated, colours):
    settings = {**SETTINGS, "MODEL": {"PIXEL_MEAN": mean}, "input": {"FORMAT": stated}}

    loaded = load_visual_genome_detector(write_bin(tmp_path, published_state(original), settings))

    assert loaded.trunk.colours == colours
    contradicted = any("means decide" in note for note in loaded.published.notes)
    assert contradicted == (stated.lower() != colours)


def test_the_anchors_are_the_files_own_and_compared_with_the_formulas(tmp_path, original, image):
    state = published_state(original)
    known = load_visual_genome_detector(write_bin(tmp_path, state))
    moved = load_visual_genome_detector(write_bin(tmp_path, {**state, ANCHORS: state[ANCHORS] + 7.5}))

    assert known.cfg.anchors == "continuous" and "formula 'continuous'" in known.published.notes[-1]
    assert "no known formula" in moved.published.notes[-1] and "continuous 7.5" in moved.published.notes[-1]
    torch.testing.assert_close(moved.rpn.anchor_generator.cell_anchors[0], state[ANCHORS] + 7.5)


def test_names_lie_beside_the_weights_or_are_given(tmp_path, original):
    write_bin(tmp_path, published_state(original))
    (tmp_path / "objects_vocab.txt").write_text("yolk\ngoal\nstop sign,stopsign\ncone\ntea")  # no last line end

    found = load_visual_genome_detector(tmp_path, attributes=["red", "wet", "tall", "old"]).published

    assert found.objects == ("yolk", "goal", "stop sign", "cone", "tea")
    assert found.attributes == ("red", "wet", "tall", "old")
    with pytest.raises(DataInvalid, match="3 names were given, but the weights have 4"):
        load_visual_genome_detector(tmp_path, attributes=["red", "wet", "tall"])
    (tmp_path / "objects_vocab.txt").write_text("yolk\n")
    with pytest.raises(DataInvalid, match=r"objects_vocab\.txt has 1 names, but the weights have 5"):
        load_visual_genome_detector(tmp_path)


def test_its_own_selection_keeps_its_own_number(tmp_path, original, image):
    loaded = load_visual_genome_detector(write_bin(tmp_path, published_state(original)))
    found = loaded.detect([image])[0]

    chosen, boxes = select_detections(found, loaded.published.config.selection)

    assert 3 <= len(chosen.rows) <= 6
    everything = select_regions(found.probabilities, found.boxes(), loaded.published.config.selection)
    assert torch.equal(chosen.rows, everything.rows)
    torch.testing.assert_close(boxes, found.boxes()[chosen.rows, chosen.classes])


def test_all_that_does_not_fit_is_told_in_one_error(tmp_path, original):
    state = published_state(original)
    state["roi_heads.res5.0.conv2.weights"] = state.pop("roi_heads.res5.0.conv2.weight")
    state["backbone.res2.0.conv2.norm.bias"] = torch.zeros(5)
    state["backbone.res2.0.conv3.norm.running_var"] = -state["backbone.res2.0.conv3.norm.running_var"]
    state[FIRST] = state[FIRST].clone()
    state[FIRST][0, 0, 0, 0] = float("nan")
    state["proposal_generator.rpn_head.conv.bias"] = torch.zeros(7, dtype=torch.long)

    with pytest.raises(DataInvalid) as error:
        load_visual_genome_detector(write_bin(tmp_path, state))

    text = str(error.value)
    for line in (
        "roi_heads.res5.0.conv2.weight: missing, should be (10, 10, 3, 3)",
        "roi_heads.res5.0.conv2.weights: unknown, the file has (10, 10, 3, 3)",
        "backbone.res2.0.conv2.norm.bias: the file has (5,), should be (4,)",
        "backbone.res2.0.conv3.norm.running_var: a variance is negative",
        f"{FIRST}: holds values that are not finite",
        "proposal_generator.rpn_head.conv.bias: floats expected, the file has torch.int64",
    ):
        assert line in text
    assert len(text.splitlines()) == 1 + 6


@pytest.mark.parametrize(
    "change",
    [{CLASSES: torch.zeros(6)}, {CLASSES: torch.zeros(3, 40)}, {"backbone.res2.0.conv1.weight": torch.tensor(1.0)},
     {ANCHORS: torch.zeros(5, 4)}, {"backbone.res2.junk": torch.zeros(1)}, {"extra": "text"}],
    ids=["vector", "fewer classes", "a number", "anchors", "another block", "text"],
)  # fmt: skip
def test_any_odd_entry_is_an_error_in_words(tmp_path, original, change):
    write_bin(tmp_path, {**published_state(original), **change})

    with pytest.raises(DataInvalid, match=f"{next(iter(change)).split('.')[-1]}"):
        load_visual_genome_detector(tmp_path)


def test_a_file_of_something_else_is_an_error_in_words(tmp_path):
    for content in ({"weights": [1, 2]}, [1, 2], {}, {"model": {"a": 1}}):
        torch.save(content, tmp_path / "pytorch_model.bin")
        with pytest.raises(DataInvalid):
            load_visual_genome_detector(tmp_path)


class Evil:
    """Runs a program when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("suffix", ["bin", "pkl"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_file_that_wants_to_run_something_is_refused_and_runs_nothing(tmp_path, suffix, nested):
    marker = tmp_path / "was here"
    content = {"model": {FIRST: Evil(marker)}} if nested else Evil(marker)
    file = tmp_path / f"pytorch_model.{suffix}"
    if suffix == "bin":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))

    with pytest.raises(DataInvalid):
        load_visual_genome_detector(file)
    assert not marker.exists()


def test_arrays_of_objects_are_refused(tmp_path, original):
    file = write_pickle(tmp_path, published_state(original))
    content = pickle.loads(file.read_bytes())
    content["model"][FIRST] = np.array([None, 1.0], dtype=object)
    file.write_bytes(pickle.dumps(content))

    with pytest.raises(DataInvalid, match="objects"):
        load_visual_genome_detector(file)


@pytest.mark.parametrize("size", [0, 10, 1000])
@pytest.mark.parametrize("suffix", ["bin", "pkl", "safetensors"])
def test_a_truncated_file_is_an_error_in_words(tmp_path, original, size, suffix):
    torch.save(published_state(original), tmp_path / "whole")
    file = tmp_path / f"model.{suffix}"
    file.write_bytes((tmp_path / "whole").read_bytes()[:size])

    with pytest.raises(DataInvalid, match=r"model\."):
        load_visual_genome_detector(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "names and values"),
        ("a: !!python/object/apply:os.getcwd []", "plain YAML"),
        ("a: [", "plain YAML"),
        ("MODEL: {PIXEL_MEAN: [1, 2]}", "PIXEL_MEAN is .*3 numbers"),
        ("MAX_DETECTIONS: many", "MAX_DETECTIONS is 'many'"),
        ("ROI_HEADS: {NMS_THRESH_TEST: [a]}", "NMS_THRESH_TEST"),
    ],
)
def test_impossible_settings_name_the_file_and_the_setting(tmp_path, original, text, words):
    write_bin(tmp_path, published_state(original))
    (tmp_path / "config.yaml").write_text(text)

    with pytest.raises(DataInvalid, match=rf"config\.yaml.*{words}"):
        load_visual_genome_detector(tmp_path)


def test_what_is_not_there_comes_with_the_address(tmp_path, monkeypatch):
    for source in (tmp_path, tmp_path / "model.bin"):
        with pytest.raises(DataMissing, match=r"huggingface\.co/unc-nlp/frcnn-vg-finetuned"):
            load_visual_genome_detector(source)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DataMissing, match="pip install huggingface_hub"):
        load_visual_genome_detector(published_files.HUB_NAME)


def test_a_name_on_the_hub_is_fetched_or_the_reason_is_told(tmp_path, original, monkeypatch, image):
    write_bin(tmp_path, published_state(original))
    hub = SimpleNamespace(hf_hub_download=lambda name, file: str(tmp_path / file))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)

    loaded = load_visual_genome_detector("unc-nlp/frcnn-vg-finetuned")

    same(loaded.detect([image])[0], original.detect([image])[0])

    def offline(name, file):
        raise ConnectionError("no network")

    hub.hf_hub_download = offline
    with pytest.raises(DataMissing, match=r"no network.*Download pytorch_model\.bin"):
        load_visual_genome_detector("unc-nlp/frcnn-vg-finetuned")


def test_an_unknown_change_is_refused(tmp_path, original):
    with pytest.raises(ConfigError, match="image_min"):
        load_visual_genome_detector(write_bin(tmp_path, published_state(original)), **{"detector.image_minn": 3})
    with pytest.raises(DataInvalid, match="res3"):
        load_visual_genome_detector(write_bin(tmp_path, published_state(original)), **{"trunk.widths": (4, 7, 8, 10)})
