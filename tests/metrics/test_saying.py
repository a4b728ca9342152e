"""Binding, bad endings and diversity, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from updown_lab.metrics.naming import named
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
        ("a blue and red cat", [True, False]),
        ("a blue, red cat", [True, False]),
        ("a red striped toy ball", [True]),
        ("a cat is red", [False]),
        ("a ball that is red and a cat", [True]),
        ("cats that are blue and red", [True, False]),
        ("a cat is on a red ball", [True]),  # "is" says here where the cat is
        ("a man in red with a cat", []),
        ("a ball and a blue cat", [True]),
        ("a Red cat.", [False]),
        ("a red dog", []),  # no dog is there: that is a hallucination, not a wrong colour
        ("a brown hot dog", [True]),
        ("a red ball and blue cats", [True, True]),
        ("red", []),
        ("", []),
    ],
)
def test_a_colour_belongs_to_the_noun_behind_it_or_before_is(caption, right):
    assert bound_attributes(caption.split(), SCENE, NOUNS, COLOURS) == right


def test_one_of_two_cats_is_enough():
    two = [({"cat"}, {"blue"}), ({"cat"}, {"red"})]

    assert bound_attributes(["a", "red", "cat"], two, NOUNS, COLOURS) == [True]


def test_binding_counts_attributes_not_captions():
    said = [(["a", "red", "cat", "and", "a", "red", "ball"], SCENE), (["a", "blue", "cat"], SCENE), (["hello"], SCENE)]

    (share, each), (count, counts) = binding(said, NOUNS, iter(COLOURS)).values()

    assert (share, count) == (2 / 3, 3)
    np.testing.assert_array_equal(each, [0.5, 1, np.nan])
    assert counts.tolist() == [2, 1, 0]
    assert np.isnan(binding([(["hello"], SCENE)], NOUNS, COLOURS)["binding"][0])


def test_speech_is_counted_by_hand():
    got = speech([["a", "cat", "with", "a"], ["a", "cat"], ["A", "cat", "."], []])

    values = {name: value for name, (value, _) in got.items()}
    assert values == pytest.approx({
        "bad endings": 2 / 4,  # "a", and nothing at all
        "distinct captions": 3 / 4,
        "distinct pairs": 3 / 5,  # a cat (3 times), cat with, with a
        "words known": 3,
        "length": 2.0,
    })  # fmt: skip
    each = {name: scores for name, (_, scores) in got.items()}
    assert each["bad endings"].tolist() == [1, 0, 0, 1]
    assert each["distinct captions"].tolist() == [1, 0.5, 0.5, 1]
    np.testing.assert_allclose(each["distinct pairs"], [(1 / 3 + 1 + 1) / 3, 1 / 3, 1 / 3, np.nan])
    assert each["length"].tolist() == [4, 2, 2, 0]
    with pytest.raises(ValueError, match="no captions"):
        speech([])


@pytest.mark.parametrize("last", ["with", "With", "with .", "the", ""])
def test_capitals_and_marks_hide_no_bad_ending(last):
    assert speech([last.split()])["bad endings"][0] == 1
    assert speech([[*last.split(), "cats", "."]])["bad endings"][0] == 0


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), min_size=1, max_size=6))
def test_distinctness_of_each_caption_adds_up_to_the_share_of_different_ones(captions):
    whole, each = speech(captions)["distinct captions"]

    assert whole == pytest.approx(len({tuple(words) for words in captions}) / len(captions))
    assert each.mean() == pytest.approx(whole)


def test_a_name_of_two_words_is_not_two_names():
    assert named(["a", "hot", "dog", "and", "a", "dog"], NOUNS) == [(2, "hot dog", "hot dog"), (5, "dog", "dog")]
