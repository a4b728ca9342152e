"""Encoders: one door, and no image that knows of its neighbours."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom

from updown_lab.config import TrunkConfig, override, preset
from updown_lab.errors import ConfigError
from updown_lab.regions import Regions
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.encoders import build_encoder, grid_boxes
from updown_lab.vision.shapes import at_size, see_in_batches, thicken
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


SIDES = st.integers(1, 180)


@pytest.mark.parametrize("kind", ["regions", "grid-pretrained-5", "grid-detector-3"])
@settings(max_examples=8, deadline=None)
@given(
    sizes=st.lists(st.tuples(SIDES, SIDES), min_size=2, max_size=4), twice=st.integers(0, 3), seed=st.integers(0, 99)
)
def test_no_image_knows_of_its_neighbours(parts, kind, sizes, twice, seed):
    """Any sizes in one call, one of them twice, give what each image gives alone: a pad that leaks would show."""
    random = torch.Generator().manual_seed(seed)
    images = [torch.rand(3, *size, generator=random) for size in [*sizes, sizes[twice % len(sizes)]]]
    encoder = build_encoder(kind, TINY, **parts)

    together = encoder.encode(images)

    for got, image in zip(together, images):
        (expected,) = encoder.encode([image])
        assert got.image_size == (image.shape[2], image.shape[1])
        # Equal scores may change places; nothing else may change.
        for one, other in zip(_sorted(got), _sorted(expected)):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def _sorted(regions):
    rows = torch.cat([regions.boxes, regions.features], dim=1)
    order = np.lexsort(rows[:, :4].round(decimals=1).T.flip(0).numpy())
    return rows[order]


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 2), (33, 31)])
@pytest.mark.parametrize("kind", ["regions", "grid-pretrained-10", "grid-pretrained-1", "grid-detector-7"])
@pytest.mark.parametrize("edge", ["padded", "ceil"])
def test_the_smallest_and_the_thinnest_images_are_seen(kind, edge, size):
    """Caffe's pooling has no border, so a map can vanish; sizes are no multiples of anything."""
    published = {"trunk.pool_edge": edge, "trunk.block": "Bottleneck", "trunk.pool_kernel": 3, "trunk.pool_stride": 2,
                 "detector.pad_to_stride": edge == "padded", "detector.resize": "plain"}  # fmt: skip
    cfg = override(TINY, **published)
    torch.manual_seed(0)
    detector = BottomUpDetector(build_trunk(cfg.trunk), cfg.detector, classes=3, attributes=4)

    (regions,) = build_encoder(kind, cfg, detector=detector, trunk=detector.trunk).encode([torch.rand(3, *size)])

    assert regions.count >= 1 and regions.image_size == (size[1], size[0])
    assert torch.isfinite(regions.features).all()
    assert (regions.boxes[:, 2] <= size[1]).all() and (regions.boxes[:, 3] <= size[0]).all()


def test_a_strip_is_stretched_across_only_and_its_boxes_go_back():
    strip = torch.rand(3, 2, 320)

    thick = thicken(strip)
    seen = Regions(torch.zeros(1, 2), torch.tensor([[32.0, 5, 64, 10]]), (320, 10), "demo")

    assert thick.shape == (3, 10, 320)  # 320 / 32
    assert torch.equal(thick[:, 0], strip[:, 0]) and torch.equal(thick[:, -1], strip[:, -1])
    assert at_size(seen, (320, 2)).boxes.tolist() == [[32, 1, 64, 2]]
    ordinary = torch.rand(3, 10, 320)
    assert thicken(ordinary) is ordinary


def test_regions_put_back_stay_inside_the_image():
    seen = Regions(torch.zeros(1, 2), torch.tensor([[0.0, 0, 1333, 801]]), (1333, 801), "demo")

    for size in [(641, 427), (20_000, 12_017), (3, 7)]:
        assert at_size(seen, size).boxes.tolist() == [[0, 0, *size]]


def test_a_missing_result_is_noticed_at_once():
    with pytest.raises(ValueError):
        see_in_batches([torch.zeros(3, 2, 2)] * 2, lambda images, positions: [])


@pytest.fixture(scope="module")
def resnet():
    """ResNet-101's plan with thin layers."""
    torch.manual_seed(1)
    layers = TrunkConfig(layers=(1, 1, 1, 1), widths=(4, 8, 16, 32), stem_width=8, weights="none")
    return build_trunk(layers).eval()


def grid(resnet, size, **changes):
    return build_encoder(f"grid-pretrained-{size}", override(TINY, **changes), trunk=resnet)


@torch.no_grad()
def test_corners_are_the_authors_zoom(resnet):
    """``scripts/generate_baseline.py``: scipy's zoom of the map of an image at its own size."""
    image = torch.rand(3, 333, 500)

    (regions,) = grid(resnet, 10, **{"grid.pooling": "corners"}).encode([image])

    maps = resnet(image[None])[0]  # (D, 11, 16): 333 / 32 and 500 / 32, rounded up
    assert maps.shape[1:] == (11, 16)
    expected = zoom(maps.numpy(), (1, 10 / 11, 10 / 16), order=1)
    torch.testing.assert_close(regions.features, torch.from_numpy(expected).flatten(1).T, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_average_is_the_mean_of_what_a_cell_covers(resnet):
    """14 x 14 cells of a map of 28 x 42 are means of 2 x 3 values, as ``adaptive_avg_pool2d`` takes them."""
    image = torch.rand(3, 28 * 32, 42 * 32)

    (regions,) = grid(resnet, 14, **{"grid.pooling": "average"}).encode([image])

    means = resnet(image[None])[0].unflatten(2, (14, 3)).unflatten(1, (14, 2)).mean((2, 4))
    torch.testing.assert_close(regions.features, means.flatten(1).T, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("size", "pooling"), [(14, "bilinear"), (14, "corners"), (14, "average"), (1, "bilinear")])
def test_448_pixels_make_the_map_of_14_by_14_itself(resnet, size, pooling):
    image = torch.rand(3, 120, 200)

    (regions,) = grid(resnet, size, **{"grid.image_side": 448, "grid.pooling": pooling}).encode([image])

    square = torch.nn.functional.interpolate(image[None], (448, 448), mode="bilinear", antialias=True)
    maps = resnet(square)
    assert maps.shape[2:] == (14, 14)
    expected = maps.flatten(2)[0].T if size == 14 else maps.mean((2, 3))
    torch.testing.assert_close(regions.features, expected, rtol=1e-4, atol=1e-5)
    assert regions.image_size == (200, 120) and regions.boxes[-1, 2:].tolist() == [200, 120]


@torch.no_grad()
def test_7_by_7_of_448_pixels_are_means_of_four(resnet):
    image = torch.rand(3, 448, 448)

    (regions,) = grid(resnet, 7, **{"grid.image_side": 448, "grid.pooling": "average"}).encode([image])

    quarters = torch.nn.functional.avg_pool2d(resnet(image[None]), 2)
    torch.testing.assert_close(regions.features, quarters[0].flatten(1).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", [{"grid.pooling": "max"}, {"grid.image_side": -1}])
def test_a_grid_that_cannot_be_is_refused(resnet, change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        grid(resnet, 7, **change)


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
    assert second.attribute_probabilities.shape == (1, 4)
    assert second.attribute_probabilities.max() == second.attribute_scores


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
