"""The pointing game, by hand on a small table."""

import numpy as np
import pytest
import torch

from updown_lab.metrics.grounding import GroundedCaption, grounding, pointing_game

BOXES = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [100, 100, 120, 120]])
NOUNS = {"dog": "dog", "dogs": "dog", "puppy": "dog", "man": "person", "person": "person", "cat": "cat"}


def test_the_centre_of_the_most_attended_region_decides():
    weights = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    objects = [({"dog"}, [8, 0, 18, 10]), ({"person"}, torch.tensor([0.0, 0, 4, 4]))]

    dog, man = pointing_game(weights, BOXES, ["puppy", "man", "cat"], objects, NOUNS)

    assert (dog.position, dog.word, dog.category) == (0, "puppy", "dog")
    assert dog.hit and dog.iou == pytest.approx(80 / 120)  # [10, 18] of 10 high, union 100 + 100 - 80
    assert dog.mass == pytest.approx(0.5)
    assert not man.hit and man.mass == 0.0  # centre (5, 5) is outside the 4 x 4 box, though the boxes overlap
    assert man.iou == pytest.approx(16 / 100)


def test_any_of_several_dogs_will_do_and_mass_counts_each_region_once():
    weights = torch.tensor([[0.25, 0.5, 0.25]])
    overlapping = [({"dog"}, [0, 0, 20, 10]), ({"dog", "animal"}, [9, 0, 21, 10])]

    (dogs,) = pointing_game(weights, BOXES, ["dogs"], overlapping, NOUNS)

    assert dogs.hit and dogs.mass == pytest.approx(0.75)
    assert dogs.iou == pytest.approx(100 / 120)  # the better of 1/2 and 10/12


def test_the_right_and_lower_edge_are_outside():
    weights = torch.tensor([[1.0, 0, 0]])

    (left,) = pointing_game(weights, BOXES, ["dog"], [({"dog"}, [0, 0, 5, 10])], NOUNS)
    (right,) = pointing_game(weights, BOXES, ["dog"], [({"dog"}, [5, 5, 10, 10])], NOUNS)

    assert not left.hit and right.hit  # the centre is (5, 5)


def test_a_summary_separates_absent_objects_from_missed_ones():
    hit = GroundedCaption(torch.tensor([[1.0, 0, 0]] * 2), BOXES, ["a", "dog"], [({"dog"}, BOXES[0])])
    missed = GroundedCaption(torch.tensor([[0.25, 0, 0.75]]), BOXES, ["dog"], [({"dog"}, BOXES[0])])
    invented = GroundedCaption(torch.tensor([[1.0, 0, 0]] * 2), BOXES, ["cat", "man"], [({"dog"}, BOXES[0])])

    got = grounding([hit, missed, invented], NOUNS)

    assert {name: value for name, (value, _) in got.items()} == {
        "pointing": 0.5, "iou50": 0.5, "mass": 0.625, "hallucination": 0.5, "hallucinated captions": 1 / 3, "words": 4,
    }  # fmt: skip
    each = {name: scores for name, (_, scores) in got.items()}
    np.testing.assert_array_equal(each["pointing"], [1, 0, np.nan])
    np.testing.assert_array_equal(each["mass"], [1, 0.25, np.nan])
    np.testing.assert_array_equal(each["hallucination"], [0, 0, 1])
    assert each["hallucinated captions"].tolist() == [0, 0, 1] and each["words"].tolist() == [1, 1, 2]


def test_words_are_pooled_so_the_corpus_is_no_mean_of_the_captions():
    """By hand: dog right, then cat, cat, man, man: one word of five is there, but half of the mean caption."""
    right = GroundedCaption(torch.ones(1, 3) / 3, BOXES, ["dog"], [({"dog"}, BOXES[0])])
    wrong = GroundedCaption(torch.ones(4, 3) / 3, BOXES, ["cat", "cat", "man", "man"], [])

    value, each = grounding([right, wrong], NOUNS)["hallucination"]

    assert value == 4 / 5 and each.mean() == 1 / 2


def test_what_people_mention_is_there_without_a_box_but_cannot_be_pointed_at():
    caption = GroundedCaption(torch.ones(3, 3) / 3, BOXES, ["dog", "cat", "man"], [({"dog"}, BOXES[0])], {"cat"})

    got = grounding([caption], NOUNS)

    assert got["hallucination"][0] == pytest.approx(1 / 3)  # the man
    assert got["pointing"][0] == pytest.approx(1 / 3)  # the dog alone: uniform attention on three regions


def test_nothing_said_is_no_score():
    got = grounding([GroundedCaption(torch.ones(1, 3), BOXES, ["hello"], [])], NOUNS)

    assert got["words"][0] == got["hallucinated captions"][0] == 0
    assert all(np.isnan(got[name][0]) and np.isnan(got[name][1]).all()
               for name in ("pointing", "iou50", "mass", "hallucination"))  # fmt: skip


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_regions_with_equal_attention_share_the_finger_whatever_their_order(order):
    weights, objects = torch.tensor([[0.4, 0.4, 0.2]])[:, order], [({"dog"}, [0, 0, 10, 10])]

    (dog,) = pointing_game(weights, BOXES[order], ["dog"], objects, NOUNS)

    assert (dog.hit, dog.iou, dog.iou50) == (0.5, 0.5, 0.5)  # one of the two is the dog's box, the other beside it
    assert dog.mass == pytest.approx(0.4)


def test_an_image_without_regions_has_nothing_to_point_with():
    caption = GroundedCaption(torch.zeros(2, 0), torch.zeros(0, 4), ["dog", "cat"], [({"dog"}, BOXES[0])])

    got = grounding([caption], NOUNS)

    assert np.isnan(got["pointing"][0]) and got["hallucination"][0] == 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_attention_that_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match=r"word 1 \('dog'\) has \["):
        pointing_game(torch.tensor([[0.5, 0.5, 0], [bad, 0.5, 0]]), BOXES, ["a", "dog"], [({"dog"}, BOXES[0])], NOUNS)


def test_padded_regions_are_refused():
    with pytest.raises(ValueError, match="cut padded"):
        pointing_game(torch.ones(1, 4), BOXES, ["dog"], [], NOUNS)
