"""Reading images: every kind of file a data set may hide."""

import threading

import numpy as np
import pytest
import torch
from odd_images import cut, make_bad, make_good, save_held, scene, vast_png
from PIL import Image

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.vision import images
from updown_lab.vision.images import PictureInvalid, batches_of_one_size, load_image, read_picture


def levels(picture):
    """(H, W, 3) whole levels of what ``load_image`` or ``read_picture`` gave."""
    pixels = (picture * 255).round().to(torch.uint8) if isinstance(picture, torch.Tensor) else picture.pixels
    return pixels.permute(1, 2, 0).numpy()


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_every_way_to_hold_a_camera_gives_the_same_upright_picture(tmp_path, orientation, ending):
    lossless = {"lossless": True} if ending == "webp" else {}
    save_held(tmp_path / f"held.{ending}", orientation, **lossless)

    picture = read_picture(tmp_path / f"held.{ending}")

    assert picture.size == scene().size
    assert (levels(picture) == np.asarray(scene())).all()


def test_inverted_cmyk_of_photoshop_keeps_its_colours(tmp_path):
    scene().convert("CMYK").save(tmp_path / "print.jpg", quality=100)  # Pillow writes it as Adobe does, inverted
    assert b"Adobe" in (tmp_path / "print.jpg").read_bytes()

    seen = levels(load_image(tmp_path / "print.jpg"))

    far = np.abs(seen.astype(int) - np.asarray(scene()))
    assert np.median(far) <= 2 and seen[5, 20].tolist() == pytest.approx([255, 0, 0], abs=12)


def test_of_a_moving_picture_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue", "white")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])

    assert levels(load_image(tmp_path / "moving.gif"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_notes_that_cannot_be_read_do_not_spoil_a_picture(tmp_path):
    scene().save(tmp_path / "odd.jpg", exif=b"Exif\0\0" + b"MM\0*\xff\xff\xff\xff" + bytes(9))

    assert read_picture(tmp_path / "odd.jpg").size == (60, 40)


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize(("width", "height", "most"), [(301, 207, 5000), (64, 48, 3072), (64, 48, 3071), (900, 1, 10)])
def test_a_large_picture_is_read_smaller_and_keeps_its_true_size(tmp_path, ending, width, height, most):
    save_held(tmp_path / f"large.{ending}", 6, scene(width, height))

    picture = read_picture(tmp_path / f"large.{ending}", most=most)

    high, wide = picture.pixels.shape[1:]
    assert picture.size == (width, height)
    assert high * wide <= most and (most < width * height or (high, wide) == (height, width))
    if height > 1:  # the shape stays, but for the pixels that no whole number divides
        assert wide / high == pytest.approx(width / height, rel=0.1)


def test_made_smaller_in_strips_is_made_smaller_at_once(tmp_path, monkeypatch):
    Image.effect_noise((90, 3000), 90).convert("RGB").save(tmp_path / "tall.png")
    whole = Image.open(tmp_path / "tall.png").reduce(3)

    opened, crop = [], Image.Image.crop
    monkeypatch.setattr(Image.Image, "crop", lambda *arguments: opened.append(1) or crop(*arguments))
    monkeypatch.setattr(images, "STRIP", 2**12)
    picture = read_picture(tmp_path / "tall.png", most=30 * 1000)

    assert len(opened) > 10
    assert (levels(picture) == np.asarray(whole)).all()


def test_what_needs_too_much_memory_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    vast_png(tmp_path / "vast.png", 3000, 2000)
    monkeypatch.setattr(images, "DECODING", 2**20)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))

    with pytest.raises(PictureInvalid, match=r"3000 x 2000 pixels need 0\.0 GB as PNG.*smaller"):
        read_picture(tmp_path / "vast.png")


def test_a_jpeg_of_20000_pixels_is_never_in_memory_whole(tmp_path, monkeypatch):
    scene(20_000, 600).save(tmp_path / "wide.jpg")
    decoded, load = [], images._shrunk
    monkeypatch.setattr(images, "_shrunk", lambda file, most: decoded.append(file.size) or load(file, most))

    picture = read_picture(tmp_path / "wide.jpg", most=2**18)

    assert decoded == [(5000, 150)] and picture.size == (20_000, 600)


def test_pillows_own_limit_is_back_after_reading(tmp_path, recwarn):
    file, before = tmp_path / "some.png", Image.MAX_IMAGE_PIXELS
    scene().save(file)
    Image.MAX_IMAGE_PIXELS = 100  # Pillow would refuse 60 x 40
    try:
        readers = [threading.Thread(target=read_picture, args=(file,)) for _ in range(8)]
        [reader.start() for reader in readers]
        [reader.join() for reader in readers]
        assert Image.MAX_IMAGE_PIXELS == 100 and not recwarn
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_every_good_picture_of_the_odd_folder_is_read(tmp_path):
    for name in make_good(tmp_path):
        picture = read_picture(tmp_path / name)
        assert picture.pixels.dtype == torch.uint8 and picture.pixels.shape[0] == 3, name
        assert picture.size == (picture.pixels.shape[2], picture.pixels.shape[1]), name


def test_every_bad_file_of_the_odd_folder_is_refused_in_one_sentence(tmp_path):
    for name in make_bad(tmp_path):
        if name == "twin.png":  # only its name is bad
            continue
        with pytest.raises((DataInvalid, DataMissing)) as refused:
            read_picture(tmp_path / name)
        assert name in str(refused.value) and "\n" not in str(refused.value)
        if isinstance(refused.value, PictureInvalid):
            assert name not in refused.value.reason


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about what is left of the files
@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_no_damage_to_a_file_is_more_than_a_refusal(tmp_path, ending):
    """Bytes are changed and cut at random places: a picture comes out, or ``PictureInvalid``."""
    file, random = tmp_path / f"whole.{ending}", np.random.default_rng(0)
    scene(30, 20).save(file)
    whole, read = file.read_bytes(), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 4):
            damaged[place] = random.integers(256)
        file.write_bytes(damaged[: random.integers(len(whole) // 2, 2 * len(whole))])
        try:
            read += read_picture(file, most=10_000).pixels.shape[0] == 3
        except PictureInvalid as error:
            assert error.reason
    assert read < 60


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_truncated_file_is_named(tmp_path, kind):
    whole = tmp_path / f"whole.{kind}"
    Image.effect_noise((64, 64), 90).convert("RGB").save(whole)
    broken = whole.rename(tmp_path / f"broken.{kind}")
    cut(broken)

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


def test_images_that_the_network_enlarges_share_a_batch_with_fewer():
    thumbnails = [torch.zeros(3, 2, 2)] * 4

    batches = list(batches_of_one_size(thumbnails, pixels=32, seen=lambda image: (4, 4)))

    assert batches == [[0, 1], [2, 3]]
