"""What people call COCO's categories, and the phrases that only sound like one."""

import pytest

from updown_lab.datasets.coco_nouns import CATEGORIES, NOTHING, OTHER_NAMES, WORDS, coco_nouns, official_name
from updown_lab.errors import DataInvalid
from updown_lab.metrics.naming import named


def kinds(caption):
    return [category for _, _, category in named(caption.split(), coco_nouns())]


def test_there_are_the_eighty_and_each_can_be_said():
    table = coco_nouns()

    assert len(CATEGORIES) == len(set(CATEGORIES)) == 80
    assert set(table.values()) == {*CATEGORIES, ""}
    assert all(table[name] == name for name in CATEGORIES)
    assert WORDS.keys() <= set(CATEGORIES) and set(OTHER_NAMES.values()) <= set(CATEGORIES)


def test_no_word_stands_in_two_lists():
    listed = [" ".join(word.split()) for words in [*WORDS.values(), NOTHING] for word in words.split(",")]

    assert sorted(word for word in set(listed) if listed.count(word) > 1 or word in CATEGORIES) == []


def test_both_schemes_of_names_are_the_same_categories():
    others = ["sofa", "motorbike", "aeroplane", "tvmonitor", "diningtable", "pottedplant"]

    assert [official_name(name) for name in others] == [
        "couch", "motorcycle", "airplane", "tv", "dining table", "potted plant"]  # fmt: skip
    assert [official_name(name) for name in CATEGORIES] == list(CATEGORIES)
    with pytest.raises(DataInvalid, match="'spaceship' is none of COCO's 80"):
        official_name("spaceship")


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("a couch and a sofa", ["couch", "couch"]),
        ("two motorbikes by a motorcycle and a motor bike", ["motorcycle"] * 3),
        ("an aeroplane an airplane and a plane", ["airplane"] * 3),
        ("televisions and a tv", ["tv", "tv"]),
        ("a baseball player holding a baseball bat", ["person", "baseball bat"]),
        ("teddy bears and a bear", ["teddy bear", "bear"]),
        ("an orange cat on a bed", ["cat", "bed"]),
        ("an orange and white cat", ["cat"]),
        ("the wall is orange", []),
        ("an orange on a plate beside a cut orange", ["orange", "orange"]),
        ("a bowl of oranges and orange slices", ["bowl", "orange", "orange"]),
        ("a bus stop sign", []),
        ("a street sign and a stop sign", ["stop sign"]),
        ("a pitcher of water for the pitcher", ["person"]),
        ("a skate board a surf board and a stove", ["skateboard", "surfboard", "oven"]),
        ("a glass of wine and a glass of water", ["wine glass"]),
        ("a baby elephant and a baby", ["elephant", "person"]),
        ("a toilet seat and a toilet", ["toilet"]),
        ("a hot dog and a dog", ["hot dog", "dog"]),
        ("giraffes puppies knives mice and men", ["giraffe", "dog", "knife", "mouse", "person"]),
        ("The lady's dog, a Cat.", ["person", "dog", "cat"]),
    ],
)
def test_captions_are_understood_as_people_mean_them(caption, said):
    assert kinds(caption) == said
