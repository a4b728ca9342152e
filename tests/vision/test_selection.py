"""Which proposals become regions: cases by hand, and the authors' rule written the slow way."""

from dataclasses import replace

import pytest
import torch
from torchvision.ops import box_iou

from updown_lab.config import SelectionConfig
from updown_lab.errors import ConfigError
from updown_lab.vision.detections import Detections
from updown_lab.vision.selection import detections_for_scoring, select_detections, select_regions

FAR = torch.tensor([[0.0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10], [300, 0, 310, 10]])


def slow_selection(probabilities, boxes, cfg):
    """Class by class, box by box, as one would explain it on a blackboard; returns kept rows and their scores."""
    best = [0.0] * len(probabilities)
    for name in range(probabilities.shape[1]):
        mine = boxes if boxes.dim() == 2 else boxes[:, name]
        overlap = box_iou(mine.double(), mine.double())
        kept = []
        for row in probabilities[:, name].argsort(descending=True).tolist():
            if all(overlap[row, other] <= cfg.nms_threshold for other in kept):
                kept.append(row)
                best[row] = max(best[row], probabilities[row, name].item())
    order = sorted(range(len(best)), key=lambda row: -best[row])
    confident = sum(score >= cfg.confidence for score in best)
    return [(row, best[row]) for row in order[: min(max(confident, cfg.minimum), cfg.maximum)]]


def test_a_look_alike_of_the_same_class_goes_and_of_another_class_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 6]])  # IoU with row 0: 0.5 and 0.6
    probabilities = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.0, 0.7]])

    chosen = select_regions(probabilities, boxes, SelectionConfig(nms_threshold=0.3, minimum=1))

    assert chosen.rows.tolist() == [0, 2]
    assert chosen.classes.tolist() == [0, 1]
    assert chosen.scores.tolist() == pytest.approx([0.9, 0.7])


def test_a_region_suppressed_in_its_best_class_counts_with_the_class_where_it_survived():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]])
    probabilities = torch.tensor([[0.6, 0.1], [0.5, 0.3]])

    chosen = select_regions(probabilities, boxes, SelectionConfig(minimum=1))

    assert chosen.rows.tolist() == [0, 1] and chosen.classes.tolist() == [0, 1]
    assert chosen.scores.tolist() == pytest.approx([0.6, 0.3])


def test_a_region_is_kept_once_even_if_two_classes_want_it():
    chosen = select_regions(torch.tensor([[0.45, 0.5]]), FAR[:1], SelectionConfig(minimum=1))

    assert chosen.rows.tolist() == [0] and chosen.classes.tolist() == [1]


def test_overlap_equal_to_the_threshold_is_kept():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])  # IoU exactly 0.5
    probabilities = torch.tensor([[0.9], [0.8]])

    chosen = select_regions(probabilities, boxes, SelectionConfig(nms_threshold=0.5, minimum=1))

    assert chosen.rows.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("minimum", "maximum", "rows"),
    [(1, 100, [2, 0]), (3, 100, [2, 0, 3]), (10, 100, [2, 0, 3, 1]), (1, 1, [2])],
    ids=["by confidence", "too few", "fewer than wanted exist", "too many"],
)
def test_the_number_of_regions_is_clamped_from_the_best_down(minimum, maximum, rows):
    probabilities = torch.tensor([[0.5], [0.0], [0.6], [0.001]])

    chosen = select_regions(probabilities, FAR, SelectionConfig(minimum=minimum, maximum=maximum))

    assert chosen.rows.tolist() == rows


def test_confidence_equal_to_the_threshold_is_kept():
    chosen = select_regions(torch.tensor([[0.25], [0.2499]]), FAR[:2], SelectionConfig(confidence=0.25, minimum=1))

    assert chosen.rows.tolist() == [0]


