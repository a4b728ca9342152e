"""Downloads become what training reads; small files of the official formats stand for the large ones."""

import json

import pytest
from PIL import Image

from updown_lab.cli import main
from updown_lab.datasets.coco import read_coco_boxes, read_coco_captions
from updown_lab.datasets.prepare import prepare, split_photos
from updown_lab.datasets.vqa import QuestionRecord, read_vqa, write_vqa
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.pipeline.sources import GENOME_IDS, RealSource

SPLITS = {1: "train", 2: "restval", 3: "val", 4: "test"}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def root(tmp_path):
    """Four COCO photos, and six of Visual Genome of which two are COCO's."""
    photos = [{"cocoid": n, "filepath": "val2014", "filename": f"{n}.jpg", "split": split,
               "sentences": [{"raw": f"A cat number {n}."}]} for n, split in SPLITS.items()]  # fmt: skip
    write(tmp_path / "coco/dataset_coco.json", {"images": photos})
    cat = {"id": 1, "image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3, 4]]}
    for part, ids, annotations in (("train", [1], []), ("val", [2, 3, 4], [cat])):
        write(tmp_path / f"coco/annotations/instances_{part}2014.json",
              {"images": [{"id": n, "width": 9} for n in ids], "annotations": annotations,
               "categories": [{"id": 17, "name": "cat"}]})  # fmt: skip
    (tmp_path / "coco/val2014").mkdir()
    genome = tmp_path / "visual_genome"
    numbers = range(11, 17)
    write(genome / "image_data.json", [{"image_id": n, "coco_id": {11: 4, 12: 2}.get(n), "width": 20, "height": 20}
                                       for n in numbers])  # fmt: skip
    dog = {"object_id": 5, "x": 4, "y": 6, "w": 10, "h": 8, "names": ["dog"]}
    write(genome / "objects.json", [{"image_id": n, "objects": [dog]} for n in numbers])
    write(genome / "attributes.json", [{"image_id": n, "attributes": []} for n in numbers])
    write(genome / "question_answers.json", [])
    (genome / "VG_100K").mkdir()
    for number in numbers:
        Image.new("RGB", (20, 20)).save(genome / f"VG_100K/{number}.jpg")
    (tmp_path / "vg_vocab").mkdir()
    (tmp_path / "vg_vocab/objects_vocab.txt").write_text("cat\ndog,hound\n")
    (tmp_path / "vg_vocab/attributes_vocab.txt").write_text("red\nblue")
    return tmp_path


def test_captions_keep_their_split_and_their_photo(root):
    report = prepare("coco", root, root / "out")

    assert report == {"test photos": 1, "train photos": 2, "val photos": 1, "captions": 4, "boxes": 1}
    records = read_coco_captions(root / "out/coco_core/captions.json", root / "out/coco_core/images")
    assert [record.split for record in records] == ["train", "train", "val", "test"]
    assert records[2].captions == ("A cat number 3.",)
    assert records[2].file.resolve() == (root / "coco/val2014/3.jpg").resolve()
    assert read_coco_boxes(root / "out/coco_core/instances_boxes.json")[3] == [("cat", (1.0, 2.0, 4.0, 6.0))]


def test_preparing_twice_changes_nothing(root):
    prepare("coco", root, root / "out")
    before = (root / "out/coco_core/captions.json").read_bytes()

    prepare("coco", root, root / "out")

    assert (root / "out/coco_core/captions.json").read_bytes() == before


def test_without_instances_the_report_says_where_boxes_come_from(root):
    for file in (root / "coco/annotations").iterdir():
        file.unlink()

    assert "download coco-annotations" in prepare("coco", root, root / "out")["boxes"]


def test_the_detector_never_trains_on_a_photo_that_captions_are_tested_on(root, monkeypatch):
    monkeypatch.setattr("updown_lab.datasets.prepare.split_photos", lambda *parts: split_photos(*parts, held_out=2))

    report = prepare("visual-genome", root, root / "out")

    splits = json.loads((root / "out/vg_core/splits.json").read_text())
    assert splits["11"] == "test" and splits["12"] == "train"  # COCO's 4 is tested on, 2 is "restval"
    assert report.items() >= {"train photos": 2, "val photos": 2, "test photos": 2, "photos that COCO has too": 2}.items()


def test_the_split_is_drawn_from_photos_that_coco_does_not_have():
    photos = [{"image_id": n, "coco_id": n if n < 50 else None} for n in range(100)]
    coco = {n: "test" if n < 5 else "val" if n < 8 else "train" for n in range(50)}

    splits, both = split_photos(photos, coco, held_out=10)

    of = {split: {int(n) for n, value in splits.items() if value == split} for split in ("train", "val", "test")}
    assert both == 50 and len(of["val"]) == len(of["test"]) == 10
    assert of["test"] & set(range(50)) == set(range(5)) and of["val"] & set(range(50)) == {5, 6, 7}
    assert split_photos(photos, coco, held_out=10)[0] == splits
    assert (
        split_photos(photos, coco, held_out=3)[0]["4"] == "test"
    )  # more than wanted: all of them stay out of training


def question(number, image, answer):
    return QuestionRecord(number, image, "what is it?", "other", "what", answer, (answer,) * 10)


@pytest.fixture
def asked(root):
    train = [question(n, 1, "cat") for n in range(9)]
    val = [question(100, 2, "dog"), question(101, 3, "cat"), question(102, 4, "dog")]
    for part, records in (("train", train), ("val", val)):
        (root / "vqa2").mkdir(exist_ok=True)
        write_vqa(records, root / f"vqa2/v2_OpenEnded_mscoco_{part}2014_questions.json",
                  root / f"vqa2/v2_mscoco_{part}2014_annotations.json")  # fmt: skip
    return root


def test_questions_train_choose_and_test_as_promised(asked):
    report = prepare("vqa2", asked, asked / "out")

    assert report["answers of 9 questions or more, train and val"] == 1  # "cat" ten times, "dog" twice
    found = {split: [record.question_id for record in read_vqa(asked / f"out/vqa2/questions_{split}.json")]
             for split in ("train", "val", "test")}  # fmt: skip
    assert found == {"train": list(range(9)), "val": [101], "test": [100, 102]}


def test_what_was_prepared_is_what_training_reads(asked, monkeypatch):
    monkeypatch.setattr("updown_lab.datasets.prepare.split_photos", lambda *parts: split_photos(*parts, held_out=1))
    for name in ("coco", "visual-genome", "vqa2"):
        prepare(name, asked, asked / "out")

    source = RealSource(asked / "out", minimum_boxes=1)

    assert [record.image_id for record in source.captions("train")] == [1, 2]
    assert [record.image_id for record in source.detection("test")] == [11 + GENOME_IDS]
    assert source.names.objects == ("dog",) and source.detection("test")[0].file.exists()
    assert [record.question_id for record in source.questions("test")] == [100, 102]
    assert source.objects(3)[0][0] == {"cat"}


def test_word_vectors_become_arrays(root):
    import numpy as np

    (root / "glove").mkdir()
    (root / "glove/glove.6B.2d.txt").write_text("the 0.5 1\nat name@domain.com 0 2\n")

    prepare("glove", root, root / "out")

    loaded = np.load(root / "out/glove/glove.6B.2d.npz")
    assert loaded["words"].tolist() == ["the", "at name@domain.com"]
    np.testing.assert_array_equal(loaded["vectors"], np.float32([[0.5, 1], [0, 2]]))


@pytest.mark.parametrize("line", ["cat 1", "cat 1 x", "cat 1 nan", "1 2", ""])
def test_a_damaged_line_of_vectors_is_named(line, root):
    (root / "glove").mkdir()
    (root / "glove/glove.6B.2d.txt").write_text(f"the 0.5 1\n{line}\n")

    with pytest.raises(DataInvalid, match=r"2d\.txt, line 2: expected a word and 2 numbers"):
        prepare("glove", root, root / "out")


@pytest.mark.parametrize(("name", "gone", "command"), [
    ("coco", "coco/dataset_coco.json", "download karpathy"),
    ("visual-genome", "visual_genome/objects.json", "download visual-genome"),
    ("visual-genome", "vg_vocab/objects_vocab.txt", "download genome-vocabulary"),
    ("vqa2", "vqa2/v2_mscoco_val2014_annotations.json", "download vqa2"),
    ("glove", "glove/nothing", "download glove"),
])  # fmt: skip
def test_a_missing_download_is_named_with_its_command(name, gone, command, asked):
    (asked / gone).unlink(missing_ok=True)

    with pytest.raises(DataMissing, match=f"{command} --root {asked}"):
        prepare(name, asked, asked / "out")


def test_the_command_prints_the_report_and_refuses_what_it_does_not_know(root, capsys):
    assert main(["prepare", "coco", "--root", str(root)]) == 0
    assert "coco: train photos: 2" in capsys.readouterr().out
    assert json.loads((root / "prepared/coco.report.json").read_text())["captions"] == 4
    assert main(["prepare", "flickr", "--root", str(root)]) == 1
    assert "known: coco, visual-genome, vqa2, glove" in capsys.readouterr().err
