"""The detector: its size, its losses, and that it learns."""

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

from updown_lab.config import DetectorConfig, preset
from updown_lab.vision import detector as module
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.trunk import build_trunk

TINY, PAPER = preset("tiny"), preset("paper")


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


def test_the_papers_detector_has_the_published_number_of_weights():
    with torch.device("meta"):
        trunk = build_trunk(replace(PAPER.trunk, weights="none"))
        detector = BottomUpDetector(trunk, PAPER.detector, classes=1600, attributes=400)

    count = sum(value.numel() for value in detector.state_dict().values())

    # The published file has 65,545,318 numbers. Its 12 x 4 anchors are a formula here; torchvision also regresses a box
    # for background (4 rows of 2048 and a bias); nobody asks for the attributes of background (1 embedding of 256).
    assert count == 65_545_318 - 48 + 4 * 2049 - 256


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
    normal = detector.trunk.normalise(batch.tensors)
    assert normal[0, :, :, 64:].abs().max() == 0 and normal[1, :, :, 100:].abs().max() == 0


def test_detecting_leaves_the_mode_as_it_was():
    detector = tiny_detector().train()

    detector.detect([torch.rand(3, 64, 64)])

    assert detector.training and detector.trunk.bn1.training
