"""Reading images: every kind of file a data set may hide."""

import numpy as np
import pytest
import torch
from PIL import Image

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.vision.images import batches_of_one_size, load_image


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_the_same_white_rgb(tmp_path, mode):
    file = tmp_path / ("white.tif" if mode == "CMYK" else "white.png")
    Image.new("RGB", (5, 3), "white").convert(mode).save(file)

    image = load_image(file)

    assert image.dtype == torch.float32 and image.is_contiguous()
    torch.testing.assert_close(image, torch.ones(3, 3, 5))  # 3 channels, 3 high, 5 wide


def test_channels_are_red_green_blue_in_that_order(tmp_path):
    Image.new("RGB", (1, 1), (255, 51, 0)).save(tmp_path / "orange.png")

    torch.testing.assert_close(load_image(tmp_path / "orange.png").flatten(), torch.tensor([1.0, 0.2, 0.0]))


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    Image.fromarray(np.array([[0, 60000, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")

    torch.testing.assert_close(
        load_image(tmp_path / "deep.png")[0, 0], torch.tensor([0.0, 233 / 255, 1.0])
    )  # 60000 / 257 = 233.5


def test_a_photo_stored_on_its_side_is_turned_upright(tmp_path):
    picture = Image.new("RGB", (4, 2))
    picture.putpixel((0, 0), (255, 255, 255))  # stored top left
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn 90 degrees clockwise to see it upright": top left goes to top right
    picture.save(tmp_path / "side.png", exif=exif)

    image = load_image(tmp_path / "side.png")

    assert image.shape == (3, 4, 2)
    assert image[:, 0, 1].tolist() == [1.0, 1.0, 1.0] and image.sum() == 3


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_truncated_file_is_named(tmp_path, kind):
    whole = tmp_path / f"whole.{kind}"
    Image.effect_noise((64, 64), 90).convert("RGB").save(whole)
    broken = tmp_path / f"broken.{kind}"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with pytest.raises(DataInvalid, match=f"broken.{kind}"):
        load_image(broken)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    (tmp_path / "page.jpg").write_bytes(content)

    with pytest.raises(DataInvalid, match=r"page\.jpg"):
        load_image(tmp_path / "page.jpg")


def test_a_missing_file_is_missing_not_invalid(tmp_path):
    with pytest.raises(DataMissing, match=r"nothing\.jpg"):
        load_image(tmp_path / "nothing.jpg")


def test_batches_hold_each_image_once_one_size_and_few_pixels():
    sizes = [(4, 4), (4, 8), (4, 4), (8, 4), (4, 4), (4, 8)]
    images = [torch.zeros(3, *size) for size in sizes]

    batches = list(batches_of_one_size(images, pixels=40))

    assert sorted(position for batch in batches for position in batch) == list(range(6))
    for batch in batches:
        assert len({sizes[position] for position in batch}) == 1
        height, width = sizes[batch[0]]
        assert len(batch) * height * width <= 40
