"""Anchors: three published meanings of "sizes and ratios", by hand and against the authors' own numbers."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from updown_lab.config import DetectorConfig
from updown_lab.errors import ConfigError
from updown_lab.vision.anchors import anchor_generator, cell_anchors

SIZES, RATIOS = (64, 128, 256, 512), (0.5, 1.0, 2.0)
# What the authors' generate_anchors.py gives for scales 4, 8, 16, 32, as it was run.
CAFFE = [[-38, -16, 53, 31], [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
         [-24, -24, 39, 39], [-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263],
         [-14, -36, 29, 51], [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359]]  # fmt: skip


def test_caffes_anchors_are_the_authors_numbers():
    assert cell_anchors("caffe", SIZES, RATIOS).tolist() == CAFFE


def test_continuous_anchors_have_exact_areas_and_ratios_size_by_size():
    boxes = cell_anchors("continuous", SIZES, RATIOS)

    width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    torch.testing.assert_close(width * height, torch.tensor(SIZES).repeat_interleave(3).float() ** 2)
    torch.testing.assert_close(height / width, torch.tensor(RATIOS).repeat(4))
    assert (boxes[:, :2] + boxes[:, 2:]).abs().max() == 0  # around the corner of the cell


def test_torchvisions_anchors_are_the_same_boxes_rounded_in_another_order():
    ours, theirs = cell_anchors("continuous", SIZES, RATIOS), cell_anchors("torchvision", SIZES, RATIOS)

    reordered = theirs.view(3, 4, 4).transpose(0, 1).reshape(12, 4)
    assert not torch.equal(ours, theirs)
    assert (ours - reordered).abs().max() <= 0.5


def test_anchors_stand_one_stride_apart_even_at_odd_sizes():
    images, maps = ImageList(torch.zeros(1, 3, 40, 901), [(40, 901)]), torch.zeros(1, 1, 3, 57)
    cfg = DetectorConfig(anchors="continuous", anchor_sizes=(32,), anchor_ratios=(1.0,))

    (boxes,) = anchor_generator(cfg, 16)(images, [maps])

    assert boxes.shape == (3 * 57, 4)
    assert boxes[56].tolist() == [56 * 16 - 16, -16, 56 * 16 + 16, 16]  # torchvision: 901 // 57 = 15 pixels a cell
    assert boxes[57].tolist() == [-16, 0, 16, 32]  # row by row


def test_own_boxes_win_over_the_formula():
    own = anchor_generator(DetectorConfig(anchor_boxes=(0.0, 0, 8, 8, 1, 2, 3, 4)), 16)

    assert own.num_anchors_per_location() == [2]
    assert own.cell_anchors[0].tolist() == [[0, 0, 8, 8], [1, 2, 3, 4]]


def test_the_default_is_torchvisions_own_generator():
    assert type(anchor_generator(DetectorConfig(), 16)) is AnchorGenerator


def test_impossible_anchors_are_refused():
    with pytest.raises(ConfigError, match="torchvision, continuous, caffe"):
        cell_anchors("square", SIZES, RATIOS)
    with pytest.raises(ConfigError, match="four numbers"):
        anchor_generator(DetectorConfig(anchor_boxes=(1.0, 2.0)), 16)
