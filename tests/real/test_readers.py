"""The readers on real files; the counts are those that the folders' SOURCES.md name."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from updown_lab.datasets.coco import read_coco_boxes, read_coco_captions
from updown_lab.datasets.json_stream import stream_records
from updown_lab.datasets.visual_genome import read_names, read_visual_genome, reduce_names
from updown_lab.datasets.vocabularies import build_names
from updown_lab.datasets.vqa import (
    answer_type_of,
    read_aokvqa,
    read_cocoqa,
    read_okvqa,
    read_visual_genome_questions,
    read_vqa,
)

REAL = Path(os.environ.get("UPDOWN_REAL_DATA", "../shared/data"))
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not REAL.exists(), reason="needs real data: set UPDOWN_REAL_DATA to a folder like ../shared/data"
    ),
]


def test_351_coco_photos_have_five_captions_each_and_a_karpathy_split():
    records = read_coco_captions(REAL / "coco_core/captions.json", REAL / "coco_core/images")

    assert Counter(len(record.captions) for record in records) == {5: 351}
    assert Counter(record.split for record in records) == {"train": 265, "val": 38, "test": 48}
    assert all(record.file.exists() for record in records)


def test_coco_captions_of_val2017_are_all_read():
    records = read_coco_captions(REAL / "coco_text/captions_val2017.json", "val2017")

    assert (len(records), sum(len(record.captions) for record in records)) == (5000, 25_014)


def test_coco_boxes_lie_where_the_file_says():
    path = REAL / "coco_core/instances_boxes.json"
    whole = json.loads(path.read_text())

    boxes = read_coco_boxes(path)

    assert len(boxes) == 351
    assert (
        len({name for of_image in boxes.values() for name, _ in of_image} - {c["name"] for c in whole["categories"]})
        == 0
    )
    x, y, width, height = whole["annotations"][0]["bbox"]
    assert boxes[whole["annotations"][0]["image_id"]][0][1] == (x, y, x + width, y + height)
    assert sum(map(len, boxes.values())) == len(whole["annotations"])


@pytest.fixture(scope="module")
def genome():
    names = read_names(REAL / "vg_vocab/objects_vocab.txt", REAL / "vg_vocab/attributes_vocab.txt")
    folder = REAL / "vg_core"
    return names, *read_visual_genome(folder / "objects.json", folder / "attributes.json", folder / "images", names)


def test_the_published_vocabulary_has_1600_classes_and_400_attributes(genome):
    names = genome[0]

    assert (len(names.objects), len(names.object_ids)) == (1600, 1625)
    assert (len(names.attributes), len(names.attribute_ids)) == (400, 410)
    assert names.objects[names.object_ids["stopsign"]] == "stop sign"


def test_all_visual_genome_objects_are_accounted_for(genome):
    _, records, cleaning = genome

    assert (len(records), cleaning.objects_seen, cleaning.attributes_seen) == (199, 6698, 5331)
    gone = cleaning.unknown_class + cleaning.dropped_boxes + cleaning.overlong_boxes
    assert cleaning.objects_seen == cleaning.objects_kept + gone
    assert cleaning.objects_kept == sum(len(record.classes) for record in records)
    assert cleaning.attributes_kept == sum(len(ids) for record in records for ids in record.attributes)
    assert cleaning.objects_kept / cleaning.objects_seen > 0.8  # 86 % in the 500 photos that these are from


def test_counted_names_cover_the_photos_they_were_counted_in():
    folder = REAL / "vg_core"
    files = folder / "objects.json", folder / "attributes.json"

    names = build_names(*files, object_aliases=REAL / "vg_vocab/object_alias.txt")

    _, cleaning = read_visual_genome(*files, folder / "images", names)
    assert len(names.objects) < 1600 and len(names.attributes) == 400  # fewer names than asked for: all are kept
    assert cleaning.unknown_class <= 1 and cleaning.objects_kept >= 6697  # one name holds a comma
    assert {"man", "window", "tree", "shirt"} <= set(names.objects[:10])


def test_all_kept_boxes_lie_inside_their_photos(genome):
    for record in genome[1]:
        x1, y1, x2, y2 = record.boxes.unbind(1)
        assert ((x1 >= 0) & (y1 >= 0) & (x1 < x2) & (y1 < y2)).all()
        assert ((x2 <= record.width) & (y2 <= record.height)).all()


def test_reduced_names_occur_often_enough_and_say_the_same(genome):
    names, records, _ = genome

    reduced, fewer = reduce_names(records, names, minimum_count=5)

    counts = Counter(number for record in reduced for number in record.classes.tolist())
    assert sorted(counts) == list(range(len(fewer.objects))) and min(counts.values()) >= 5
    for before, after in zip(records, reduced):
        said = [names.objects[number] for number in before.classes]
        assert [name for name in said if name in fewer.objects] == [fewer.objects[number] for number in after.classes]


@pytest.mark.parametrize(("split", "count"), [("train", 48_061), ("valid", 8977), ("test", 2962)])
def test_vqa_questions_have_ten_answers_and_a_type_we_would_mostly_derive(split, count):
    folder = REAL / "vqa2_60k"

    records = read_vqa(folder / f"vqa_questions_{split}.gzip", folder / f"vqa_annotatons_{split}.gzip")

    assert len(records) == count
    assert all(len(record.answers) == 10 for record in records)
    agreed = sum(answer_type_of(record.answer) == record.answer_type for record in records)
    assert agreed / count > 0.95  # VQA also counts "4 feet" and "2:30" as numbers


@pytest.mark.parametrize(
    ("read", "file", "count"),
    [
        (read_visual_genome_questions, "vg_core/question_answers.json", 7359),
        (read_aokvqa, "coco_core/aokvqa.json", 256),
        (read_okvqa, "coco_core/okvqa.json", 141),
        (read_cocoqa, "coco_core/cocoqa.json", 561),
    ],
)
def test_other_collections_give_ten_answers_a_question(read, file, count):
    records = read(REAL / file)

    assert len(records) == count == len({record.question_id for record in records})
    assert all(len(record.answers) == 10 and record.answer in record.answers for record in records)


@pytest.mark.parametrize(
    ("file", "key"), [("coco_core/captions.json", "annotations"), ("vg_core/attributes.json", None)]
)
def test_streaming_a_real_file_gives_what_json_loads_gives(file, key):
    whole = json.loads((REAL / file).read_text())

    assert list(stream_records(REAL / file, key)) == (whole[key] if key else whole)
