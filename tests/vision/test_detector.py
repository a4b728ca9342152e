"""The detector: its size, its losses, and that it learns."""

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

from updown_lab.config import DetectorConfig, preset
from updown_lab.errors import ConfigError
from updown_lab.vision import detector as module
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.trunk import build_trunk

TINY = preset("tiny")


def tiny_detector(classes=3, attributes=4, seed=0, **changes):
    torch.manual_seed(seed)
    return BottomUpDetector(build_trunk(TINY.trunk), replace(TINY.detector, **changes), classes, attributes)


def drawn():
    """Two pictures with two rectangles each; class 0 is red, class 1 is blue; attribute 0 is "large"."""
    boxes = [
        torch.tensor([[10.0, 20, 60, 80], [80, 70, 110, 100]]),
        torch.tensor([[60.0, 10, 120, 60], [8, 84, 40, 112]]),
    ]
    images, targets = [], []
    for pair in boxes:
        image = torch.full((3, 128, 128), 0.5)
        for name, (left, top, right, bottom) in enumerate(pair.int().tolist()):
            image[:, top:bottom, left:right] = torch.eye(3)[2 * name].view(3, 1, 1)
        images.append(image)
        attributes = torch.tensor([[0, -1], [-1, -1]])
        targets.append({"boxes": pair, "labels": torch.tensor([0, 1]), "attributes": attributes})
    return images, targets


def test_a_tiny_detector_learns_two_drawn_pictures():
    images, targets = drawn()
    detector = tiny_detector()
    optimiser = torch.optim.AdamW(detector.parameters(), lr=2e-3)

    totals = []
    for _ in range(40):
        losses = detector(images, targets)
        totals.append(sum(losses.values()))
        optimiser.zero_grad()
        totals[-1].backward()
        optimiser.step()
    with torch.no_grad():
        for _ in range(5):
            detector(images, targets)  # BatchNorm's running statistics catch up

    assert set(losses) == {"classification", "box", "objectness", "proposal_box", "attribute"}
    assert totals[-1] < totals[0] / 4
    found = detector.encode_boxes(images, [target["boxes"] for target in targets])
    for detections in found:
        assert detections.probabilities.argmax(1).tolist() == [0, 1]


def test_losses_need_training_mode():
    detector = tiny_detector().eval()

    with pytest.raises(RuntimeError, match="detect"):
        detector(*drawn())


def test_the_attribute_loss_is_asked_with_the_true_class_and_weighted(monkeypatch):
    asked = []
    detector = tiny_detector(attribute_weight=0.5)
    head = detector.attribute_head.forward
    monkeypatch.setattr(detector.attribute_head, "forward", lambda f, c: asked.append(c) or head(f, c))
    monkeypatch.setattr(module, "attribute_loss", lambda logits, labels: torch.tensor(2.0))
    images, targets = drawn()
    for target in targets:
        target["labels"] = torch.tensor([2, 2])  # an untrained network would not guess 2 everywhere

    losses = detector(images, targets)

    assert losses["attribute"].item() == 1.0  # 0.5 * 2
    assert len(asked[0]) >= 4 and set(asked[0].tolist()) == {2}


def test_an_image_without_objects_trains_as_background():
    images, targets = drawn()
    empty = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.long),
        "attributes": torch.zeros(0, 2, dtype=torch.long),
    }

    for case in ([targets[0], empty], [empty, empty]):
        losses = tiny_detector()(images, case)
        assert all(torch.isfinite(loss) for loss in losses.values())
        sum(losses.values()).backward()


def test_detections_hold_probabilities_and_boxes_inside_the_image():
    images = [torch.rand(3, 100, 150)]

    (found,) = tiny_detector().detect(images)

    rows = len(found.proposals)
    assert found.image_size == (150, 100) and 1 <= rows <= 60
    assert found.features.shape == (rows, 192) and found.boxes().shape == (rows, 3, 4)
    torch.testing.assert_close(found.attributes.sum(1) + found.no_attribute, torch.ones(rows))
    assert (found.probabilities.sum(1) < 1).all()
    for boxes in (found.proposals, found.boxes().flatten(0, 1)):
        assert (boxes >= 0).all() and (boxes[:, 0::2] <= 150).all() and (boxes[:, 1::2] <= 100).all()


def test_regressed_boxes_of_one_class_are_rows_of_all_and_undo_the_target():
    truth = torch.tensor([[20.0, 30, 70, 60]])
    proposal = torch.tensor([[25.0, 20, 65, 64]])
    (found,) = tiny_detector().encode_boxes([torch.rand(3, 128, 128)], [proposal])
    wanted = BoxCoder((10.0, 10.0, 5.0, 5.0)).encode_single(truth, proposal)

    told = replace(found, deltas=wanted.view(1, 1, 4).repeat(1, 3, 1))

    torch.testing.assert_close(told.boxes(torch.tensor([2])), truth)
    torch.testing.assert_close(found.boxes(torch.tensor([1])), found.boxes()[:, 1])


