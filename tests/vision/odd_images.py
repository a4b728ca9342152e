"""A folder full of odd files: every kind of picture, and everything that only looks like one.

``python tests/vision/odd_images.py FOLDER`` makes one to look at.
"""

import os
import stat
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Black, a red upper left and a blue lower right quarter: no turn and no mirror leaves it as it is."""
    levels = np.zeros((height, width, 3), dtype=np.uint8)
    levels[: height // 2, : width // 2, 0] = 255
    levels[height // 2 :, width // 2 :, 2] = 200
    levels[: height // 4, : width // 8, 1] = 120
    return Image.fromarray(levels)


def as_held(picture: Image.Image, orientation: int) -> Image.Image:
    """What a camera held in that way stores of an upright picture."""
    undo = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }
    for step in undo[orientation]:
        picture = picture.transpose(step)
    return picture


def save_held(path: Path, orientation: int, picture: Image.Image | None = None, **options) -> None:
    """An upright scene, stored as a camera held that way would."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    as_held(picture or scene(), orientation).save(path, exif=exif, **options)


def cut(path: Path, share: float = 0.5) -> None:
    """Keep only the first part of a file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def vast_png(path: Path, width: int, height: int) -> None:
    """A black RGB PNG of any size, made without holding its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    press = zlib.compressobj(9, wbits=-15)
    row = press.compress(bytes(1 + 3 * width)) + press.flush(zlib.Z_FULL_FLUSH)  # the same for every row
    checksum = (height * (1 + 3 * width) % 65521) << 16 | 1  # Adler-32 of so many zeros
    body = b"\x78\xda" + row * height + zlib.compressobj(wbits=-15).flush() + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def make_good(folder: Path) -> list[str]:
    """Pictures of every kind that must be extracted. Returns their names below the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    picture, noise = scene(), Image.effect_noise((50, 70), 80)
    for ending in ("jpg", "png", "webp", "gif", "bmp", "tiff"):
        picture.save(folder / f"plain-{ending}.{ending}")
    picture.save(folder / "LOUD.JPEG")
    picture.save(folder / "progressive.jpg", progressive=True)
    picture.convert("CMYK").save(folder / "cmyk-adobe.jpg", quality=95)
    picture.convert("CMYK").save(folder / "cmyk.tif")
    picture.convert("L").save(folder / "grey.jpg")
    picture.convert("1").save(folder / "one-bit.png")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("RGBA").save(folder / "transparent.png")
    picture.convert("LA").save(folder / "grey-transparent.png")
    Image.fromarray(np.asarray(noise).astype(np.uint16) * 257).save(folder / "sixteen-bit.png")
    Image.fromarray(np.asarray(noise).astype(np.uint16) * 257).save(folder / "sixteen-bit-grey.tif")
    picture.save(folder / "moving.gif", save_all=True, append_images=[noise.convert("RGB").resize((60, 40))])
    for orientation in range(1, 9):
        save_held(folder / f"held-{orientation}.jpg", orientation)
    Image.new("RGB", (1, 1), "red").save(folder / "pixel.png")
    Image.new("RGB", (5000, 1), "red").save(folder / "line-across.png")
    Image.new("RGB", (1, 5000), "red").save(folder / "line-down.png")
    (folder / "sub" / "deeper").mkdir(parents=True, exist_ok=True)
    picture.save(folder / "sub" / "deeper" / "plain-jpg.jpg")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def make_bad(folder: Path) -> list[str]:
    """Files that must be listed and left out. Returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    before = {path.name for path in folder.iterdir()}
    for ending in ("jpg", "png", "webp", "gif", "bmp", "tif"):
        path = folder / f"cut.{ending}"
        Image.effect_noise((64, 64), 90).convert("RGB").save(path)
        cut(path)
        path.rename(folder / f"cut-{ending}.{ending}")
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("a picture of a cat, in words")
    (folder / "page.png").write_text("<!DOCTYPE html><title>404 Not Found</title>")
    (folder / "zeros.jpg").write_bytes(bytes(4096))
    (folder / "header.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    (folder / "signature.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "program.gif").write_bytes(b"\x7fELF" + bytes(range(200)))
    (folder / "folder.jpg").mkdir()
    (folder / "link.jpg").symlink_to(folder / "nothing.jpg")
    os.mkfifo(folder / "pipe.jpg")
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(folder / "floats.tif")
    vast_png(folder / "vast.png", 20_000, 20_000)
    broken = bytearray((folder / "cut-bmp.bmp").read_bytes())
    broken[18:26] = struct.pack("<ii", 2**30, 2**30)
    (folder / "liar.bmp").write_bytes(broken)
    scene().save(folder / "twin.jpg")
    scene().save(folder / "twin.png")
    return sorted({path.name for path in folder.iterdir()} - before - {"twin.jpg"})


def lock(path: Path) -> bool:
    """Take the right to read a file away; False if this user may read everything anyway (root)."""
    path.chmod(0)
    return not os.access(path, os.R_OK) and not stat.S_IMODE(path.stat().st_mode)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    good, bad = make_good(where), make_bad(where)
    scene(20_000, 15_000).save(where / "huge.jpg")
    print(f"{len(good) + 2} pictures that should be read and {len(bad)} that cannot be in {where}")
