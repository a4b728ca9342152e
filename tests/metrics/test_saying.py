"""Binding, bad endings and diversity, by hand."""

import math

import pytest

from updown_lab.datasets.coco_nouns import SYNONYMS, coco_nouns
from updown_lab.metrics.grounding import named
from updown_lab.metrics.saying import binding, bound_attributes, speech

NOUNS = {"cat": "cat", "ball": "ball", "cats": "cat", "hot dog": "hot dog", "dog": "dog"}
SCENE = [({"cat"}, {"blue", "small"}), ({"ball"}, {"red"}), ({"hot dog"}, {"brown"})]
COLOURS = ["red", "blue", "brown"]


@pytest.mark.parametrize(
    ("caption", "right"),
    [
        ("a blue cat", [True]),
        ("a red cat", [False]),
        ("a small blue cat", [True]),
        ("a blue small cat and a red ball", [True, True]),
        ("blue cat ball", [True]),  # the colour belongs to the cat, not to the ball behind it
        ("a cat is red", []),
        ("a red dog", []),  # no dog is there: that is a hallucination, not a wrong colour
        ("a brown hot dog", [True]),
        ("a red ball and blue cats", [True, True]),
        ("red", []),
        ("", []),
    ],
)
def test_a_colour_belongs_to_the_noun_behind_it(caption, right):
    assert bound_attributes(caption.split(), SCENE, NOUNS, COLOURS) == right


def test_one_of_two_cats_is_enough():
    two = [({"cat"}, {"blue"}), ({"cat"}, {"red"})]

    assert bound_attributes(["a", "red", "cat"], two, NOUNS, COLOURS) == [True]


def test_binding_counts_attributes_not_captions():
    said = [(["a", "red", "cat", "and", "a", "red", "ball"], SCENE), (["a", "blue", "cat"], SCENE), (["hello"], SCENE)]

    assert binding(said, NOUNS, iter(COLOURS)) == {"binding": 2 / 3, "attributes said": 3}
    assert math.isnan(binding([(["hello"], SCENE)], NOUNS, COLOURS)["binding"])


def test_speech_is_counted_by_hand():
    got = speech([["a", "cat", "with", "a"], ["a", "cat"], ["a", "cat"], []])

    assert got == {
        "bad endings": 0.25,
        "distinct captions": 0.75,
        "distinct pairs": 3 / 5,
        "words known": 3,
        "length": 2.0,
    }
    with pytest.raises(ValueError, match="no captions"):
        speech([])


def test_a_name_of_two_words_is_not_two_names():
    assert named(["a", "hot", "dog", "and", "a", "dog"], NOUNS) == [(2, "hot dog", "hot dog"), (5, "dog", "dog")]


def test_people_are_understood_whatever_the_order_of_the_categories():
    names = [*SYNONYMS, "hot dog", "bear", "baseball bat", "baseball glove", "clock"]
    table = coco_nouns(names)

    assert table == coco_nouns(reversed(names))
    said = ("puppies", "hot dogs", "dogs", "bears", "teddy bears", "men", "planes", "bats")
    assert [table[word] for word in said] == [
        "dog", "hot dog", "dog", "bear", "teddy bear", "person", "airplane", "baseball bat"]  # fmt: skip
    assert set(table.values()) == set(names)