def test_each_class_has_its_own_box_regression():
    detector = tiny_detector()
    torch.nn.init.zeros_(detector.predictor.bbox_pred.weight)
    torch.nn.init.zeros_(detector.predictor.bbox_pred.bias)
    detector.predictor.bbox_pred.bias.data[4 * 2] = 1.0  # dx of row 2, which is class 1: row 0 is background

    (found,) = detector.encode_boxes([torch.rand(3, 128, 128)], [torch.tensor([[10.0, 10, 30, 50]])])

    moved = found.boxes()[0, :, 0] - 10
    torch.testing.assert_close(moved, torch.tensor([0.0, 2, 0]))  # 1 / 10 of the width of 20


def test_targets_follow_the_resized_image_in_each_direction():
    target = {
        "boxes": torch.tensor([[20.0, 10, 40, 90]]),
        "labels": torch.tensor([1]),
        "attributes": torch.tensor([[0]]),
    }

    moved = tiny_detector()._target(torch.zeros(3, 100, 200), target, (60, 100))  # height x 0.6, width x 0.5

    torch.testing.assert_close(moved["boxes"], torch.tensor([[10.0, 6, 20, 54]]))
    assert target["boxes"][0, 0] == 20 and moved["labels"].tolist() == [2]


def test_given_boxes_come_back_untouched_and_none_are_allowed():
    boxes = [torch.tensor([[1.3, 2.7, 33.3, 44.1]]), torch.zeros(0, 4)]
    images = [torch.rand(3, 77, 131), torch.rand(3, 77, 131)]

    one, none = tiny_detector().encode_boxes(images, boxes)

    assert torch.equal(one.proposals, boxes[0])
    assert none.features.shape == (0, 192) and none.boxes().shape == (0, 3, 4)


def test_pooling_in_chunks_changes_nothing(monkeypatch):
    detector, images = tiny_detector(), [torch.rand(3, 128, 128)]
    boxes = [torch.tensor([[float(i), i, i + 40, i + 50] for i in range(11)])]
    (whole,) = detector.encode_boxes(images, boxes)

    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 3 * 96 * 25)  # three regions of 96 channels and 5 x 5
    (chunked,) = detector.encode_boxes(images, boxes)

    torch.testing.assert_close(chunked.features, whole.features)


def test_a_feature_is_of_the_thing_in_the_box_at_any_scale():
    """A picture twice as large with boxes twice as large is the same to a detector that resizes."""
    detector = tiny_detector()
    small = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 1)
    small = small.repeat_interleave(8, 2)  # (3, 128, 128) of 8 x 8 blocks
    large = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    box = torch.tensor([[16.0, 24, 80, 96]])

    a, b = detector.encode_boxes([small, large], [box, 2 * box])

    torch.testing.assert_close(a.features, b.features, rtol=0.05, atol=0.05)
    assert b.image_size == (256, 256)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(300, 400, (600, 800)), (480, 640, (600, 800)), (500, 1000, (500, 1000)), (100, 300, (333, 1000))],
)
def test_the_short_side_grows_to_600_unless_the_long_side_would_pass_1000(height, width, expected):
    detector = tiny_detector(image_min=DetectorConfig().image_min, image_max=DetectorConfig().image_max)

    assert detector.resize(torch.zeros(3, height, width)).shape[1:] == expected


def test_padding_of_a_mixed_training_batch_is_zero_after_normalising():
    detector = tiny_detector(image_min=64, image_max=128)

    batch = detector._batch([torch.rand(3, 64, 64), torch.rand(3, 64, 100)])

    assert batch.tensors.shape == (2, 3, 64, 104)  # 100 rounded up to the stride 8
    assert batch.tensors[0, :, :, 64:].abs().max() == 0 and batch.tensors[1, :, :, 100:].abs().max() == 0


def test_detecting_leaves_the_mode_as_it_was():
    detector = tiny_detector().train()

    detector.detect([torch.rand(3, 64, 64)])

    assert detector.training and detector.trunk.bn1.training


def turned_round(detector):
    """The same network with background last, and no box or a box for it."""
    other = tiny_detector(background="last", background_box=False)
    state = detector.state_dict()
    for name in ("weight", "bias"):
        state[f"predictor.cls_score.{name}"] = state[f"predictor.cls_score.{name}"].roll(-1, 0)
        state[f"predictor.bbox_pred.{name}"] = state[f"predictor.bbox_pred.{name}"][4:]
    other.load_state_dict(state)
    return other


def test_background_may_stand_first_or_last_in_the_logits():
    detector = tiny_detector()
    torch.nn.init.normal_(detector.predictor.cls_score.weight, std=0.5)
    other, images = turned_round(detector), [torch.rand(3, 128, 128)]

    a, b = detector.detect(images)[0], other.detect(images)[0]

    for name in ("probabilities", "attributes", "deltas"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name))


def test_background_may_stand_first_or_last_while_learning():
    detector = tiny_detector()
    other = turned_round(detector)

    losses = []
    for network in (detector, other):
        torch.manual_seed(3)
        losses.append({name: loss.item() for name, loss in network(*drawn()).items()})

    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("background", ["first", "last"])
