"""Cutting regions out of a map: by hand, and the fast way against torchvision's."""

import pytest
import torch

from updown_lab.vision.pooling import align, align_by_matrices, largest

STRIPES = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 4, 8).contiguous()  # a cell's value is its column


def test_roipool_takes_the_largest_cell_of_rounded_boxes():
    # x 24 to 71 pixels: cells 1.5 and 4.4, rounded to 2 and 4; both ends belong to the box, so 2 bins of 1.5 cells.
    crop = largest(STRIPES, torch.tensor([[0, 24.0, 0, 71, 16]]), 2, 1 / 16)

    assert crop[0, 0, 0].tolist() == [3, 4]


def test_roialign_takes_the_mean_of_what_lies_under_the_box():
    # x 16 to 80: cells 1 to 5, whose middles are 0.5 to 4.5 in columns; two bins around 1.5 and 3.5.
    crop = align(STRIPES, torch.tensor([[0, 16.0, 16, 80, 48]]), 2, 1 / 16)

    torch.testing.assert_close(crop[0, 0], torch.tensor([[1.5, 3.5], [1.5, 3.5]]))


@pytest.mark.parametrize("size", [1, 7, 14])
def test_two_matrix_products_are_roialign_inside_outside_and_across_the_edge(size):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 5, 9, 13, generator=generator)
    corner = torch.rand(60, 2, generator=generator) * 260 - 40  # the image is 208 x 144
    boxes = torch.cat([corner, corner + torch.rand(60, 2, generator=generator) * 150], dim=1)
    odd = [[0, 0, 208, 144], [-500, -500, -400, -400], [900, 900, 999, 999], [40, 40, 40, 40], [207, 143, 300, 300]]
    regions = torch.cat([torch.randint(0, 2, (65, 1), generator=generator).float(),
                         torch.cat([boxes, torch.tensor(odd).float()])], dim=1)  # fmt: skip

    fast = align_by_matrices(maps, regions, size, 1 / 16)

    torch.testing.assert_close(fast, align(maps, regions, size, 1 / 16), rtol=1e-5, atol=1e-5)


def test_no_region_gives_no_crop():
    assert align_by_matrices(torch.zeros(1, 3, 4, 4), torch.zeros(0, 5), 7, 1 / 16).shape == (0, 3, 7, 7)
