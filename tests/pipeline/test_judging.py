"""What is written of captions: a figure for all, and one for each picture that paired tests can use."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from updown_lab.metrics import captions
from updown_lab.pipeline import judging
from updown_lab.pipeline.judging import ITEMS, judge_captions
from updown_lab.pipeline.sources import RealSource
from updown_lab.pipeline.tables import Findings

SAID = {7: "a red dog", 3: "hello", 5: "a cat with"}
HERE = [0.0, 0, 10, 10]


class Source:
    """One blue dog on picture 7, two people speak of a cat on picture 5."""

    nouns, colours = {"dog": "dog", "cat": "cat"}, ("red", "blue")

    def captions(self, split):
        return [SimpleNamespace(image_id=image, captions=["a dog", "a cat"]) for image in SAID]

    def objects(self, image):
        return [({"dog"}, HERE)] if image == 7 else []

    def mentioned(self, image):
        return set()

    def described(self, image):
        return [({"dog"}, {"blue"})] if image == 7 else []


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A function that judges the captions above with a source."""
    stage = tmp_path / "stages" / "judge-regions"
    for folder in (stage, tmp_path / "world", *(tmp_path / f"captions-regions-{o}" for o in judging.OBJECTIVES)):
        folder.mkdir(parents=True)
        rows = [{"image_id": image, "caption": text} for image, text in SAID.items()]
        (folder / "captions.json").write_text(json.dumps(rows))
        looks = {str(image): np.tile([0.75, 0.25], (len(text.split()), 1)) for image, text in SAID.items()}
        np.savez(folder / "attention.npz", **looks)
    boxes = SimpleNamespace(boxes=torch.tensor([HERE, [20.0, 20, 30, 30]]))
    monkeypatch.setattr(captions, "find_java", lambda: None)
    monkeypatch.setattr(judging, "FeatureStore", SimpleNamespace(open=lambda path: dict.fromkeys(SAID, boxes)))

    def judge(source):
        monkeypatch.setattr(judging, "open_source", lambda *_: source)
        judge_captions(
            SimpleNamespace(config=None, argument="regions", folder=stage, need=lambda name: tmp_path / name)
        )
        findings = Findings(tmp_path, None, source)
        return findings.per_image("regions", "scst"), findings.judged("regions", "scst")

    return judge


def test_every_picture_has_its_own_figures(judged):
    items, whole = judged(Source())

    wanted = pd.DataFrame(
        {
            "pointing": [1, np.nan, np.nan], "iou50": [1, np.nan, np.nan], "mass": [0.75, np.nan, np.nan],
            "hallucination": [0, np.nan, 1], "hallucinated captions": [0, 0, 1], "bad endings": [0, 0, 1],
            "distinct captions": [1, 1, 1], "distinct pairs": [1, np.nan, 1], "binding": [0, np.nan, np.nan],
        },
        index=pd.Index([7, 3, 5], name="image_id"),
    )  # fmt: skip
    pd.testing.assert_frame_equal(items[list(ITEMS)], wanted, check_dtype=False)
    assert items["caption"].to_dict() == SAID
    assert {"BLEU-4", "CIDEr"} <= set(items.columns)
    assert whole["grounding"] == {"pointing": 1, "iou50": 1, "mass": 0.75, "hallucination": 0.5,
                                  "hallucinated captions": pytest.approx(1 / 3), "words": 2}  # fmt: skip
    assert whole["speech"]["binding"] == 0 and whole["speech"]["bad endings"] == pytest.approx(1 / 3)
    assert not any(note.startswith("binding") for note in whole["notes"])


def test_what_people_mention_is_no_hallucination(judged):
    source = Source()
    source.mentioned = lambda image: {"cat"}

    assert judged(source)[1]["grounding"]["hallucination"] == 0


def test_binding_says_why_it_is_nan(judged):
    source = Source()
    source.described = lambda image: []

    items, whole = judged(source)

    assert items["binding"].isna().all() and np.isnan(whole["speech"]["binding"] or np.nan)
    assert whole["notes"][-1] == judging.NO_ATTRIBUTES


@pytest.fixture
def photos(tmp_path):
    """Visual Genome's photo 1 is COCO's photo 9: two boxes there under Pascal's names, a man in no box."""
    files = {
        "vg_core/objects.json": [{"image_id": 1, "objects": [
            {"object_id": n, "names": [name], "x": 0, "y": 0, "w": 9, "h": 9}
            for n, name in enumerate(["sofa", "lamp"])]}],
        "vg_core/attributes.json": [{"image_id": 1, "attributes": [
            {"object_id": 0, "names": ["sofa"], "attributes": ["grey"], "x": 0, "y": 0, "w": 9, "h": 9}]}],
        "vg_core/image_data.json": [{"image_id": 1, "coco_id": 9, "width": 20, "height": 20}],
        "coco_core/captions.json": {
            "images": [{"id": 9, "file_name": "9.jpg", "split": "test"}],
            "annotations": [{"id": 1, "image_id": 9, "caption": "A man on a sofa."}]},
        "coco_core/instances_boxes.json": {
            "images": [{"id": 9}], "categories": [{"id": 1, "name": "sofa"}, {"id": 2, "name": "tvmonitor"}],
            "annotations": [{"id": n, "image_id": 9, "category_id": n, "bbox": [0, 0, 4, 4]} for n in (1, 2)]},
    }  # fmt: skip
    for name, document in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "vg_vocab").mkdir()
    (tmp_path / "vg_vocab/objects_vocab.txt").write_text("sofa\nlamp\n")
    (tmp_path / "vg_vocab/attributes_vocab.txt").write_text("gray,grey\n")
    (tmp_path / "vg_core/images").mkdir()
    return tmp_path


def test_photos_have_official_names_peoples_words_and_visual_genomes_attributes(photos):
    source = RealSource(photos, minimum_boxes=1)

    assert [names for names, _ in source.objects(9)] == [{"couch"}, {"tv"}]
    assert source.mentioned(9) == {"person", "couch"}
    assert ({"couch"}, {"gray"}) in source.described(9)
    assert source.described(10) == [] and source.mentioned(10) == set()
    assert source.nouns["zebra"] == "zebra"  # said of a photo set without zebras it is an invention


def test_without_coco_ids_nobody_knows_what_the_objects_are_like(photos):
    (photos / "vg_core/image_data.json").unlink()

    assert RealSource(photos, minimum_boxes=1).described(9) == []
