"""The things of the Picturebook world: eighteen categories, each a few drawn shapes.

Every shape has a role: ``body`` takes the object's colour and pattern, ``dark`` and
``light`` are shades of that colour, anything else is a fixed paint.
"""

import math
from functools import cache

from PIL import Image, ImageDraw, ImageFilter

MASTER = 160  # pixels a side at which sprites are drawn before they are shrunk
COLOURS = {
    "red": (214, 39, 40), "orange": (255, 140, 20), "yellow": (250, 215, 50), "green": (46, 160, 60),
    "blue": (44, 98, 224), "purple": (130, 60, 180), "pink": (250, 145, 195), "white": (246, 246, 242),
}  # fmt: skip
PATTERNS = ("plain", "striped", "spotted")
PAINTS = {
    "outline": (40, 36, 34), "wood": (126, 84, 46), "leaf": (58, 132, 52), "cream": (246, 234, 205),
    "glass": (190, 226, 245), "grey": (132, 132, 138), "black": (44, 44, 48), "snow": (255, 255, 255),
    "gold": (248, 200, 60), "flame": (255, 120, 30), "rose": (240, 130, 140),
}  # fmt: skip
#: How many parts (candles, windows, sails) a category can have, and what they are called.
PARTS = {"cake": ("candle", 4), "house": ("window", 4), "boat": ("sail", 3)}


def _mix(first, second, share: float):
    return tuple(round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=False))


def _paint(colour: str, pattern: str) -> Image.Image:
    """A square of cloth in this colour and pattern."""
    base = COLOURS[colour]
    cloth = Image.new("RGB", (MASTER, MASTER), base)
    draw = ImageDraw.Draw(cloth)
    other = _mix(base, (30, 30, 30), 0.62) if colour in ("white", "yellow", "pink") else (255, 255, 255)
    if pattern == "striped":
        for start in range(-MASTER, MASTER, 30):
            draw.line([(start, MASTER), (start + MASTER, 0)], fill=other, width=10)
    elif pattern == "spotted":
        for row, y in enumerate(range(4, MASTER, 23)):
            for x in range(4 + 14 * (row % 2), MASTER, 28):
                draw.ellipse([x - 6.5, y - 6.5, x + 6.5, y + 6.5], fill=other)
    return cloth


class Pen:
    """Draws shapes with roles onto one transparent sprite; coordinates run from 0 to 100."""

    def __init__(self, colour: str, pattern: str):
        self.image = Image.new("RGBA", (MASTER, MASTER))
        base = COLOURS[colour]
        self.fills = {
            "body": _paint(colour, pattern),
            "dark": _mix(base, (20, 16, 30), 0.34),
            "light": _mix(base, (255, 255, 255), 0.45),
            **PAINTS,
        }

    def _stamp(self, role: str, mask: Image.Image, edge: float) -> None:
        if role == "hole":
            self.image.paste((0, 0, 0, 0), mask=mask)
            return
        if edge:
            reach = max(1, round(edge * MASTER / 100))
            self.image.paste(PAINTS["outline"], mask=mask.filter(ImageFilter.MaxFilter(2 * reach + 1)))
        fill = self.fills[role]
        self.image.paste(fill, mask=mask) if isinstance(fill, tuple) else self.image.paste(fill, (0, 0), mask)

    def _shape(self, role: str, edge: float, method: str, points, **options) -> None:
        mask = Image.new("L", (MASTER, MASTER))
        scale = MASTER / 100
        flat = [(x * scale, y * scale) for x, y in points]
        getattr(ImageDraw.Draw(mask), method)(flat, fill=255, **options)
        self._stamp(role, mask, edge)

    def ellipse(self, role, x1, y1, x2, y2, edge=1.6):
        """A filled ellipse inside a box."""
        self._shape(role, edge, "ellipse", [(x1, y1), (x2, y2)])

    def box(self, role, x1, y1, x2, y2, edge=1.6, radius=0):
        """A filled rectangle, with round corners if ``radius`` is given."""
        self._shape(role, edge, "rounded_rectangle", [(x1, y1), (x2, y2)], radius=radius * MASTER / 100)

    def polygon(self, role, *points, edge=1.6):
        """A filled polygon."""
        self._shape(role, edge, "polygon", points)

    def line(self, role, *points, width=3.0, edge=0.0):
        """A thick line through the points."""
        self._shape(role, edge, "line", points, width=round(width * MASTER / 100), joint="curve")

    def pie(self, role, x1, y1, x2, y2, start, end, edge=1.6):
        """A slice of an ellipse, angles in degrees clockwise from the right."""
        self._shape(role, edge, "pieslice", [(x1, y1), (x2, y2)], start=start, end=end)


