"""What the checks of A1 answer: boxes, suppression, selection."""

import pytest
import torch
from seeded import told

from updown_lab.coursework import check_iou, check_nms, check_select


def area(box):
    return box[:, 2:].sub(box[:, :2]).prod(-1)


def test_inclusive_pixels_are_recognised():
    def iou(boxes, others):
        sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2]) + 1
        shared = sides.clamp(min=0).prod(-1)
        size = lambda box: (box[:, 2:] - box[:, :2] + 1).prod(-1)  # noqa: E731
        return shared / (size(boxes)[:, None] + size(others) - shared)

    said = told(check_iou, iou)

    assert "include their last pixel" in said
    assert "[[0.2857]]" in said and "[[0.1429]]" in said  # by hand: 4 / (9 + 9 - 4) = 2/7, and 1 / (4 + 4 - 1) = 1/7


def test_a_union_that_counts_the_overlap_twice_is_recognised():
    def iou(boxes, others):
        sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2])
        return sides.clamp(min=0).prod(-1) / (area(boxes)[:, None] + area(others))

    assert "counts it twice" in told(check_iou, iou)


def test_zero_by_zero_is_told_as_nan():
    def iou(boxes, others):
        sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2])
        shared = sides.clamp(min=0).prod(-1)
        return shared / (area(boxes)[:, None] + area(others) - shared)

    said = told(check_iou, iou)
    assert "no area at all" in said and "look for 0/0" in said
    assert "counts it twice" not in said  # it does not: the boxes before were right


@pytest.mark.parametrize(
    ("reverse", "strict", "words"), [(False, True, "the worst box wins"), (True, False, "exactly the threshold")]
)
def test_slips_of_nms_are_recognised(reverse, strict, words):
    def nms(overlaps, scores, threshold):
        kept = []
        for row in scores.argsort(descending=reverse).tolist():
            near = overlaps[row, kept]
            if not (near > threshold if strict else near >= threshold).any():
                kept.append(row)
        return torch.tensor(kept)

    assert words in told(check_nms, nms)


def test_rows_of_the_sorted_list_are_recognised():
    def nms(overlaps, scores, threshold):
        order = scores.argsort(descending=True)
        overlaps, kept = overlaps[order][:, order], []
        for row in range(len(scores)):
            if not (overlaps[row, kept] > threshold).any():
                kept.append(row)
        return torch.tensor(kept)

    said = told(check_nms, nms)

    assert "places in the sorted list" in said
    assert "gave tensor([0, 1]), it should give tensor([3, 1])" in said  # by hand: 3 is best, 1 next, and drops 0 and 2


def test_a_list_does_not_look_like_a_tensor():
    said = told(check_nms, lambda overlaps, scores, threshold: [0])

    assert "gave [0], it should give tensor([0])" in said


def written_select(join=torch.maximum, enough=torch.ge):
    """``select`` as a learner writes it."""

    def select(probabilities, suppress, confidence, minimum, maximum):
        best = torch.zeros(len(probabilities))
        for number in range(probabilities.shape[1]):
            for row in suppress(probabilities[:, number]).tolist():
                best[row] = join(best[row], probabilities[row, number])
        count = min(maximum, max(minimum, int(enough(best, confidence).sum())))
        return best.argsort(descending=True)[:count]

    return select


def test_select_written_with_two_loops_is_right(capsys):
    check_select(written_select())

    assert "select: right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("slip", "words", "numbers"),
    [
        # By hand: hat 0.6, head 0.7, and the tree survives twice: 0.65, then 0.3. Right: head, tree, hat.
        ({"join": lambda old, new: new}, "the better one first",
         "gave tensor([1, 0, 2]), it should give tensor([1, 2, 0])"),
        ({"join": torch.add}, "they are summed", "gave tensor([2, 1, 0]), it should give tensor([1, 2, 0])"),
        # By hand: 0.5 is asked for, and the second proposal has exactly that.
        ({"enough": torch.gt}, "at least that much", "gave tensor([0]), it should give tensor([0, 1])"),
    ],
)  # fmt: skip
def test_slips_of_select_are_recognised(slip, words, numbers):
    said = told(check_select, written_select(**slip))

    assert words in said and numbers in said


def test_suppression_across_classes_is_recognised():
    def select(probabilities, suppress, confidence, minimum, maximum):
        return suppress(probabilities.amax(1))[:maximum]

    assert "they are different things" in told(check_select, select)
