"""Composing a scene: what stands where, what is in front, and the truth about all of it."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from updown_lab.datasets.picturebook.places import INHABITANTS, SIDE, Backdrop, paint_backdrop
from updown_lab.datasets.picturebook.sprites import COLOURS, PARTS, PATTERNS, sprite

ON_TABLE = ("apple", "ball", "cake", "cup", "hat", "cat", "flower", "bird", "mushroom")
IN_BASKET = ("apple", "ball", "cat", "fish", "flower", "hat", "bird")
ZONE_WEIGHTS = {"air": 0.16, "water": 0.26, "ground": 0.6}
#: How often a thing stands somewhere on its own; tables and baskets come with ``fill_...``.
COMMON = {"house": 5, "tree": 3, "car": 3, "mushroom": 2.5, "umbrella": 1.5, "bird": 0.4, "table": 0, "basket": 0.2}
LEAST_VISIBLE = 0.4  # a thing with a smaller visible share is taken out of the scene


@dataclass(frozen=True)
class Thing:
    """One object of a scene and all that is true of it.

    Attributes:
        category, colour, pattern: what it is.
        parts:   number of candles, windows or sails, 0 for categories without.
        size:    "small" (< 24 px), "medium" or "large" (> 38 px), by the longer side.
        box:     (x1, y1, x2, y2) of the visible pixels.
        zone:    "air", "water" or "ground".
        holder:  position in the scene's list of the table or basket that holds it, or None.
    """

    category: str
    colour: str
    pattern: str
    parts: int
    size: str
    box: tuple[int, int, int, int]
    zone: str
    holder: int | None = None

    @property
    def area(self) -> int:
        """Pixels of the box."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True)
class Scene:
    """A picture (RGB, 128 x 128), its place and its things."""

    place: str
    image: Image.Image
    things: tuple[Thing, ...]


@dataclass
class _Placed:
    """A thing before it is painted: sprite and corner."""

    thing: Thing
    picture: Image.Image
    depth: float  # painted in this order
    holder: "_Placed | None" = None