_DRAW = {}


def _category(draw):
    """Register a drawing function under its name without the underscore."""
    _DRAW[draw.__name__[1:]] = draw
    return draw


@_category
def _apple(pen, parts):
    pen.line("wood", (50, 26), (54, 8), width=5)
    pen.ellipse("leaf", 54, 6, 82, 20)
    pen.ellipse("body", 10, 22, 60, 94)
    pen.ellipse("body", 40, 22, 90, 94)
    pen.ellipse("body", 18, 26, 82, 92, edge=0)
    pen.ellipse("light", 22, 36, 36, 54, edge=0)


@_category
def _ball(pen, parts):
    pen.ellipse("body", 6, 6, 94, 94)
    pen.ellipse("light", 24, 16, 44, 34, edge=0)


@_category
def _bird(pen, parts):
    pen.polygon("dark", (4, 34), (34, 50), (28, 66), (2, 58))
    pen.line("flame", (46, 80), (44, 95), width=4)
    pen.line("flame", (58, 80), (60, 95), width=4)
    pen.ellipse("body", 16, 36, 78, 84)
    pen.ellipse("body", 52, 10, 88, 46)
    pen.ellipse("body", 46, 36, 76, 60, edge=0)
    pen.polygon("flame", (86, 22), (99, 30), (86, 36))
    pen.polygon("dark", (28, 46), (62, 50), (34, 74))
    pen.ellipse("snow", 68, 18, 79, 29, edge=0)
    pen.ellipse("black", 72, 20, 78, 27, edge=0)


@_category
def _boat(pen, parts):
    pen.line("wood", (50, 8), (50, 70), width=5)
    if parts >= 1:
        pen.polygon("snow", (53, 8), (53, 60), (94, 60))
    if parts >= 2:
        pen.polygon("snow", (47, 14), (47, 60), (12, 60))
    if parts >= 3:
        pen.polygon("gold", (50, 1), (50, 22), (78, 13))
    pen.polygon("body", (3, 64), (97, 64), (80, 94), (20, 94))


@_category
def _cake(pen, parts):
    for number in range(parts):
        x = 50 + (number - (parts - 1) / 2) * 19
        pen.box("snow", x - 4, 22, x + 4, 52, edge=1.2)
        pen.ellipse("flame", x - 5, 5, x + 5, 22, edge=1)
    pen.box("body", 8, 48, 92, 92, radius=6)
    pen.box("cream", 8, 48, 92, 60, radius=5)
    for x in (16, 37, 58, 79):
        pen.ellipse("cream", x - 6, 53, x + 8, 69, edge=0)


@_category
def _car(pen, parts):
    pen.polygon("body", (22, 46), (34, 22), (72, 22), (86, 46))
    pen.polygon("glass", (30, 44), (38, 28), (52, 28), (52, 44), edge=1)
    pen.polygon("glass", (57, 44), (57, 28), (69, 28), (78, 44), edge=1)
    pen.box("body", 3, 44, 97, 74, radius=10)
    pen.ellipse("gold", 88, 50, 97, 60, edge=1)
    for x in (26, 74):
        pen.ellipse("black", x - 14, 60, x + 14, 88)
        pen.ellipse("grey", x - 6, 68, x + 6, 80, edge=0)


@_category
def _cat(pen, parts):
    pen.line("body", (66, 84), (88, 78), (92, 56), (84, 44), width=9, edge=1.6)
    pen.ellipse("body", 20, 44, 76, 96)
    pen.polygon("body", (14, 8), (16, 36), (38, 22))
    pen.polygon("body", (70, 8), (68, 36), (46, 22))
    pen.ellipse("body", 12, 16, 72, 66)
    pen.polygon("body", (17, 14), (18, 34), (36, 24), edge=0)
    pen.polygon("body", (67, 14), (66, 34), (48, 24), edge=0)
    for x in (30, 54):
        pen.ellipse("snow", x - 7, 32, x + 7, 46, edge=1)
        pen.ellipse("black", x - 3, 34, x + 3, 45, edge=0)
    pen.polygon("rose", (38, 48), (46, 48), (42, 54), edge=0.8)
    for y in (50, 56):
        pen.line("outline", (8, y - 1), (28, y), width=1.6)
        pen.line("outline", (56, y), (77, y - 1), width=1.6)


@_category
def _cup(pen, parts):
    pen.ellipse("body", 62, 28, 98, 72)
    pen.ellipse("hole", 71, 38, 88, 62)
    pen.polygon("body", (12, 16), (78, 16), (72, 92), (18, 92))
    pen.ellipse("dark", 12, 8, 78, 25)


