"""Hand-made COCO files: what is read, and what every error says."""

import json

import pytest

from updown_lab.datasets.coco import read_coco_boxes, read_coco_captions, read_karpathy
from updown_lab.errors import DataInvalid, DataMissing


@pytest.fixture
def write(tmp_path):
    def write_json(value):
        path = tmp_path / "file.json"
        path.write_text(json.dumps(value))
        return path

    return write_json


def photo(**changes):
    whole = {"filepath": "val2014", "filename": "COCO_9.jpg", "cocoid": 9, "imgid": 0, "split": "restval"}
    return {**whole, "sentences": [{"raw": " A red cat. "}, {"raw": "Cat"}], **changes}


def test_karpathy_gives_one_record_a_photo_and_trains_on_restval(write, tmp_path):
    path = write({"images": [photo(), photo(cocoid=4, split="test", sentences=[])], "dataset": "coco"})

    first, second = read_karpathy(path, tmp_path / "photos")

    assert (first.image_id, first.split, first.captions) == (9, "train", ("A red cat.", "Cat"))
    assert (second.image_id, second.split, second.captions) == (4, "test", ())
    assert first.file == tmp_path / "photos/val2014/COCO_9.jpg"


def test_karpathy_splits_can_be_left_as_they_are(write):
    assert read_karpathy(write({"images": [photo()]}), "photos", splits={})[0].split == "restval"


@pytest.mark.parametrize(("folder", "expected"), [("val2014", "val2014/COCO_9.jpg"), ("", "COCO_9.jpg")])
def test_karpathy_finds_photos_in_their_part_or_all_in_one_folder(write, tmp_path, folder, expected):
    (tmp_path / "photos" / folder).mkdir(parents=True)

    [record] = read_karpathy(write({"images": [photo()]}), tmp_path / "photos")

    assert record.file == tmp_path / "photos" / expected


def test_karpathy_reads_flickr_which_has_neither_folder_nor_coco_id(write, tmp_path):
    flickr = {name: value for name, value in photo(imgid=5).items() if name not in ("filepath", "cocoid")}

    [record] = read_karpathy(write({"images": [flickr]}), tmp_path)

    assert (record.image_id, record.file) == (5, tmp_path / "COCO_9.jpg")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([photo(), photo()], "image 2: image 9 is listed twice"),
        ([photo(cocoid="9")], "image 1: 'cocoid' should be of type int, got '9'"),
        ([photo(filepath=["val2014"])], "image 1: 'filepath' should be of type str"),
        ([photo(), photo(cocoid=4, split=None)], "image 2: 'split' should be of type str, got None"),
        ([photo(sentences=["A cat"])], "image 1: expected an object, got 'A cat'"),
        ([photo(sentences=[{"tokens": []}])], "image 1: no field 'raw'; it has tokens"),
        ([{"cocoid": 9}], "image 1: no field"),
    ],
)
def test_karpathy_errors_name_file_and_photo(write, images, message):
    path = write({"images": images})

    with pytest.raises(DataInvalid) as caught:
        read_karpathy(path, "photos")

    assert f"{path}, {message}" in str(caught.value)


def test_coco_captions_are_grouped_by_image_in_the_order_of_the_file(write, tmp_path):
    images = [
        {"id": 9, "file_name": "9.jpg", "karpathy_split": "restval"},
        {"id": 4, "file_name": "4.jpg", "split": "val"},
        {"id": 7, "file_name": "7.jpg"},
    ]
    said = [(4, "one"), (9, "two\n"), (4, "three")]
    annotations = [{"id": i, "image_id": image_id, "caption": text} for i, (image_id, text) in enumerate(said)]
    path = write({"annotations": annotations, "images": images})

    records = read_coco_captions(path, tmp_path)

    assert [(record.image_id, record.split, record.captions) for record in records] == [
        (9, "train", ("two",)),
        (4, "val", ("one", "three")),
        (7, "", ()),
    ]
    assert records[0].file == tmp_path / "9.jpg"


@pytest.mark.parametrize(
    ("images", "annotation", "message"),
    [
        ([{"id": 9, "file_name": "9.jpg"}], {"id": 31, "image_id": 8, "caption": ""}, "annotation 31: image 8 is not"),
        ([{"id": 9, "file_name": "9.jpg"}], {"id": 31, "image_id": 9}, "annotation 31: no field 'caption'"),
        ([{"id": 9, "file_name": "9.jpg"}], {"image_id": 9}, "annotation number 1: no field 'caption'"),
        ([{"id": 9}], {"id": 31, "image_id": 9, "caption": "a"}, "image 9: no field 'file_name'"),
        (
            [{"id": 9, "file_name": "a", "split": 3}],
            {"id": 31, "image_id": 9, "caption": "a"},
            "image 9: 'split' should",
        ),
        ([{"id": 9}, {"id": 9}], {}, "image 2: image 9 is listed twice"),
    ],
)
def test_coco_caption_errors_name_file_and_annotation(write, images, annotation, message):
    path = write({"images": images, "annotations": [annotation]})

    with pytest.raises(DataInvalid) as caught:
        read_coco_captions(path, "photos")

    assert f"{path}, {message}" in str(caught.value)


def boxes_file(**changes):
    annotation = {"id": 5, "image_id": 9, "category_id": 17, "bbox": [10, 20.5, 5, 8], **changes}
    return {"images": [{"id": 9}, {"id": 4}], "annotations": [annotation], "categories": [{"id": 17, "name": "cat"}]}


def test_coco_boxes_become_corners_and_an_empty_image_stays(write):
    assert read_coco_boxes(write(boxes_file())) == {9: [("cat", (10.0, 20.5, 15.0, 28.5))], 4: []}  # 10+5, 20.5+8


def test_coco_crowds_are_left_out(write):
    assert read_coco_boxes(write(boxes_file(iscrowd=1)))[9] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 3}, "category 3 is not in the file's list of 1 categories"),
        ({"image_id": 3}, "image 3 is not in the file's list of 2 images"),
        ({"bbox": [1, 2, 3]}, "'bbox' [1, 2, 3]: no field 'height'"),
        ({"bbox": [1, 2, 3, 4, 5]}, "'bbox' should be [x, y, width, height]"),
        ({"bbox": [1, 2, -3, 4]}, "'bbox' should be [x, y, width, height]"),
        ({"bbox": [1, 2, "3", 4]}, "'width' should be of type number, got '3'"),
        ({"bbox": "1 2 3 4"}, "'bbox' should be of type list"),
    ],
)
def test_coco_box_errors_name_file_and_annotation(write, changes, message):
    path = write(boxes_file(**changes))

    with pytest.raises(DataInvalid) as caught:
        read_coco_boxes(path)

    assert str(caught.value).startswith(f"{path}, annotation 5")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "read", [lambda path: read_karpathy(path, ""), lambda path: read_coco_captions(path, ""), read_coco_boxes]
)
def test_a_missing_coco_file_is_named(tmp_path, read):
    with pytest.raises(DataMissing, match=r"none\.json; data/README\.md"):
        read(tmp_path / "none.json")
