"""The pointing game, by hand on a small table."""

import math

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

    assert got == {"pointing": 0.5, "iou50": 0.5, "mass": 0.625, "hallucination": 0.5, "words": 4}


def test_nothing_said_is_no_score():
    got = grounding([GroundedCaption(torch.ones(1, 3), BOXES, ["hello"], [])], NOUNS)

    assert got["words"] == 0
    assert all(math.isnan(got[name]) for name in ("pointing", "iou50", "mass", "hallucination"))


def test_padded_regions_are_refused():
    with pytest.raises(ValueError, match="cut padded"):
        pointing_game(torch.ones(1, 4), BOXES, ["dog"], [], NOUNS)