class Composer:
    """Puts things into one place, respecting gravity, until the scene is full."""

    def __init__(self, random: np.random.Generator):
        self.random = random
        self.backdrop: Backdrop = paint_backdrop(random)
        self.placed: list[_Placed] = []

    def _choose(self, items):
        return items[self.random.integers(len(items))]

    def _side(self, category: str) -> float:
        """Length of the longer side in pixels."""
        if category == "table":
            return self.random.uniform(46, 72)
        if category == "basket":
            return self.random.uniform(24, 46)
        low, high = ((13, 22), (24, 38), (39, 60))[self.random.choice(3, p=self._size_shares(category))]
        return self.random.uniform(low, high)

    @staticmethod
    def _size_shares(category: str):
        return (0.08, 0.47, 0.45) if category in ("house", "tree", "cake") else (0.24, 0.48, 0.28)

    def _picture(self, category: str, side: float, colour=None):
        """A jittered sprite of this category and the attributes it shows."""
        random = self.random
        colour = colour or self._choose(list(COLOURS))
        pattern = str(random.choice(PATTERNS, p=(0.5, 0.25, 0.25)))
        parts = int(random.integers(1, PARTS[category][1] + 1)) if category in PARTS else 0
        image = sprite(category, colour, pattern, parts)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        turn = random.uniform(-14, 14) if category in ("kite", "fish", "ball", "apple") else random.uniform(-4, 4)
        share = min(1.0, 1.5 * side / max(image.size))  # turning a large picture to shrink it is slow
        image = image.resize([max(4, round(share * length)) for length in image.size], reducing_gap=2)
        image = image.rotate(turn, Image.Resampling.BILINEAR, expand=True)
        image = image.crop(image.getbbox())
        scale = side / max(image.size)
        width = max(6, round(image.width * scale * random.uniform(0.9, 1.1)))
        image = image.resize((width, max(6, round(image.height * scale))), Image.Resampling.LANCZOS, reducing_gap=3)
        alpha = image.getchannel("A")
        image = ImageEnhance.Brightness(image.convert("RGB")).enhance(random.uniform(0.86, 1.1))
        image.putalpha(alpha)
        return image, (category, colour, pattern, parts)

    def _add(self, image, what, x, base, zone, depth=None, holder=None) -> _Placed:
        box = (round(x), round(base) - image.height, round(x) + image.width, round(base))
        longer = max(image.size)
        size = "small" if longer < 24 else "medium" if longer <= 38 else "large"
        placed = _Placed(Thing(*what, size, box, zone), image, base if depth is None else depth, holder)
        self.placed.append(placed)
        return placed

    def _fits(self, box, zone: str) -> bool:
        """Inside the picture, and not covering or covered by more than a quarter."""
        if box[0] < 0 or box[1] < 0 or box[2] > SIDE or box[3] > SIDE:
            return False
        for other in (placed.thing for placed in self.placed):
            across = min(box[2], other.box[2]) - max(box[0], other.box[0])
            down = min(box[3], other.box[3]) - max(box[1], other.box[1])
            least = min((box[2] - box[0]) * (box[3] - box[1]), other.area)
            if across > 0 and down > 0 and across * down > 0.22 * least:
                return False
        return True

    def stand(self, category: str, zone: str, colour=None, near: Thing | None = None) -> _Placed | None:
        """Put a thing on the ground, into the water or the air; None if no room is found."""
        image, what = self._picture(category, self._side(category), colour)
        top, bottom = self.backdrop.zones[zone]
        if zone == "water" and image.height > bottom - top + 14:  # a fish does not stand out of a lake
            return None
        for _ in range(12):
            base = self.random.uniform(max(top, image.height), max(bottom, image.height + 1))
            x = self.random.uniform(0, max(1, SIDE - image.width))
            if near is not None:
                x = near.box[0] + self.random.uniform(-48, 48)
            if self._fits((x, base - image.height, x + image.width, base), zone):
                return self._add(image, what, x, base, zone)
        return None

    def fill_table(self) -> None:
        """A table with one to three things on it."""
        table = self.stand("table", "ground")
        if table is None:
            return
        box, x = table.thing.box, table.thing.box[0] + self.random.uniform(1, 6)
        surface = box[1] + 0.1 * (box[3] - box[1]) + 2
        for _ in range(self.random.integers(1, 4)):
            image, what = self._picture(self._choose(ON_TABLE), self.random.uniform(14, 34))
            if x + image.width > box[2] - 1 or surface < image.height:
                return
            self._add(image, what, x, surface, "ground", table.depth + 0.1, table)
            x += image.width + self.random.uniform(1, 8)

    def fill_basket(self) -> None:
        """A basket with up to two things that look out of it."""
        basket = self.stand("basket", "ground")
        if basket is None:
            return
        box = basket.thing.box
        width, height = box[2] - box[0], box[3] - box[1]
        x = box[0] + 0.12 * width
        for _ in range(self.random.integers(1, 3)):
            image, what = self._picture(self._choose(IN_BASKET), self.random.uniform(0.42, 0.62) * width)
            if x + image.width > box[2] - 0.04 * width:
                return
            self._add(image, what, x, box[1] + 0.66 * height, "ground", basket.depth - 0.1, basket)
            x += image.width * 0.95

    def group(self, inhabitants) -> None:
        """Two to four things of one category, often of one colour."""
        zone = self._choose(list(inhabitants))
        category = self._choose([name for name in inhabitants[zone] if name not in ("table", "basket", "house")])
        colour = self._choose(list(COLOURS)) if self.random.random() < 0.6 else None
        first = None
        for _ in range(self.random.integers(2, 5)):
            placed = self.stand(category, zone, colour, first)
            first = first or (placed.thing if placed else None)

    def compose(self) -> None:
        """Fill the place."""
        random, inhabitants = self.random, INHABITANTS[self.backdrop.place]
        if random.random() < (0.6 if self.backdrop.place == "room" else 0.3):
            self.fill_table()
        if random.random() < 0.3:
            self.fill_basket()
        if random.random() < 0.35:
            self.group(inhabitants)
        goal = random.integers(3, 8)
        for _ in range(12):
            if len(self.placed) >= goal:
                break
            zone = str(random.choice(list(inhabitants), p=_shares(inhabitants, ZONE_WEIGHTS)))
            self.stand(str(random.choice(inhabitants[zone], p=_shares(inhabitants[zone], COMMON))), zone)