@_category
def _fish(pen, parts):
    pen.polygon("dark", (24, 50), (2, 22), (6, 50), (2, 78))
    pen.polygon("dark", (46, 28), (62, 10), (72, 32))
    pen.polygon("dark", (48, 72), (60, 90), (68, 70))
    pen.ellipse("body", 16, 22, 97, 78)
    pen.ellipse("snow", 73, 34, 87, 48, edge=1)
    pen.ellipse("black", 79, 37, 86, 45, edge=0)
    pen.line("outline", (82, 60), (93, 58), width=2)


@_category
def _flower(pen, parts):
    pen.line("leaf", (50, 50), (50, 98), width=6)
    pen.polygon("leaf", (50, 90), (24, 70), (30, 90))
    pen.polygon("leaf", (50, 84), (78, 64), (70, 84))
    for step in range(6):
        angle = step * math.pi / 3
        x, y = 50 + 22 * math.cos(angle), 34 + 22 * math.sin(angle)
        pen.ellipse("body", x - 14, y - 14, x + 14, y + 14)
    pen.ellipse("gold", 38, 22, 62, 46)


@_category
def _hat(pen, parts):
    pen.ellipse("dark", 2, 66, 98, 92)
    pen.box("body", 24, 14, 76, 80, radius=6)
    pen.box("black", 24, 62, 76, 76, edge=0)


@_category
def _house(pen, parts):
    pen.box("grey", 66, 8, 78, 34)
    pen.box("body", 14, 42, 86, 96)
    pen.polygon("dark", (50, 4), (98, 46), (2, 46))
    pen.box("wood", 42, 70, 58, 96)
    for x, y in ((20, 52), (64, 52), (20, 76), (64, 76))[:parts]:
        pen.box("glass", x, y, x + 16, y + 15, edge=2.2)


@_category
def _kite(pen, parts):
    pen.line("outline", (50, 70), (60, 84), (48, 90), (56, 99), width=3)
    pen.polygon("rose", (50, 84), (66, 78), (66, 90), edge=1)
    pen.polygon("body", (50, 2), (86, 32), (50, 76), (14, 32))
    pen.line("outline", (50, 3), (50, 75), width=2.2)
    pen.line("outline", (15, 32), (85, 32), width=2.2)


@_category
def _mushroom(pen, parts):
    pen.box("cream", 36, 48, 64, 95, radius=9)
    pen.pie("body", 4, 8, 96, 104, 180, 360)
    pen.ellipse("dark", 4, 50, 96, 62, edge=1)
    pen.box("cream", 36, 58, 64, 92, radius=9, edge=0)


@_category
def _tree(pen, parts):
    pen.box("wood", 42, 78, 58, 98)
    pen.polygon("body", (50, 34), (92, 82), (8, 82))
    pen.polygon("body", (50, 16), (84, 58), (16, 58))
    pen.polygon("body", (50, 2), (74, 34), (26, 34))


@_category
def _umbrella(pen, parts):
    pen.line("wood", (50, 40), (50, 88), (58, 95), (67, 88), width=5)
    pen.pie("body", 3, 6, 97, 98, 180, 360)
    for x in (3, 26.5, 50, 73.5):
        pen.ellipse("dark", x, 46, x + 23.5, 58, edge=1)
    pen.line("wood", (50, 1), (50, 10), width=4)


@_category
def _table(pen, parts):
    for x in (22, 70):
        pen.box("dark", x, 40, x + 7, 88, edge=1.2)
    for x in (6, 86):
        pen.box("dark", x, 40, x + 9, 99)
    pen.box("body", 1, 26, 99, 44, radius=3)


@_category
def _basket(pen, parts):
    pen.ellipse("wood", 16, 4, 84, 90)
    pen.ellipse("hole", 26, 14, 74, 90)
    pen.polygon("body", (6, 50), (94, 50), (82, 96), (18, 96))
    pen.box("dark", 3, 44, 97, 56, radius=4)


CATEGORIES = tuple(sorted(_DRAW))


@cache
def sprite(category: str, colour: str, pattern: str = "plain", parts: int = 0) -> Image.Image:
    """Draw one thing, cropped to its outline.

    Args:
        category: one of ``CATEGORIES``.
        colour:   a key of ``COLOURS``.
        pattern:  one of ``PATTERNS``.
        parts:    how many candles, windows or sails; only for the categories in ``PARTS``.

    Returns:
        RGBA image, about 160 pixels on its longer side. Shared: do not draw on it.

    >>> sprite("cat", "red", "striped").mode
    'RGBA'
    """
    pen = Pen(colour, pattern)
    _DRAW[category](pen, parts)
    return pen.image.crop(pen.image.getbbox())
