"""Sizes and three kinds of bilinear."""

import numpy as np
import pytest
import torch
from PIL import Image

from updown_lab.vision.pixels import resize_image, target_size


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (480, 640, (600, 800)),
        (333, 500, (600, 901)),  # 900.9
        (1000, 200, (1000, 200)),  # the long side stays at 1000, not 3000
        (37, 700, (53, 1000)),  # 52.86
        (1200, 1600, (600, 800)),
        (1, 20_000, (1, 1000)),  # 0.05 would be no image
        (16, 25, (600, 938)),  # 937.5 rounds up
    ],
)
def test_the_short_side_becomes_600_unless_the_long_one_passes_1000(height, width, expected):
    assert target_size(height, width, 600, 1000) == expected
    assert target_size(width, height, 600, 1000) == expected[::-1]


@pytest.mark.parametrize("method", ["antialias", "plain", "pil"])
def test_an_image_of_the_right_size_is_untouched(method):
    image = torch.rand(3, 5, 7)

    assert resize_image(image, (5, 7), method) is image


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_pil_is_pillow_on_whole_levels(top):
    levels = torch.randint(0, 256, (3, 40, 60), generator=torch.Generator().manual_seed(0))

    got = resize_image(levels / 255 * top, (19, 28), "pil", top)

    picture = Image.fromarray(levels.permute(1, 2, 0).to(torch.uint8).numpy())
    expected = np.asarray(picture.resize((28, 19), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_allclose(got.numpy() * 255 / top, expected, atol=1e-4)


def test_shrinking_tells_the_kinds_apart_and_enlarging_hardly():
    noise = torch.randint(0, 256, (3, 80, 80), generator=torch.Generator().manual_seed(0)).float()

    small = {method: resize_image(noise, (20, 20), method, 255.0) for method in ("antialias", "plain", "pil")}
    large = {method: resize_image(noise, (160, 160), method, 255.0) for method in ("antialias", "plain", "pil")}

    assert (small["antialias"] - small["pil"]).abs().max() <= 1.5  # grey levels: two roundings
    assert (small["plain"] - small["pil"]).abs().mean() > 20
    for method in ("antialias", "plain"):
        assert (large[method] - large["pil"]).abs().max() <= 1.5
