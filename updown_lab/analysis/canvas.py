"""The drawing tools behind ``plots``: pages of equal panels, boxes, labels that keep out of each other's way.

No pyplot: nothing has to be closed, nothing is shared between plots.
"""

import io
from collections.abc import Sequence

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from PIL import Image
from torch import Tensor

from updown_lab.regions import Regions

# Okabe and Ito (2008): told apart with any kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
INK, FAINT, RULE = "#222222", "#6B6B6B", "#E4E4E4"
SHARP_SIDE = 480  # smaller images are enlarged to this long side, so that pixels and boxes stay fine
GAP, MARGIN = 0.08, 0.1  # inches between panels, around the page


class Picture(Figure):
    """A figure that a notebook shows by itself, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


class Page:
    """A page of equal panels, measured in inches so that text never runs into a picture.

    Args:
        rows, columns: panels.
        width, height: of one panel's picture.
        above, below:  room for text over and under each panel.
    """

    def __init__(self, rows: int, columns: int, width: float, height: float, above: float = 0.0, below: float = 0.0):
        self.width, self.height, self.above, self.below = width, height, above, below
        self.total_width = 2 * MARGIN + columns * width + (columns - 1) * GAP
        self.total_height = 2 * MARGIN + rows * (height + above + below) + (rows - 1) * GAP
        self.figure = Picture(figsize=(self.total_width, self.total_height), dpi=150, facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, row: int, column: int) -> Axes:
        """An empty panel."""
        left = MARGIN + column * (self.width + GAP)
        top = MARGIN + row * (self.height + self.above + self.below + GAP) + self.above
        bottom = self.total_height - top - self.height
        axes = self.figure.add_axes((
            left / self.total_width, bottom / self.total_height,
            self.width / self.total_width, self.height / self.total_height,
        ))  # fmt: skip
        axes.set_axis_off()
        axes.set_anchor("S")  # pictures of one row stand on one line
        return axes

    def title(self, row: int, text: str) -> None:
        """A line over a whole row of panels."""
        top = MARGIN + row * (self.height + self.above + self.below + GAP) + 0.12
        self.figure.text(MARGIN / self.total_width, 1 - top / self.total_height, plain(text), fontsize=9.5,
                         weight="bold", color=INK, va="center", ha="left")  # fmt: skip


def plain(text) -> str:
    """Text that matplotlib will not read as mathematics.

    >>> print(plain("5$ or 6$"))
    5\\$ or 6\\$
    """
    return str(text).replace("$", r"\$")


def to_pixels(image) -> np.ndarray:
    """Any image as (H, W, 3) float in [0, 1]; a small one is enlarged.

    Args:
        image: (3, H, W) tensor in [0, 1], array (H, W, 3) of floats in [0, 1] or bytes, or PIL image.

    Raises:
        ValueError: another shape.

    >>> to_pixels(np.zeros((120, 240, 3))).shape
    (240, 480, 3)
    """
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if isinstance(image, Tensor):
        image = image.detach().cpu().movedim(0, -1).numpy()
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is a tensor (3, H, W) or an array (H, W, 3), got {image.shape} after that")
    if image.dtype != np.uint8:
        image = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    scale = SHARP_SIDE / max(image.shape[:2])
    if scale > 1:
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
    return image / 255


def scaled_boxes(regions: Regions, width: int, height: int) -> np.ndarray:
    """(K, 4) boxes in the pixels of a picture of that size."""
    original = np.array(regions.image_size * 2, float)
    return regions.boxes.detach().cpu().numpy() / original * np.array([width, height, width, height])


def show(axes: Axes, pixels: np.ndarray) -> Axes:
    """Put a picture into a panel; its corners are (0, 0) and (W, H), as for boxes."""
    height, width = pixels.shape[:2]
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="lanczos")
    axes.set(xlim=(0, width), ylim=(height, 0))
    return axes


def outline(axes: Axes, box: Sequence[float], colour: str, thickness: float) -> None:
    """A frame with a thin white edge, visible on any picture."""
    x1, y1, x2, y2 = box
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=thickness, joinstyle="miter")
    frame.set_path_effects([effects.Stroke(linewidth=thickness + 1.2, foreground="white"), effects.Normal()])
    axes.add_patch(frame)


def place_label(axes: Axes, box: Sequence[float], text: str, colour: str, taken: list[Bbox]) -> None:
    """Write a label at the corner of a box where it covers the least of the labels before it.

    Args:
        axes:   panel that shows the picture.
        box:    (x1, y1, x2, y2).
        text:   one line.
        colour: of its background; the letters are black or white, whichever reads better.
        taken:  rectangles of the labels so far, in display pixels; this one is added.
    """
    x1, y1, x2, y2 = box
    letters = "white" if _luminance(colour) < 0.45 else "black"
    label = axes.text(x1, y1, plain(text), fontsize=8, color=letters, ha="left", va="bottom", clip_on=False,
                      bbox={"facecolor": colour, "edgecolor": "white", "linewidth": 0.6, "pad": 1.8})  # fmt: skip
    renderer, frame = axes.figure.canvas.get_renderer(), axes.bbox
    corners = [(x1, y1, "left", "bottom"), (x1, y1, "left", "top"), (x2, y1, "right", "bottom"),
               (x2, y1, "right", "top"), (x1, y2, "left", "top"), (x1, y2, "left", "bottom"),
               (x2, y2, "right", "bottom"), (x1, (y1 + y2) / 2, "left", "center")]  # fmt: skip

    def spot(corner) -> tuple[float, Bbox]:
        """How badly a corner suits, and the rectangle that the label would fill there."""
        x, y, horizontal, vertical = corner
        label.set(x=x, y=y, ha=horizontal, va=vertical)
        area = label.get_window_extent(renderer).padded(1.8 * axes.figure.dpi / 72)
        inside = _shared(area, frame)
        covered = sum(_shared(area, other) for other in taken)
        return covered + 2 * (area.width * area.height - inside), area

    ranked = [(*spot(corner), corner) for corner in corners]
    _, area, (x, y, horizontal, vertical) = min(ranked, key=lambda item: item[0])
    label.set(x=x, y=y, ha=horizontal, va=vertical)
    taken.append(area)


def _shared(one: Bbox, other: Bbox) -> float:
    """Area that two rectangles have in common."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0) * max(height, 0)


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def chart(width: float, height: float, title: str) -> tuple[Picture, Axes]:
    """An empty chart without the frame that nobody reads."""
    figure = Picture(figsize=(width, height), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches of air, for pages that are not white
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9A9A9A")
    axes.tick_params(colors=INK, labelsize=8.5)
    axes.set_axisbelow(True)
    if title:
        figure.suptitle(plain(title), fontsize=11, weight="bold", color=INK, x=0.01, ha="left")
    return figure, axes