def _shares(names, weights: dict[str, float]):
    values = np.array([weights.get(name, 1.0) for name in names])
    return values / values.sum()


def _paint(composer: Composer, kept: list[_Placed]):
    """Paint the things back to front; also an image that tells which thing each pixel shows."""
    image, owner = composer.backdrop.image.copy(), Image.new("L", (SIDE, SIDE))
    for number in sorted(range(len(kept)), key=lambda n: kept[n].depth):
        placed, corner = kept[number], kept[number].thing.box[:2]
        if placed.thing.zone == "ground" and placed.holder is None:
            _shadow(image, placed.thing.box)
        alpha = placed.picture.getchannel("A")
        image.paste(placed.picture, corner, alpha)
        owner.paste(number + 1, corner, alpha.point(lambda value: 255 * (value > 110)))
    return image, np.asarray(owner)


def _shadow(image, box) -> None:
    x1, _, x2, y2 = box
    shade = Image.new("L", image.size)
    ImageDraw.Draw(shade).ellipse([x1 + 1, y2 - 3, x2 - 1, y2 + 2], fill=90)
    image.paste((30, 30, 40), mask=shade.filter(ImageFilter.BoxBlur(1)))


def _visible_box(mask: np.ndarray):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def compose_scene(random: np.random.Generator) -> Scene:
    """Draw one scene and return it with its truth.

    A thing of which less than 40 % is visible is taken out and the scene is painted again,
    so that nothing is in the truth that a person could not see, and nothing is in the
    picture that the truth does not tell.

    >>> scene = compose_scene(np.random.default_rng(0))
    >>> scene.image.size, len(scene.things) > 0
    ((128, 128), True)
    """
    composer = Composer(random)
    while not composer.placed:
        composer.compose()
    kept = composer.placed
    while True:
        image, owner = _paint(composer, kept)
        shares = [_share(placed, owner == number + 1) for number, placed in enumerate(kept)]
        seen = [p for p, share in zip(kept, shares, strict=False) if share >= LEAST_VISIBLE]
        seen = [p for p in seen if p.holder is None or any(p.holder is other for other in seen)]
        if len(seen) == len(kept):
            break
        kept = seen
    noise = random.normal(0, 3.0, (SIDE, SIDE, 1)) + random.normal(0, 2.0, (SIDE, SIDE, 3))
    image = Image.fromarray(np.clip(np.asarray(image, np.float32) + noise, 0, 255).astype(np.uint8))
    things = [replace(p.thing, box=_visible_box(owner == n + 1), holder=_index(kept, p.holder))
              for n, p in enumerate(kept)]  # fmt: skip
    return Scene(composer.backdrop.place, image, tuple(things))


def _index(placed, holder):
    return None if holder is None else next(n for n, other in enumerate(placed) if other is holder)


def _share(placed: _Placed, mask: np.ndarray) -> float:
    whole = np.count_nonzero(np.asarray(placed.picture.getchannel("A")) > 110)
    return np.count_nonzero(mask) / max(1, whole)


def compose_crop(random: np.random.Generator, category: str, colour: str, side: int = 64) -> Image.Image:
    """One thing alone before a piece of a place: the stand-in for an ImageNet photo.

    Args:
        side: pixels of the result's side.

    >>> compose_crop(np.random.default_rng(0), "cat", "red").size
    (64, 64)
    """
    composer = Composer(random)
    image, _ = composer._picture(category, random.uniform(0.42, 0.95) * side, colour)
    left, top = random.integers(0, SIDE - side + 1, 2)
    crop = composer.backdrop.image.crop((left, top, left + side, top + side))
    x, y = (int(random.integers(0, max(1, side - length + 1))) for length in image.size)
    crop.paste(image, (x, y), image)
    noise = random.normal(0, 4.0, (side, side, 3))
    return Image.fromarray(np.clip(np.asarray(crop, np.float32) + noise, 0, 255).astype(np.uint8))