def test_rows_that_survive_nowhere_fill_up_to_the_minimum():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    probabilities = torch.tensor([[0.9, 0.8], [0.2, 0.3], [0.4, 0.1]])  # row 0 wins both classes

    chosen = select_regions(probabilities, boxes, SelectionConfig(minimum=3))

    assert chosen.rows.tolist() == [0, 2, 1]  # then by their own best: 0.4 before 0.3
    assert chosen.scores.tolist() == pytest.approx([0.9, 0.0, 0.0])
    assert chosen.classes.tolist() == [0, 0, 1]


def test_no_proposal_gives_no_region():
    assert len(select_regions(torch.zeros(0, 3), torch.zeros(0, 4), SelectionConfig()).rows) == 0


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("confidence", [0.2, 0.6, 0.95])  # too many, enough, too few are confident
@pytest.mark.parametrize("seed", range(3))
def test_the_fast_rule_is_the_authors_rule(seed, confidence, per_class):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(40, *([7] if per_class else []), 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 5 + torch.rand(corner.shape, generator=generator) * 50], dim=-1)
    logits = torch.randn(40, 8, generator=generator) * (1 + seed)
    cfg = SelectionConfig(confidence=confidence, minimum=12, maximum=18)

    chosen = select_regions(logits.softmax(1)[:, 1:], boxes, cfg)

    slow = slow_selection(logits.softmax(1)[:, 1:], boxes, cfg)
    assert chosen.rows.tolist() == [row for row, score in slow]
    assert chosen.scores.tolist() == pytest.approx([score for row, score in slow])


def test_a_thousand_classes_do_not_blur_the_boxes():
    # NMS moves class 1599 to pixel 1.6 million, where float32 has steps of 1/8: 3.05 becomes 3.0 and IoU 0.305 is 0.3.
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 3.05], [900, 900, 1000, 1000]])
    probabilities = torch.zeros(3, 1600)
    probabilities[:, 1599] = torch.tensor([0.9, 0.8, 0.7])

    chosen = select_regions(probabilities, boxes, SelectionConfig(nms_threshold=0.302, minimum=1))

    assert chosen.rows.tolist() == [0, 2]


NEAR = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 7], [0, 0, 10, 4.5], [50, 0, 60, 10]])  # IoU with row 0: 0.7, 0.45


def test_fixed_always_gives_the_maximum_if_there_are_so_many():
    probabilities = torch.tensor([[0.5], [0.0], [0.6], [0.001]])

    for maximum, rows in ((3, [2, 0, 3]), (1, [2]), (36, [2, 0, 3, 1])):
        assert select_regions(probabilities, FAR, SelectionConfig(rule="fixed", maximum=maximum)).rows.tolist() == rows


def test_max_nms_lets_classes_suppress_each_other():
    probabilities = torch.tensor([[0.9, 0.0], [0.0, 0.8], [0.7, 0.1], [0.0, 0.2]])

    chosen = select_regions(probabilities, NEAR, SelectionConfig(rule="max-nms", nms_ladder=(0.5,), minimum=1))

    assert chosen.rows.tolist() == [0, 2, 3] and chosen.classes.tolist() == [0, 0, 1]
    assert chosen.scores.tolist() == pytest.approx([0.9, 0.7, 0.2])


@pytest.mark.parametrize(
    ("minimum", "maximum", "rows"),
    [(1, 9, [0, 3]), (3, 9, [0, 2, 3]), (4, 9, [0, 1, 2, 3]), (4, 2, [0, 1]), (99, 9, [0, 1, 2, 3])],
    ids=["first rung", "second", "third", "cut at the maximum", "never enough: the last rung"],
)
def test_the_ladder_stops_at_the_first_rung_with_enough(minimum, maximum, rows):
    probabilities = torch.tensor([[0.9], [0.8], [0.7], [0.2]])
    cfg = SelectionConfig(rule="max-nms", nms_ladder=(0.3, 0.6, 0.8), minimum=minimum, maximum=maximum)

    assert select_regions(probabilities, NEAR, cfg).rows.tolist() == rows


