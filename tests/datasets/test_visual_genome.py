"""Hand-made Visual Genome files: every cleaning rule, every count, every error."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from updown_lab.datasets.names import match_object, split_attribute
from updown_lab.datasets.visual_genome import (
    Cleaning,
    DetectionRecord,
    Names,
    count_cleaning,
    read_names,
    read_visual_genome,
    reduce_names,
    renumber,
)
from updown_lab.errors import DataInvalid, DataMissing


@pytest.fixture
def names(tmp_path):
    (tmp_path / "objects.txt").write_text("cat\ndog\nhot dog,hotdog\ntv,television")  # no new line behind, as published
    (tmp_path / "attributes.txt").write_text("white\nred\nbig,large\nblack and white\nhot")
    return read_names(tmp_path / "objects.txt", tmp_path / "attributes.txt")


@pytest.fixture
def genome(tmp_path, names):
    """A photo of 40 x 30 pixels, and a function that reads given objects and attributes of it."""
    Image.new("RGB", (40, 30)).save(tmp_path / "7.png")

    def read(objects, attributes=(), **options):
        (tmp_path / "objects.json").write_text(json.dumps([{"image_id": 7, "objects": objects}]))
        (tmp_path / "attributes.json").write_text(json.dumps([{"image_id": 7, "attributes": list(attributes)}]))
        paths = tmp_path / "objects.json", tmp_path / "attributes.json", tmp_path
        return read_visual_genome(*paths, names, **options)

    return read


def thing(name="dog", box=(4, 6, 10, 8), object_id=1):
    return dict(zip("xywh", box)) | {"object_id": object_id, "names": [name, "cat"]}


def test_names_show_the_first_synonym_and_find_all(names):
    assert names.objects == ("cat", "dog", "hot dog", "tv")
    assert names.object_ids["hotdog"] == names.object_ids["hot dog"] == 2
    assert names.attributes[names.attribute_ids["large"]] == "big"


def test_names_do_not_depend_on_a_new_line_at_the_end(tmp_path, names):
    (tmp_path / "more.txt").write_text((tmp_path / "objects.txt").read_text() + "\n")

    assert read_names(tmp_path / "more.txt", tmp_path / "attributes.txt") == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat\n\ndog", "line 2: an empty name"),
        ("cat,\n", "line 1: an empty name"),
        ("cat\ndog,cat", "line 2: 'cat' also"),
    ],
)
def test_a_vocabulary_that_would_shift_ids_is_refused(tmp_path, text, message):
    (tmp_path / "objects.txt").write_text(text)

    with pytest.raises(DataInvalid, match=message):
        read_names(tmp_path / "objects.txt", tmp_path / "objects.txt")
    with pytest.raises(DataMissing, match=r"none\.txt"):
        read_names(tmp_path / "none.txt", tmp_path / "objects.txt")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", (1, ())),
        ("hot dog", (2, ())),  # a known name is never split, though "hot" is an attribute and "dog" a class
        ("white hot dog", (2, (0,))),  # the longest known ending
        ("large red tv", (3, (2, 1))),
        ("toy dog", None),  # "toy" is no attribute
        ("white toy dog", None),
        ("white", None),
        ("", None),
    ],
)
def test_adjectives_before_a_class_become_attributes(names, name, expected):
    assert match_object(name, names) == expected


def test_attribute_labels_are_split_on_and_but_black_and_white_is_one():
    assert split_attribute(" Red and  white. ") == ["red", "white"]
    assert split_attribute("Black and White") == ["black and white"]
    assert split_attribute("sandy") == ["sandy"]  # "and" inside a word


def test_an_object_is_joined_with_its_attributes_by_number(genome):
    attributes = [
        {"object_id": 2, "attributes": ["Red and white.", "shiny"]},
        {"object_id": 3},  # the key is missing when nobody named any
        {"object_id": 1, "attributes": ["white", "black and white"]},
    ]

    [record], cleaning = genome([thing("White  Dog.", object_id=1), thing("TV", (0, 0, 40, 30), 2)], attributes)

    assert (record.image_id, record.width, record.height, record.file.name) == (7, 40, 30, "7.png")
    assert record.boxes.tolist() == [[4, 6, 14, 14], [0, 0, 40, 30]]  # x + w, y + h
    assert record.classes.tolist() == [1, 3]
    assert record.attributes == ((0, 3), (1, 0))  # white from the name and from the label counts once
    assert cleaning == Cleaning(
        objects_seen=2, objects_kept=2, split_names=1, attributes_seen=4, attributes_kept=4, unknown_attributes=1
    )


def test_boxes_are_cut_to_the_photo_and_dropped_when_nothing_is_left(genome):
    boxes = [(-3, -2, 10, 10), (35, 25, 10, 10), (40, 0, 5, 5), (9, 9, 0, 4), (20, 20, -5, 5), (0, 0, 40, 30)]

    [record], cleaning = genome([thing("cat", box, number) for number, box in enumerate(boxes)])

    assert record.boxes.tolist() == [[0, 0, 7, 8], [35, 25, 40, 30], [0, 0, 40, 30]]
    assert (cleaning.clipped_boxes, cleaning.dropped_boxes, cleaning.objects_kept) == (2, 3, 3)


@pytest.mark.parametrize("box", [(0, 0, 81, 5), (0, 0, 5, 61), (30, 0, 4000, 5), (-500, 0, 520, 5)])
def test_a_box_more_than_twice_as_long_as_the_photo_is_a_slip(genome, box):
    [record], cleaning = genome([thing("cat", box), thing("cat", (-20, -15, 80, 60))])  # twice 40 x 30 is just cut

    assert record.boxes.tolist() == [[0, 0, 40, 30]]
    assert (cleaning.overlong_boxes, cleaning.clipped_boxes, cleaning.dropped_boxes) == (1, 1, 0)


def test_every_object_is_accounted_for(genome):
    objects = [thing("cat"), thing("unicorn"), thing("dog", (0, 0, 0, 0)), thing("toy cat"), thing("red cat")]

    _, cleaning = genome([*objects, thing("dog", (0, 0, 999, 9)), thing("unicorn", (0, 0, 999, -9))])

    assert (cleaning.objects_kept, cleaning.unknown_class, cleaning.dropped_boxes) == (2, 3, 1)
    assert cleaning.objects_seen == 7 == 2 + 3 + 1 + cleaning.overlong_boxes
    assert cleaning.in_words().items() >= {"objects seen": 7, "overlong boxes": 1, "split names": 1}.items()


def test_the_counts_are_the_same_before_the_photos_are_there(genome, tmp_path, names):
    objects = [
        thing("red cat", (30, 20, 30, 30)),
        thing("unicorn"),
        thing("dog", (0, 0, -1, 5)),
        thing("tv", (0, 0, 99, 9)),
    ]
    attributes = [{"object_id": 1, "attributes": ["white and shiny"]}]
    sizes = tmp_path / "image_data.json"
    sizes.write_text(json.dumps([{"image_id": 7, "width": 40, "height": 30}]))
    _, cleaning = genome(objects, attributes)
    (tmp_path / "7.png").unlink()

    counted = count_cleaning(tmp_path / "objects.json", tmp_path / "attributes.json", names, sizes)

    assert counted == cleaning
    assert (counted.clipped_boxes, counted.dropped_boxes, counted.overlong_boxes) == (1, 1, 1)
    sizes.write_text("[]")
    with pytest.raises(DataInvalid, match=r"image_data\.json has no size for image 7"):
        count_cleaning(tmp_path / "objects.json", tmp_path / "attributes.json", names, sizes)


def test_a_photo_without_a_kept_box_stays_with_an_empty_table(genome):
    [record], _ = genome([])

    assert record.boxes.shape == (0, 4)
    assert record.classes.shape == (0,) and record.classes.dtype == torch.long


def test_attributes_beyond_sixteen_are_cut_and_counted(genome, names):
    many = [f"colour{i}" for i in range(20)]
    names.attribute_ids.update({name: 10 + i for i, name in enumerate(many)})

    [record], cleaning = genome([thing("red cat")], [{"object_id": 1, "attributes": many}])

    assert record.attributes == ((1, *range(10, 25)),)
    assert (cleaning.truncated, cleaning.attributes_kept) == (5, 16)  # 1 + 20 - 16


@pytest.mark.parametrize("folder", ["VG_100K", "VG_100K_2"])
def test_photos_are_found_in_both_official_folders(genome, tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / "7.png").rename(tmp_path / folder / "7.jpg")

    assert genome([])[0][0].file == tmp_path / folder / "7.jpg"


def test_sizes_come_from_image_data_where_it_is_given(genome, tmp_path):
    sizes = tmp_path / "image_data.json"
    sizes.write_text(json.dumps([{"image_id": 7, "width": 8, "height": 9}]))

    [record], _ = genome([thing("cat", (0, 0, 12, 12))], image_data=sizes)

    assert record.boxes.tolist() == [[0, 0, 8, 9]]
    sizes.write_text("[]")
    with pytest.raises(DataInvalid, match=r"image_data\.json has no size for image 7"):
        genome([], image_data=sizes)


@pytest.mark.parametrize(
    ("objects", "attributes", "message"),
    [
        ([{"object_id": 1}], [], "objects.json, entry 1, object 1: no field 'names'"),
        ([thing(), thing() | {"x": "4"}], [], "entry 1, object 2: 'x' should be of type number, got '4'"),
        ([thing() | {"names": []}], [], "object 1: 'names' should list at least one text"),
        (["dog"], [], "object 1: expected an object, got 'dog'"),
        ({}, [], "objects.json, entry 1: 'objects' should be of type list"),
        ([], [{"attributes": ["red"]}], "attributes.json, entry 1, object 1: no field 'object_id'"),
        ([], [{"object_id": 1, "attributes": [3]}], "object 1: 'attributes' should list texts"),
    ],
)
def test_visual_genome_errors_name_file_and_entry(genome, objects, attributes, message):
    with pytest.raises(DataInvalid) as caught:
        genome(objects, attributes)

    assert message in str(caught.value)


def test_an_image_listed_twice_is_refused(genome, tmp_path, names):
    genome([])
    (tmp_path / "objects.json").write_text(json.dumps([{"image_id": 7, "objects": []}] * 2))

    with pytest.raises(DataInvalid, match="entry 2: image 7 is listed twice"):
        read_visual_genome(tmp_path / "objects.json", tmp_path / "attributes.json", tmp_path, names)


def test_missing_and_broken_photos_are_named(genome, tmp_path):
    (tmp_path / "7.png").write_text("no photo")
    with pytest.raises(DataInvalid, match=r"7\.png is not a readable photo"):
        genome([])
    (tmp_path / "7.png").unlink()
    with pytest.raises(DataMissing, match=r"no photo 7\.jpg or \.png"):
        genome([])


def record_of(classes, attributes):
    boxes = torch.arange(4.0 * len(classes)).reshape(-1, 4)
    return DetectionRecord(7, Path("7.jpg"), 40, 30, boxes, torch.tensor(classes, dtype=torch.long), attributes)


def test_reducing_keeps_frequent_names_in_order_with_their_synonyms(names):
    records = [record_of([1, 2, 1], ((2, 0), (1,), (2,))), record_of([2, 3], ((1, 2), (1,)))]

    reduced, fewer = reduce_names(records, names, minimum_count=2)

    # cat 0 boxes, dog 2, hot dog 2, tv 1; on the boxes that stay: white 1, red 2, big 3
    assert fewer == Names(
        ("dog", "hot dog"), ("red", "big"), {"dog": 0, "hot dog": 1, "hotdog": 1}, {"red": 0, "big": 1, "large": 1}
    )
    assert [record.classes.tolist() for record in reduced] == [[0, 1, 0], [1]]
    assert [record.attributes for record in reduced] == [((1,), (0,), (1,)), ((0, 1),)]
    assert reduced[1].boxes.tolist() == [[0, 1, 2, 3]]


def test_attributes_count_only_on_boxes_that_stay(names):
    records = [record_of([1, 1, 0], ((0,), (), (0,)))]  # white twice, but once on the only cat

    reduced, fewer = reduce_names(records, names, minimum_count=2)

    assert (fewer.objects, fewer.attributes) == (("dog",), ())
    assert reduced[0].attributes == ((), ())


def test_other_records_take_the_reduced_ids_by_name(names):
    _, fewer = reduce_names([record_of([3, 1], ((1,), ()))], names, minimum_count=1)

    [other] = renumber([record_of([0, 3, 1], ((1,), (0, 1), ()))], names, fewer)

    assert [fewer.objects[number] for number in other.classes] == ["tv", "dog"]
    assert other.attributes == ((0,), ())
    assert other.boxes.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
