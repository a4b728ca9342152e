"""Downloads become what training reads; small files of the official formats stand for the large ones."""

import json
import random
from dataclasses import replace

import pytest
from PIL import Image

from updown_lab.cli import main
from updown_lab.datasets.coco import read_coco_boxes, read_coco_captions
from updown_lab.datasets.prepare import prepare, split_photos
from updown_lab.datasets.visual_genome import read_names
from updown_lab.datasets.vqa import QuestionRecord, read_vqa, write_vqa
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.pipeline.sources import GENOME_IDS, RealSource
from updown_lab.text import AnswerVocabulary

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
    assert (
        report.items() >= {"train photos": 2, "val photos": 2, "test photos": 2, "photos that COCO has too": 2}.items()
    )


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


@pytest.mark.parametrize("seed", range(5))
def test_no_held_out_photo_of_coco_trains_the_detector_whatever_the_draw(seed):
    draw = random.Random(seed)
    coco = {n: draw.choice(("train", "restval", "val", "test")) for n in range(100)}
    partners = [draw.choice((None, draw.randrange(120))) for _ in range(200)]  # from 100 on: not in Karpathy's list
    photos = [{"image_id": 1000 + n, "coco_id": partner} for n, partner in enumerate(partners)]

    splits, _ = split_photos(photos, coco, held_out=draw.choice((0, 5, 60)), seed=seed)

    for photo in photos:
        got, partner = splits[str(photo["image_id"])], photo["coco_id"]
        if partner is not None:
            assert got == {"val": "val", "test": "test", None: "test"}.get(coco.get(partner), "train")


def test_a_photo_of_cocos_own_test_sets_never_trains():
    splits, both = split_photos([{"image_id": 1, "coco_id": 555}, {"image_id": 2}], {7: "train"}, held_out=0)

    assert splits == {"1": "test", "2": "train"} and both == 1


@pytest.mark.parametrize("partner", ["7", 7.0, True])
def test_a_coco_number_that_could_hide_a_test_photo_is_refused(partner):
    with pytest.raises(DataInvalid, match=r"image_data\.json, entry 1: 'coco_id' should be of type int"):
        split_photos([{"image_id": 1, "coco_id": partner}], {7: "test"})


def prepared(root, monkeypatch, **options):
    """Coco and Visual Genome prepared, two photos held out; the source that training reads, and the report."""
    monkeypatch.setattr("updown_lab.datasets.prepare.split_photos", lambda *parts: split_photos(*parts, held_out=2))
    prepare("coco", root, root / "out")
    report = prepare("visual-genome", root, root / "out", **options)
    return RealSource(root / "out", minimum_boxes=1), report


def test_training_is_given_no_held_out_photo(root, monkeypatch):
    photos = [{"image_id": n, "coco_id": {11: 4, 12: 2, 13: 3, 14: 555}.get(n), "width": 20, "height": 20}
              for n in range(11, 17)]  # fmt: skip
    write(root / "visual_genome/image_data.json", photos)

    source, _ = prepared(root, monkeypatch)

    found = {split: {record.image_id - GENOME_IDS for record in source.detection(split)} for split in SPLITS.values()
             if split != "restval"}  # fmt: skip
    assert found["train"] & {11, 13, 14} == set() and 12 in found["train"]
    assert {11, 14} <= found["test"] and 13 in found["val"]


def things_of(root, named):
    """Other objects, in the photos 11 to 16."""
    rows = [{"object_id": n, "x": 4, "y": 6, "w": 10, "h": 8, "names": [name]} for n, name in enumerate(named)]
    return [{"image_id": n, "objects": rows} for n in range(11, 17)]


def test_the_report_tells_what_cleaning_did(root, monkeypatch):
    rows = things_of(root, ["dog", "hound", "fox", "dog"])
    rows[0]["objects"] = [
        thing | {"x": x, "w": w}
        for thing, x, w in zip(rows[0]["objects"], (15, 4, 4, 4), (10, -3, 10, 41), strict=True)
    ]
    write(root / "visual_genome/objects.json", rows)

    source, report = prepared(root, monkeypatch)

    expected = {"objects seen": 24, "unknown class": 6, "clipped boxes": 1, "dropped boxes": 1, "overlong boxes": 1,
                "objects kept": 16, "classes": 2, "attributes": 2, "names": "the authors' lists"}  # fmt: skip
    assert report.items() >= expected.items()
    assert json.loads((root / "out/visual-genome.report.json").read_text()) == report
    assert report.items() >= source.cleaning.in_words().items()  # training counts the same


