"""Encoders: one door, and no image that knows of its neighbours."""

from types import SimpleNamespace

import pytest
import torch

from updown_lab.config import override, preset
from updown_lab.errors import ConfigError
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.encoders import build_encoder, grid_boxes
from updown_lab.vision.trunk import build_trunk

TINY = preset("tiny")


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    detector = BottomUpDetector(build_trunk(TINY.trunk), TINY.detector, classes=3, attributes=4)
    return {"detector": detector, "trunk": build_trunk(TINY.trunk), "classes": 3, "attributes": 4}


def record(boxes, classes=None, attributes=None):
    boxes = torch.tensor(boxes, dtype=torch.float).view(-1, 4)
    classes = torch.zeros(len(boxes), dtype=torch.long) if classes is None else torch.tensor(classes)
    return SimpleNamespace(boxes=boxes, classes=classes, attributes=attributes or tuple(() for _ in boxes))


@pytest.mark.parametrize("kind", ["regions", "grid-pretrained-7", "grid-detector-3", "grid-pretrained-1", "oracle"])
def test_images_of_two_sizes_are_seen_as_if_alone(parts, kind):
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(3, *size, generator=generator) for size in ((128, 128), (96, 130), (128, 128))]
    records = [record([[3.0, 5, 60, 70]]), record([[0.0, 0, 50, 50], [20, 20, 60, 90]]), record([[9.0, 9, 90, 90]])]
    encoder = build_encoder(kind, TINY, **parts)

    together = encoder.encode(images, records)
    alone = [encoder.encode([image], [item])[0] for image, item in zip(images, records)]

    for got, expected, image in zip(together, alone, images):
        assert got.image_size == (image.shape[2], image.shape[1]) and got.source == kind == encoder.source
        assert got.features.shape[1] == encoder.feature_dim and not got.features.requires_grad
        torch.testing.assert_close(got.boxes, expected.boxes, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(got.features, expected.features, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("size", "width", "height"), [(1, 5, 3), (7, 128, 128), (10, 641, 427)])
def test_grid_cells_tile_the_image_exactly(size, width, height):
    boxes = grid_boxes(size, width, height)

    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert area.sum().item() == pytest.approx(width * height, rel=1e-5)
    grid = boxes.view(size, size, 4)
    assert torch.equal(grid[:, 1:, 0], grid[:, :-1, 2]) and torch.equal(grid[1:, :, 1], grid[:-1, :, 3])  # no gap
    assert boxes[0, :2].tolist() == [0, 0] and boxes[-1, 2:].tolist() == [width, height]


def test_a_bright_corner_lights_its_own_cell(parts):
    """Features and boxes of a grid must be in the same order."""
    encoder = build_encoder("grid-pretrained-4", TINY, **parts)
    dark, bright = torch.zeros(3, 128, 128), torch.zeros(3, 128, 128)
    bright[:, 4:28, 100:124] = 1.0  # top right

    change = encoder.encode([bright])[0].features - encoder.encode([dark])[0].features

    cell = change.norm(dim=1).argmax()
    assert encoder.encode([dark])[0].boxes[cell].tolist() == [96, 0, 128, 32]


def test_one_cell_is_the_mean_of_the_map(parts):
    image = torch.rand(3, 128, 128)

    (regions,) = build_encoder("grid-pretrained-1", TINY, **parts).encode([image])

    trunk = parts["trunk"].eval()
    with torch.no_grad():
        torch.testing.assert_close(regions.features[0], trunk(image[None])[0].mean((1, 2)))


def test_the_detectors_grid_sees_images_at_the_detectors_size(parts):
    small, detector = torch.rand(3, 64, 64), parts["detector"]

    (regions,) = build_encoder("grid-detector-2", TINY, **parts).encode([small])

    by_trunk = build_encoder("grid-pretrained-2", TINY, trunk=detector.trunk)
    torch.testing.assert_close(regions.features, by_trunk.encode([detector.resize(small)])[0].features)
    assert regions.boxes.max() == 64


def test_regions_obey_the_configured_limits_and_carry_names(parts):
    cfg = override(TINY, **{"selection.minimum": 5, "selection.maximum": 6})

    (regions,) = build_encoder("regions", cfg, **parts).encode([torch.rand(3, 128, 128)])

    assert 5 <= regions.count <= 6
    assert regions.classes.max() < 3 and regions.attributes.max() < 4 and regions.attributes.min() >= -1
    assert (regions.scores.diff() <= 0).all()


def test_regressed_regions_keep_the_proposals_features_and_move_the_boxes(parts):
    image = torch.rand(3, 128, 128)
    cfg = override(TINY, **{"selection.boxes": "regressed"})

    (regions,) = build_encoder("regions", cfg, **parts).encode([image])

    (detections,) = parts["detector"].detect([image])
    for feature, box, name in zip(regions.features, regions.boxes, regions.classes):
        row = (detections.features - feature).abs().sum(1).argmin()
        torch.testing.assert_close(box, detections.boxes()[row, name], rtol=1e-4, atol=1e-3)


def test_no_attribute_is_minus_one(parts):
    head = parts["detector"].attribute_head.attr_score
    image = torch.rand(3, 64, 64)
    encoder = build_encoder("oracle", TINY, **parts)
    before = head.bias.data.clone()

    head.bias.data[4] = 99.0  # the row of "no attribute"
    none = encoder.encode([image], [record([[0.0, 0, 30, 30]])])[0]
    head.bias.data[2] = 999.0
    second = encoder.encode([image], [record([[0.0, 0, 30, 30]])])[0]
    head.bias.data = before

    assert none.attributes.tolist() == [-1] and second.attributes.tolist() == [2]


def test_symbols_are_one_hot_class_attributes_and_box_share(parts):
    truth = record([[0.0, 0, 50, 25], [50, 50, 200, 100]], classes=[2, 0], attributes=((1, 3), ()))

    (regions,) = build_encoder("symbolic", TINY, **parts).encode([torch.zeros(3, 100, 200)], [truth])

    expected = torch.tensor([
        [0, 0, 1, 0, 1, 0, 1, 0, 0, 0.25, 0.25],
        [1, 0, 0, 0, 0, 0, 0, 0.25, 0.5, 1, 1],
    ])  # fmt: skip
    torch.testing.assert_close(regions.features, expected)
    assert regions.classes.tolist() == [2, 0]


@pytest.mark.parametrize("kind", ["oracle", "symbolic"])
def test_an_image_without_objects_is_one_region(parts, kind):
    (regions,) = build_encoder(kind, TINY, **parts).encode([torch.rand(3, 64, 96)], [record([])])

    assert regions.boxes.tolist() == [[0, 0, 96, 64]]


@pytest.mark.parametrize("kind", ["oracle", "symbolic"])
def test_truth_must_be_given_where_it_is_read(parts, kind):
    with pytest.raises(ValueError, match="records"):
        build_encoder(kind, TINY, **parts).encode([torch.rand(3, 64, 64)])


@pytest.mark.parametrize("kind", ["region", "grid-7", "grid-pretrained-0", "grid-detector-x"])
def test_an_unknown_kind_names_the_known_ones(parts, kind):
    with pytest.raises(ConfigError, match="grid-pretrained-N"):
        build_encoder(kind, TINY, **parts)


@pytest.mark.parametrize(
    ("kind", "missing"), [("regions", "detector"), ("grid-pretrained-7", "trunk"), ("symbolic", "classes")]
)
def test_a_missing_part_is_named(kind, missing):
    with pytest.raises(ConfigError, match=missing):
        build_encoder(kind, TINY)