def test_max_nms_compares_the_boxes_of_the_likeliest_classes():
    boxes = torch.stack([NEAR, FAR], dim=1)  # class 0 looks alike, class 1 lies apart
    cfg = SelectionConfig(rule="max-nms", nms_ladder=(0.3,), minimum=1)

    alike = select_regions(torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.7, 0.0], [0.6, 0.0]]), boxes, cfg)
    apart = select_regions(torch.tensor([[0.0, 0.9], [0.0, 0.8], [0.0, 0.7], [0.0, 0.6]]), boxes, cfg)

    assert alike.rows.tolist() == [0, 3] and apart.rows.tolist() == [0, 1, 2, 3]


def test_pairs_may_keep_a_proposal_for_two_classes():
    probabilities = torch.tensor([[0.5, 0.4], [0.45, 0.1], [0.1, 0.1], [0.3, 0.1]])

    chosen = select_regions(probabilities, NEAR, SelectionConfig(rule="pairs", nms_ladder=(0.5, 0.8), minimum=2))
    wider = select_regions(probabilities, NEAR, SelectionConfig(rule="pairs", nms_ladder=(0.5, 0.8), minimum=4))

    assert list(zip(chosen.rows.tolist(), chosen.classes.tolist())) == [(0, 0), (0, 1), (3, 0)]
    assert list(zip(wider.rows.tolist(), wider.classes.tolist())) == [(0, 0), (1, 0), (0, 1), (3, 0)]


@pytest.mark.parametrize("rule", ["per-class", "fixed", "max-nms", "pairs"])
def test_every_rule_survives_nothing(rule):
    assert len(select_regions(torch.zeros(0, 3), torch.zeros(0, 4), SelectionConfig(rule=rule)).rows) == 0
    assert len(select_regions(torch.zeros(0, 3), torch.zeros(0, 3, 4), SelectionConfig(rule=rule)).rows) == 0


def test_an_unknown_rule_or_an_empty_ladder_names_what_is_possible():
    with pytest.raises(ConfigError, match="per-class, fixed, max-nms, pairs"):
        select_regions(torch.zeros(1, 1), FAR[:1], SelectionConfig(rule="best"))
    with pytest.raises(ConfigError, match="nms_ladder"):
        select_regions(torch.zeros(1, 1), FAR[:1], SelectionConfig(rule="max-nms", nms_ladder=()))


def test_scoring_may_use_a_proposal_twice_and_obeys_its_limits():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    probabilities = torch.tensor([[0.5, 0.4], [0.3, 0.02], [0.2, 0.05]])

    scored = detections_for_scoring(probabilities, boxes)
    first = detections_for_scoring(probabilities, boxes, maximum=2)

    pairs = list(zip(scored.rows.tolist(), scored.classes.tolist()))
    assert pairs == [(0, 0), (0, 1), (2, 0), (2, 1)]  # (1, 0) looks like (0, 0); (1, 1) is below 0.05
    assert scored.boxes.tolist() == boxes[[0, 0, 2, 2]].tolist()
    assert first.scores.tolist() == pytest.approx([0.5, 0.4])


def test_the_boxes_of_a_selection_are_the_ones_asked_for():
    detections = Detections(
        proposals=FAR, features=torch.zeros(4, 2), probabilities=torch.tensor([[0.9, 0.0], [0.1, 0.8]] * 2),
        attributes=torch.zeros(4, 1), no_attribute=torch.ones(4), deltas=torch.zeros(4, 2, 4), image_size=(400, 20),
    )  # fmt: skip
    detections.deltas[:, 1, 0] = 1.0  # class 1 moves right by a tenth of the width of 10

    for rule in ("per-class", "max-nms", "pairs", "fixed"):
        cfg = SelectionConfig(rule=rule, nms_ladder=(0.5,), minimum=1)
        for kind, step in (("proposal", 0.0), ("regressed", 1.0)):
            chosen, boxes = select_detections(detections, replace(cfg, boxes=kind))
            expected = FAR[chosen.rows] + step * chosen.classes[:, None] * torch.tensor([1.0, 0, 1, 0])
            torch.testing.assert_close(boxes, expected)
    with pytest.raises(ConfigError, match=r"selection\.boxes is one of proposal, regressed; got 'both'"):
        replace(cfg, boxes="both")
