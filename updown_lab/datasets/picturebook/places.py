"""Where the things stand: four places, each a painted backdrop with zones to put things in."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from updown_lab.datasets.picturebook.sprites import COLOURS

SIDE = 128  # pixels of a scene's side

#: What may be found in the zones of each place. A thing standing elsewhere would not be believed.
_OUTDOORS = ("apple", "ball", "basket", "bird", "cake", "car", "cat", "cup", "flower", "hat", "house", "mushroom",
             "table", "tree", "umbrella")  # fmt: skip
INHABITANTS = {
    "meadow": {"air": ("kite", "bird"), "ground": _OUTDOORS},
    "beach": {"air": ("kite", "bird"), "water": ("boat", "fish"),
              "ground": tuple(name for name in _OUTDOORS if name not in ("mushroom", "flower"))},
    "lake": {"air": ("kite", "bird"), "water": ("boat", "fish"), "ground": _OUTDOORS},
    "room": {"ground": ("apple", "ball", "basket", "bird", "cake", "cat", "cup", "flower", "hat", "table", "umbrella",
                        "car")},
}  # fmt: skip


@dataclass(frozen=True)
class Backdrop:
    """A painted place.

    Attributes:
        place: "meadow", "beach", "lake" or "room".
        image: RGB, 128 x 128.
        zones: zone name to (top, bottom) in pixels: where the base of a thing may stand.
    """

    place: str
    image: Image.Image
    zones: dict[str, tuple[int, int]]


def _cloud_noise(random, cells: int, strength: float) -> np.ndarray:
    """(128, 128, 1) smooth noise: a few random values, stretched."""
    small = Image.fromarray((random.random((cells, cells)) * 255).astype(np.uint8))
    wide = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 255 - 0.5
    return wide[..., None] * strength


def _gradient(top, bottom) -> np.ndarray:
    share = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    return np.broadcast_to((1 - share) * np.array(top) + share * np.array(bottom), (SIDE, SIDE, 3))


def _below(line: np.ndarray) -> np.ndarray:
    """(128, 128, 1) mask of the pixels under a line of heights (128,)."""
    return (np.arange(SIDE)[:, None] >= line[None, :])[..., None]


def _tint(random, colour, spread=16):
    return tuple(float(channel + random.uniform(-spread, spread)) for channel in colour)


def _hills(random, height: float, swing: float) -> np.ndarray:
    x = np.arange(SIDE) / SIDE
    waves = sum(np.sin(2 * np.pi * (x * n + random.random())) / n for n in (1, 2, 3))
    return height + swing * waves


def paint_backdrop(random: np.random.Generator) -> Backdrop:
    """Paint one of the four places, never twice the same.

    Args:
        random: numpy generator; the backdrop is a function of its state.

    >>> paint_backdrop(np.random.default_rng(3)).image.size
    (128, 128)
    """
    place = ("meadow", "beach", "lake", "room")[random.integers(4)]
    horizon = int(random.integers(46, 66))
    canvas = np.array(_gradient(_tint(random, (130, 185, 240)), _tint(random, (205, 228, 245))))
    if place == "room":
        canvas, zones = _room(random, canvas, horizon)
    else:
        canvas, zones = _landscape(random, place, canvas, horizon)
    canvas = canvas + _cloud_noise(random, 9, 26) + _cloud_noise(random, 30, 14)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    _details(random, place, image, zones)
    return Backdrop(place, image, zones)


def _landscape(random, place, canvas, horizon):
    far = _below(_hills(random, horizon - 6, 5))
    canvas = np.where(far, _gradient(_tint(random, (120, 160, 150)), _tint(random, (140, 180, 140))), canvas)
    grass = _gradient(_tint(random, (150, 195, 100)), _tint(random, (84, 140, 62)))
    sand = _gradient(_tint(random, (236, 214, 160)), _tint(random, (214, 184, 124)))
    water = _gradient(_tint(random, (140, 205, 225)), _tint(random, (40, 105, 160)))
    zones = {"air": (22, horizon - 2), "ground": (horizon + 6, SIDE - 3)}
    if place == "meadow":
        return np.where(_below(_hills(random, horizon, 2)), grass, canvas), zones
    shore = horizon + int(random.integers(24, 34))
    canvas = np.where(_below(np.full(SIDE, horizon)), water, canvas)
    canvas = np.where(_below(_hills(random, shore, 2)), sand if place == "beach" else grass, canvas)
    return canvas, zones | {"water": (horizon + 8, shore - 1), "ground": (shore + 8, SIDE - 3)}


def _room(random, canvas, horizon):
    horizon += 8
    wall = _gradient(_tint(random, (226, 206, 184), 26), _tint(random, (212, 192, 172), 26))
    stripes = (np.arange(SIDE) // 8 % 2)[None, :, None] * random.uniform(2, 12)
    floor = _gradient(_tint(random, (150, 104, 70)), _tint(random, (188, 138, 92)))
    planks = ((np.arange(SIDE)[:, None] - horizon) // 9 % 2)[..., None] * 12
    return np.where(_below(np.full(SIDE, horizon)), floor - planks, wall - stripes), {"ground": (horizon + 6, SIDE - 3)}


def _details(random, place, image, zones) -> None:
    """Clouds, grass, pebbles and scraps of coloured paper: things that are not objects."""
    draw = ImageDraw.Draw(image)
    top = zones["ground"][0]
    if place != "room":
        sky = Image.new("L", image.size)
        pen = ImageDraw.Draw(sky)
        for _ in range(random.integers(1, 4)):
            x, y = random.integers(0, SIDE), random.integers(4, 34)
            for shift in (-9, 0, 9):
                pen.ellipse([x + shift - 9, y - 4, x + shift + 9, y + 4], fill=190)
        image.paste((252, 252, 255), mask=sky.filter(ImageFilter.GaussianBlur(2.2)))
    if "water" in zones:
        for _ in range(14):
            x, y = random.integers(0, SIDE), random.integers(zones["water"][0] - 6, zones["water"][1])
            draw.line([x, y, x + random.integers(4, 14), y], fill=(205, 232, 242))
    blade = {"meadow": (70, 120, 50), "lake": (70, 120, 50), "beach": (190, 160, 110), "room": (130, 92, 60)}[place]
    for _ in range(40):
        x, y = random.integers(0, SIDE), random.integers(top - 4, SIDE)
        draw.line([x, y, x + random.integers(-2, 3), y - (3 if place in ("meadow", "lake") else 0)], fill=blade)
    paints = list(COLOURS.values())
    for _ in range(random.integers(3, 12)):
        x, y, reach = *random.integers(0, SIDE, 2), random.integers(1, 4)
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape([x, y, x + reach, y + reach - 1], fill=paints[random.integers(len(paints))])
