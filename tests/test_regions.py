"""Regions and their batches: what is padded, what is kept, what is refused."""

import dataclasses

import pytest
import torch

from updown_lab.regions import RegionBatch, Regions, collate_regions


def make(count: int, size: int = 3, start: float = 0.0, dtype=torch.float32) -> Regions:
    features = (start + torch.arange(count * size)).reshape(count, size).to(dtype)
    return Regions(features, (start + torch.arange(count * 4.0)).reshape(count, 4), (64, 48), "demo")


@pytest.mark.parametrize(
    ("features", "boxes"),
    [((2, 8), (3, 4)), ((2, 8), (2, 5)), ((2,), (2, 4)), ((1, 2, 8), (1, 4)), ((2, 8), (8,)), ((0, 8), (1, 4))],
)
def test_features_and_boxes_must_agree(features, boxes):
    with pytest.raises(ValueError, match=r"features \(K, D\) and boxes \(K, 4\), got"):
        Regions(torch.zeros(features), torch.zeros(boxes), (4, 4), "demo")


def test_an_image_may_have_no_region():
    assert Regions(torch.zeros(0, 8), torch.zeros(0, 4), (4, 4), "demo").count == 0


def test_regions_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(1).source = "other"


def test_a_batch_keeps_every_region_and_pads_behind():
    """By hand: counts 2, 0 and 3 make a (3, 3) table."""
    two, none, three = make(2, start=10), make(0), make(3, start=50)

    batch = collate_regions([two, none, three])

    assert batch.mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert batch.features[0].tolist() == [[10, 11, 12], [13, 14, 15], [0, 0, 0]]
    assert batch.boxes[0].tolist() == [[10, 11, 12, 13], [14, 15, 16, 17], [0, 0, 0, 0]]
    assert torch.equal(batch.features[2], three.features) and torch.equal(batch.boxes[2], three.boxes)
    assert not batch.features[1].any() and not batch.boxes[1].any()
    assert len(batch) == 3 and batch.mask.dtype == torch.bool


def test_the_batch_s_order_is_the_images_order():
    first, second = make(1, start=1), make(2, start=5)

    one, other = collate_regions([first, second]), collate_regions([second, first])

    torch.testing.assert_close(one.features.flip(0), other.features)
    assert one.mask.flip(0).tolist() == other.mask.tolist()


def test_a_batch_of_images_without_regions_has_no_column():
    assert collate_regions([make(0), make(0)]).features.shape == (2, 0, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_kind_of_number_is_kept(dtype):
    assert collate_regions([make(1, dtype=dtype)]).features.dtype == dtype


def test_feature_sizes_must_agree():
    with pytest.raises(ValueError, match=r"one feature size, got \[3, 5\]"):
        collate_regions([make(1, 3), make(1, 5)])


def test_no_image_is_no_batch():
    with pytest.raises(ValueError, match="no image"):
        collate_regions([])


def test_a_batch_moves_as_a_whole():
    """ "meta" is a device that every machine has."""
    moved = collate_regions([make(2)]).to("meta")

    assert isinstance(moved, RegionBatch)
    assert {part.device.type for part in (moved.features, moved.boxes, moved.mask)} == {"meta"}
