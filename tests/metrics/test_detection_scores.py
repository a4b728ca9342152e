"""Average precision, by hand on few boxes."""

import math
from types import SimpleNamespace

import pytest
import torch

from updown_lab.metrics.detection import attribute_average_precision, mean_average_precision

NAMES = ["cat", "dog", "hat"]


def boxes(*rows):
    """Rows of (x1, y1, x2, y2, class[, score])."""
    table = torch.tensor([row + (1.0,) * (6 - len(row)) for row in rows]).reshape(-1, 6)
    return SimpleNamespace(boxes=table[:, :4], classes=table[:, 4].long(), scores=table[:, 5])


def test_found_after_a_false_alarm_is_worth_half():
    truth = [boxes((0, 0, 10, 10, 0), (50, 50, 60, 60, 1))]
    found = [boxes((20, 0, 30, 10, 0, 0.9), (0, 0, 10, 10, 0, 0.8), (50, 50, 60, 60, 1, 0.1))]

    scores = mean_average_precision(found, truth, NAMES)

    assert scores.per_class["cat"] == pytest.approx(0.5)  # precision 1/2 at every recall
    assert scores.per_class["dog"] == pytest.approx(1.0)
    assert math.isnan(scores.per_class["hat"])
    assert scores.map50 == pytest.approx(0.75)  # the class that is not there does not count


def test_a_second_box_on_the_same_object_is_a_false_alarm():
    truth = [boxes((0, 0, 10, 10, 0), (30, 0, 40, 10, 0))]
    found = [boxes((0, 0, 10, 10, 0, 0.9), (0, 0, 10, 9, 0, 0.8), (30, 0, 40, 10, 0, 0.7))]

    # recall to .5 at precision 1 (51 of 101 points), then 2/3 (50 points)
    assert mean_average_precision(found, truth, NAMES).map50 == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_the_overlap_threshold_is_obeyed():
    truth, found = [boxes((0, 0, 10, 10, 0))], [boxes((0, 0, 10, 6, 0, 0.9))]  # IoU 0.6

    assert mean_average_precision(found, truth, NAMES, iou=0.5).map50 == 1.0
    assert mean_average_precision(found, truth, NAMES, iou=0.7).map50 == 0.0


def test_boxes_stay_with_their_image():
    one, two = boxes((0, 0, 10, 10, 0, 0.9)), boxes((50, 0, 60, 10, 0, 0.9))

    assert mean_average_precision([one, two], [one, two], NAMES).map50 == 1.0
    assert mean_average_precision([two, one], [one, two], NAMES).map50 == 0.0


def test_an_image_may_keep_more_than_a_hundred_boxes():
    truth = [boxes((0, 0, 10, 10, 0))]
    crowd = [(20.0 + i, 20, 30 + i, 30, 0, 0.9) for i in range(150)]

    assert mean_average_precision([boxes(*crowd, (0, 0, 10, 10, 0, 0.1))], truth, NAMES).map50 == pytest.approx(1 / 151)


def test_no_boxes_are_a_score_of_zero_and_no_truth_is_none():
    one, nothing = boxes((0, 0, 10, 10, 0, 0.9)), boxes()

    empty = mean_average_precision([nothing], [one], NAMES)
    assert empty.map50 == 0.0 and empty.per_class["cat"] == 0.0 and math.isnan(empty.per_class["dog"])
    assert math.isnan(mean_average_precision([one], [nothing], NAMES).map50)


def test_it_prints_nothing(capfd):
    mean_average_precision([boxes((0, 0, 9, 9, 0, 0.5))], [boxes((0, 0, 9, 9, 0))], NAMES)

    assert capfd.readouterr() == ("", "")


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one prediction an image"):
        mean_average_precision([], [boxes()], NAMES)
    with pytest.raises(ValueError, match=r"0\.\.2"):
        mean_average_precision([boxes((0, 0, 9, 9, 3))], [boxes((0, 0, 9, 9, 0))], NAMES)
    with pytest.raises(ValueError, match="image 0: 1 classes"):
        broken = SimpleNamespace(boxes=torch.zeros(2, 4), classes=torch.zeros(1).long(), scores=torch.zeros(1))
        mean_average_precision([broken], [boxes((0, 0, 9, 9, 0))], NAMES)


def test_the_weighted_mean_counts_a_class_as_often_as_it_occurs():
    truth = [boxes((0, 0, 10, 10, 0), (20, 0, 30, 10, 0), (40, 0, 50, 10, 0), (60, 0, 70, 10, 1))]
    found = [boxes((60, 0, 70, 10, 1, 0.9))]  # the dog, and none of the three cats

    scores = mean_average_precision(found, truth, NAMES)

    assert scores.map50 == pytest.approx(1 / 2)  # of cat 0 and dog 1
    assert scores.weighted == pytest.approx(1 / 4)  # (3 x 0 + 1 x 1) / 4
    assert math.isnan(mean_average_precision(found, [boxes()], NAMES).weighted)


def described(*rows):
    """Rows of (box, attributes)."""
    table = torch.tensor([box for box, _ in rows], dtype=torch.float32).reshape(-1, 4)
    return SimpleNamespace(boxes=table, attributes=tuple(attributes for _, attributes in rows))


LEFT, RIGHT, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)


def test_attributes_are_ranked_over_all_true_boxes_by_hand():
    truth = [described((LEFT, (0,)), (RIGHT, ())), described((LEFT, (0, 1)))]
    said = [torch.tensor([[0.6, 0.0], [0.8, 0.3]]), torch.tensor([[0.9, 0.2]])]

    scores = attribute_average_precision(said, truth, ["red", "big"], minimum=0.01)

    # red: right .9, wrong .8, right .6: precision 1 up to recall 1/2 (51 of 101 points), then 2/3
    assert scores.per_class["red"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert scores.per_class["big"] == pytest.approx(1 / 2)  # wrong .3, right .2
    assert scores.weighted == pytest.approx((2 * scores.per_class["red"] + scores.per_class["big"]) / 3)


def test_an_attribute_may_claim_another_drawing_of_the_same_thing():
    truth = [described((LEFT, (0,)), ((0, 0, 10, 8), ()), (FAR, (0,)))]  # IoU 0.8
    said = [torch.tensor([[0.5], [0.9], [0.7]])]

    # the second drawing takes the first one's "red" (1/1), the far box is right (2/2), the first comes too late
    assert attribute_average_precision(said, truth, ["red"]).map50 == 1.0
    # were the drawings apart: wrong .9, right .7 (1/2), right .5 (2/3); the best of what follows is 2/3
    assert attribute_average_precision(said, truth, ["red"], iou=0.85).map50 == pytest.approx(2 / 3)


def test_unlikely_attributes_are_no_answers_and_images_without_boxes_are_fine():
    truth = [described((LEFT, (0,))), described()]

    assert attribute_average_precision([torch.tensor([[0.04]]), torch.zeros(0, 1)], truth, ["red"]).map50 == 0.0
    assert attribute_average_precision([torch.tensor([[0.06]]), torch.zeros(0, 1)], truth, ["red"]).map50 == 1.0


def test_attribute_tables_that_do_not_fit_are_refused():
    truth = [described((LEFT, (0,)))]

    with pytest.raises(ValueError, match="one table an image: got 0 tables and 1 truths"):
        attribute_average_precision([], truth, ["red"])
    with pytest.raises(ValueError, match=r"image 0: 1 boxes .* 1 names, probabilities \(1, 2\)"):
        attribute_average_precision([torch.zeros(1, 2)], truth, ["red"])