@pytest.mark.parametrize(("row", "asked"), [(1, 0), (3, 2), (0, 3)], ids=["class 0", "class 2", "background"])
def test_background_may_be_asked_for_its_attribute(background, row, asked):
    detector = tiny_detector(background=background, attribute_background=True).eval()
    torch.nn.init.zeros_(detector.predictor.cls_score.weight)
    bias = torch.zeros(4)
    bias[row] = 9.0
    detector.predictor.cls_score.bias.data = bias if background == "first" else bias.roll(-1)
    features = torch.rand(2, 192)

    with torch.no_grad():
        _, attributes, none, _ = detector.judge(features)
        logits = detector.attribute_head(features, torch.tensor([asked, asked]))

    assert len(detector.attribute_head.cls_embedding.weight) == 3 + 1
    torch.testing.assert_close(torch.cat([attributes, none[:, None]], dim=1), logits.softmax(1))


def test_the_likeliest_object_is_asked_when_background_is_not():
    detector = tiny_detector().eval()
    torch.nn.init.zeros_(detector.predictor.cls_score.weight)
    detector.predictor.cls_score.bias.data = torch.tensor([9.0, 0, 0, 1])
    features = torch.rand(1, 192)

    with torch.no_grad():
        attributes = detector.judge(features)[1]
        logits = detector.attribute_head(features, torch.tensor([2]))

    torch.testing.assert_close(attributes, logits.softmax(1)[:, :-1])


def test_no_attribute_may_be_dropped_before_the_softmax():
    detector = tiny_detector(attribute_softmax="real").eval()
    detector.attribute_head.attr_score.bias.data[-1] = 50.0  # "no attribute" would win

    with torch.no_grad():
        _, attributes, none, _ = detector.judge(torch.rand(2, 192))

    torch.testing.assert_close(attributes.sum(1), torch.ones(2))
    assert not none.any()


def test_caffes_boxes_end_one_resized_pixel_before_the_edge():
    boxes = [torch.tensor([[0.0, 0, 100, 200]])]  # the whole image, seen at 64 x 128: one pixel is 1.5625 here
    detector = tiny_detector(clip_margin=1.0, image_min=64, image_max=128)
    for layer in (detector.rpn.head.bbox_pred, detector.predictor.bbox_pred):
        torch.nn.init.normal_(layer.bias, std=3.0)  # every box grows over the edge

    image = torch.rand(3, 200, 100)
    proposed, given = detector.detect([image])[0], detector.encode_boxes([image], boxes)[0]

    for edges in (proposed.proposals, given.boxes().flatten(0, 1), proposed.boxes().flatten(0, 1)):
        assert edges[:, 2].max().item() == pytest.approx(100 - 100 / 64, abs=1e-3)
        assert edges[:, 3].max().item() <= 200 - 200 / 128 + 1e-3
    assert torch.equal(given.proposals, boxes[0])


def test_an_image_may_stay_at_its_own_odd_size():
    assert tiny_detector(pad_to_stride=False)._batch([torch.rand(3, 128, 90)]).tensors.shape == (1, 3, 128, 90)
    assert tiny_detector()._batch([torch.rand(3, 128, 90)]).tensors.shape == (1, 3, 128, 96)


def test_regression_is_divided_by_the_configured_weights():
    detector = tiny_detector(box_weights=(1.0, 2.0, 5.0, 5.0))
    torch.nn.init.zeros_(detector.predictor.bbox_pred.weight)
    detector.predictor.bbox_pred.bias.data = torch.tensor([0.0] * 4 + [0.5, 0.5, 0, 0] * 3)

    (found,) = detector.encode_boxes([torch.rand(3, 128, 128)], [torch.tensor([[10.0, 10, 30, 50]])])

    torch.testing.assert_close(found.boxes()[0, 0], torch.tensor([20.0, 20, 40, 60]))  # 0.5 * 20, 0.25 * 40


def test_proposals_are_pooled_where_the_network_saw_them(monkeypatch):
    """A trip to the original's pixels and back would move a box at 1000 to 999.99995, and RoIPool rounds 62.5 cells."""
    detector, pooled = tiny_detector(image_min=128, image_max=128), []
    monkeypatch.setattr(detector, "crop", lambda maps, regions, size, scale: pooled.append(regions) or
                        torch.zeros(len(regions), maps.shape[1], size, size))  # fmt: skip
    exact = [torch.tensor([[0.1, 0.3, 127.7, 99.9], [0, 0, 128, 101]])]
    monkeypatch.setattr(detector.rpn, "forward", lambda *given: (exact, {}))

    detector.detect([torch.rand(3, 67, 85)])

    assert torch.equal(pooled[0][:, 1:], exact[0])


@pytest.mark.parametrize(
    "change",
    [{"resize": "bicubic"}, {"anchors": "square"}, {"roi_pooling": "mean"}, {"background": "none"},
     {"attribute_softmax": "some"}, {"box_weights": (1.0, 1.0)}],
)  # fmt: skip
def test_impossible_settings_name_the_possible_ones(change):
    with pytest.raises(ConfigError, match=f"detector.{next(iter(change))} (is one of|are four)"):
        tiny_detector(**change)