def test_names_are_counted_in_training_photos_only(root, monkeypatch):
    rows = things_of(root, ["hound", "bird"])
    rows[0]["objects"] = [rows[0]["objects"][0] | {"names": ["secret"], "object_id": n} for n in range(30)]
    write(root / "visual_genome/objects.json", rows)  # photo 11 is COCO's test photo 4
    write(root / "visual_genome/attributes.json", [
        {"image_id": n, "attributes": [{"object_id": 0, "attributes": ["hidden"] * 9 if n == 11 else ["red"]}]}
        for n in range(11, 17)])  # fmt: skip
    (root / "visual_genome/object_alias.txt").write_text("dog,hound\n")

    source, report = prepared(root, monkeypatch, count_names=(3, 3))

    folder = root / "out/vg_vocab"
    assert (folder / "objects_vocab.txt").read_text() == "bird\nhound,dog\n"
    assert (folder / "attributes_vocab.txt").read_text() == "red\n"
    assert report.items() >= {"classes": 2, "attributes": 1, "names": "counted in the training photos"}.items()
    assert source.names.objects == ("bird", "hound")
    assert (root / "vg_vocab/objects_vocab.txt").read_text() == "cat\ndog,hound\n"  # the download is untouched


def test_one_may_change_between_counted_and_given_names(root, monkeypatch):
    _, given = prepared(root, monkeypatch)
    _, counted = prepared(root, monkeypatch, count_names=(5, 5))
    source, again = prepared(root, monkeypatch)

    assert given == again != counted
    lists = [root / f"vg_vocab/{kind}_vocab.txt" for kind in ("objects", "attributes")]
    assert read_names(*(root / "out/vg_vocab" / file.name for file in lists)) == read_names(*lists)
    assert source.names.objects == ("dog",)


def test_counted_names_never_replace_the_download(root):
    with pytest.raises(ConfigError, match="give another folder with --out"):
        prepare("visual-genome", root, root, count_names=(5, 5))

    assert (root / "vg_vocab/objects_vocab.txt").read_text() == "cat\ndog,hound\n"


def test_the_command_counts_names(root, capsys):
    for file in (root / "vg_vocab").iterdir():
        file.unlink()  # nobody needs the authors' lists then
    write(root / "visual_genome/image_data.json",
          [{"image_id": n, "coco_id": 2, "width": 20, "height": 20} for n in range(11, 17)])  # fmt: skip

    assert main(["prepare", "visual-genome", "--count-names", "7", "4", "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "visual-genome: classes: 1" in shown and "visual-genome: overlong boxes: 0" in shown
    assert (root / "prepared/vg_vocab/objects_vocab.txt").read_text() == "dog\n"
    assert main(["prepare", "coco", "--count-names", "7", "4", "--root", str(root)]) == 1
    assert "add that name" in capsys.readouterr().err
    assert main(["prepare", "visual-genome", "--root", str(root)]) == 1
    assert "--count-names 1600 400" in capsys.readouterr().err


def test_a_run_saves_what_cleaning_did(root, monkeypatch, capsys):
    from updown_lab.config import preset
    from updown_lab.pipeline import work
    from updown_lab.pipeline.stages import Work

    source, _ = prepared(root, monkeypatch)
    for name in ("load_trunk", "train_detector", "save_model"):
        monkeypatch.setattr(work, name, lambda *parts, **names: None)
    monkeypatch.setattr(work, "score_detector", lambda *parts: {})
    config = replace(preset("photos"), data=str(root / "out"), minimum_boxes=1)
    (root / "run/stages/detector").mkdir(parents=True)

    work.train_eyes(Work(root / "run/stages/detector", root / "run", config, ""))

    saved = json.loads((root / "run/stages/detector/cleaning.json").read_text())
    assert saved["objects_seen"] == 6 == source.cleaning.objects_seen
    assert "6 objects seen, 6 objects kept" in capsys.readouterr().out


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
    prepare("vqa2", asked, asked / "out")

    found = {split: [record.question_id for record in read_vqa(asked / f"out/vqa2/questions_{split}.json")]
             for split in ("train", "val", "test")}  # fmt: skip
    assert found == {"train": list(range(9)), "val": [101], "test": [100, 102]}


def test_the_answers_of_nine_questions_are_listed_beside_vqa2(asked, capsys):
    """By hand: "cat" ten times, "dog" twice."""
    assert not main(["prepare", "vqa2", "--root", str(asked), "--out", str(asked / "out")])

    assert AnswerVocabulary.load(asked / "out/vqa2/answers.json").answers == ["cat"]
    assert "answers of 9 questions or more, train and val (answers.json): 1" in capsys.readouterr().out


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
