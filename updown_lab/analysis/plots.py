"""Pictures for the notebook, the report and the paper. Every function returns a matplotlib figure of its own."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from updown_lab.analysis.canvas import (
    COLOURS,
    FAINT,
    INK,
    RULE,
    Page,
    chart,
    outline,
    place_label,
    plain,
    scaled_boxes,
    show,
    to_pixels,
)
from updown_lab.regions import Regions

MOST_ATTENDED = "#FF2A2A"
SHARE, MOST_ATTRIBUTES = 0.15, 3  # from which probability on further attributes are named, and how many at most
DARKEST = 0.3  # brightness of a pixel that no attention reaches


def contact_sheet(images: Sequence, titles: Sequence[str] | None = None, columns: int = 6) -> Figure:
    """Many small images on one page: look at the data before you trust it.

    Args:
        images:  tensors (3, H, W) in [0, 1], arrays (H, W, 3) or PIL images; sizes may differ.
        titles:  one line under each image, or None.
        columns: images in a row.

    >>> len(contact_sheet([np.zeros((8, 8, 3))] * 3, ["a", "b", "c"], columns=2).axes)
    3
    """
    if len(images) == 0 or (titles is not None and len(titles) != len(images)):
        raise ValueError(f"need images, and a title for each; got {len(images)} and {len(titles or ())} titles")
    pixels = [to_pixels(image) for image in images]
    columns = min(columns, len(images))
    tallest = max(array.shape[0] / array.shape[1] for array in pixels)
    page = Page(math.ceil(len(images) / columns), columns, 1.5, 1.5 * tallest, below=0.3 if titles else 0.0)
    for number, array in enumerate(pixels):
        axes = show(page.axes(*divmod(number, columns)), array)
        if titles is not None:
            _caption_below(axes, _shorten(titles[number], 26), size=7.5)
    return page.figure


def draw_regions(
    image,
    regions: Regions,
    class_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
    top: int = 10,
) -> Figure:
    """The boxes that the detector would keep, with labels such as "red cat 0.93".

    Args:
        image:           (3, H, W) tensor in [0, 1], array (H, W, 3) or PIL image.
        regions:         its regions; the ``top`` most confident ones are drawn (the first ones if there are no scores).
        class_names:     name of each class id, or None for numbers.
        attribute_names: name of each attribute id, or None for no attributes.
        top:             how many.
    """
    pixels = to_pixels(image)
    height, width = pixels.shape[:2]
    page = Page(1, 1, 6.0, 6.0 * height / width)
    axes = show(page.axes(0, 0), pixels)
    order = range(regions.count) if regions.scores is None else regions.scores.argsort(descending=True).tolist()
    corners = scaled_boxes(regions, width, height)
    chosen = list(order)[:top]
    for rank, number in reversed(list(enumerate(chosen))):  # the best ones lie on top
        outline(axes, corners[number], COLOURS[rank % len(COLOURS)], 2.2)
    taken: list = []
    for rank, number in enumerate(chosen):
        text = region_label(regions, number, class_names, attribute_names)
        place_label(axes, corners[number], text, COLOURS[rank % len(COLOURS)], taken)
    return page.figure


def region_label(
    regions: Regions,
    number: int,
    class_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
) -> str:
    """What one region is, in words: its attributes, its class and how sure the detector is of the class.

    A thing is green and plain at once, and training divides the detector's opinion among all that is true of a region
    (``attribute_loss``). So the likeliest attribute is named, and up to two more that are likelier than "no attribute"
    and have a probability from 0.15 on, if the regions know them; those from a store know the likeliest alone.

    >>> import torch
    >>> one = Regions(torch.zeros(1, 2), torch.zeros(1, 4), (4, 4), "demo", torch.tensor([1]), torch.tensor([0.934]),
    ...               torch.tensor([0]))
    >>> region_label(one, 0, ["dog", "cat"], ["red"])
    'red cat 0.93'
    >>> from dataclasses import replace
    >>> opinion = replace(one, attribute_probabilities=torch.tensor([[0.5, 0.1, 0.3]]))
    >>> region_label(opinion, 0, ["dog", "cat"], ["red", "blue", "small"])
    'red, small cat 0.93'
    """
    if regions.classes is None:
        return str(number)
    named = [] if attribute_names is None else _attributes_of(regions, number)
    parts = [", ".join(attribute_names[attribute] for attribute in named)] if named else []
    kind = int(regions.classes[number])
    parts.append(str(kind) if class_names is None else class_names[kind])
    if regions.scores is not None:
        parts.append(f"{float(regions.scores[number]):.2f}")
    return " ".join(parts)


def _attributes_of(regions: Regions, number: int) -> list[int]:
    """What a region is like, the likeliest first; nothing if "no attribute" is likelier than all."""
    if regions.attributes is None or regions.attributes[number] < 0:
        return []
    first = int(regions.attributes[number])
    if regions.attribute_probabilities is None:
        return [first]
    sure, likeliest = regions.attribute_probabilities[number].sort(descending=True, stable=True)
    bar = max(SHARE, 1 - float(sure.sum()))  # what is left is "no attribute"
    more = [one for one, share in zip(likeliest.tolist(), sure.tolist()) if share >= bar and one != first]
    return [first, *more][:MOST_ATTRIBUTES]


def light_map(regions: Regions, weights, width: int, height: int) -> np.ndarray:
    """How much attention falls on each pixel: the sum of the weights of all regions that cover it.

        light(p) = sum of alpha_i over the regions i with p inside          Anderson et al. 2018, Fig. 5

    Args:
        regions: K regions.
        weights: (K,) attention weights.
        width, height: size of the picture to light, in pixels; boxes are scaled to it.

    Returns:
        (height, width) float. A pixel belongs to a box if its centre does.

    >>> import torch
    >>> two = Regions(torch.zeros(2, 1), torch.tensor([[0., 0, 2, 1], [1, 0, 3, 1]]), (4, 1), "demo")
    >>> light_map(two, [0.75, 0.25], 4, 1).tolist()
    [[0.75, 1.0, 0.25, 0.0]]
    """
    light = np.zeros((height, width))
    corners = np.clip(np.ceil(scaled_boxes(regions, width, height) - 0.5), 0, None).astype(int)
    for (x1, y1, x2, y2), weight in zip(corners, _numbers(weights), strict=True):
        light[y1:y2, x1:x2] += weight
    return light


def attention_strip(image, regions: Regions, words: Sequence[str], weights, columns: int = 8) -> Figure:
    """The figure of the paper: for each word, the image lit where the model looked.

    A panel's brightest pixel is its most attended one, so panels show *where*, and the number under each, the
    largest weight, shows *how sharply*. The most attended region has a red frame.

    Args:
        image:   (3, H, W) tensor in [0, 1], array (H, W, 3) or PIL image.
        regions: its K regions, or grid cells.
        words:   T words.
        weights: (T, K) attention weights; a batch's padding to the right of K, and the step that ended the sentence,
            may still be there.
        columns: panels in a row.

    Raises:
        ValueError: fewer weights than words or regions.
    """
    weights = _checked_weights(regions, words, weights)
    pixels = to_pixels(image)
    columns = max(1, min(columns, len(words)))
    page = Page(max(1, math.ceil(len(words) / columns)), columns, 1.55, 1.55 * pixels.shape[0] / pixels.shape[1],
                 above=0.24, below=0.24)  # fmt: skip
    for number, word in enumerate(words):
        _attention_panel(page.axes(*divmod(number, columns)), pixels, regions, word, weights[number])
    return page.figure


def attention_compare(image, rows: Sequence[tuple], columns: int = 12) -> Figure:
    """Several models on one image, a row each: the grid beside the regions, say.

    Args:
        image:   as for ``attention_strip``.
        rows:    tuples (title, regions, words, weights).
        columns: at most so many words a row; more are left out, and the title says so.
    """
    if not rows:
        raise ValueError("attention_compare needs at least one row (title, regions, words, weights)")
    pixels = to_pixels(image)
    most = max(1, min(columns, max(len(words) for _, _, words, _ in rows)))
    page = Page(len(rows), most, 1.35, 1.35 * pixels.shape[0] / pixels.shape[1], above=0.48, below=0.24)
    for row, (title, regions, words, weights) in enumerate(rows):
        weights = _checked_weights(regions, words, weights)
        hidden = len(words) - most
        note = f"{title}    ({hidden} words not shown)" if hidden > 0 else title
        page.title(row, note)
        for number, word in enumerate(words[:most]):
            _attention_panel(page.axes(row, number), pixels, regions, word, weights[number])
    return page.figure


def curves(histories: dict[str, pd.DataFrame], column: str, x: str = "step", title: str = "") -> Figure:
    """One measured quantity over the training, a line a run.

    Args:
        histories: name of the run to its history; rows without a value in ``column`` are passed over.
        column:    what to draw.
        x:         what it is drawn against.

    Raises:
        ValueError: a history lacks one of the columns.

    >>> curves({"run": pd.DataFrame({"step": [1, 2], "loss": [3.0, 2.0]})}, "loss").axes[0].get_ylabel()
    'loss'
    """
    figure, axes = chart(6.0, 3.4, title)
    for number, (name, history) in enumerate(histories.items()):
        missing = {x, column} - set(history.columns)
        if missing:
            raise ValueError(f"the history of {name!r} has no {sorted(missing)}; it has {list(history.columns)}")
        seen = history[[x, column]].dropna()
        axes.plot(seen[x], seen[column], color=COLOURS[number % len(COLOURS)], linewidth=1.8,
                  linestyle=("-", "--", ":", "-.")[number // len(COLOURS) % 4], label=plain(name),
                  marker="o" if len(seen) <= 20 else None, markersize=3.5)  # fmt: skip
    axes.set_xlabel(plain(x), color=FAINT)
    axes.set_ylabel(plain(column), color=FAINT)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    if len(histories) > 1:
        axes.legend(frameon=False, fontsize=8.5, loc="best")
    return figure


def bars_with_intervals(
    table: pd.DataFrame,
    value: str = "mean",
    low: str = "low",
    high: str = "high",
    label: str | None = None,
    group: str | None = None,
    title: str = "",
    digits: int = 2,
) -> Figure:
    """Values with the range they may have: a difference smaller than its whiskers is not a result.

    Args:
        table: a row a bar, top to bottom.
        value, low, high: columns with the bar's length and the ends of its interval.
        label: column with the name of the bar; the table's index if None.
        group: column whose values share a colour, for bars side by side under one label.
        title: of the figure.
        digits: decimals of the printed values.

    >>> scores = pd.DataFrame({"mean": [1.2, 1.0], "low": [1.1, 0.9], "high": [1.3, 1.1]}, index=["regions", "grid"])
    >>> [text.get_text() for text in bars_with_intervals(scores).axes[0].get_yticklabels()]
    ['regions', 'grid']
    """
    missing = [name for name in (value, low, high, label, group) if name is not None and name not in table.columns]
    if missing:
        raise ValueError(f"the table has no columns {missing}; it has {list(table.columns)}")
    names = (table.index if label is None else table[label]).astype(str)
    labels, groups = list(dict.fromkeys(names)), [None] if group is None else list(dict.fromkeys(table[group]))
    thick = 0.72 / len(groups)
    figure, axes = chart(6.0, 0.75 + max(0.42, 0.25 * len(groups) + 0.12) * len(labels), title)
    for number, member in enumerate(groups):
        chosen = table if group is None else table[table[group] == member]
        spots = [labels.index(name) for name in (names if group is None else names[table[group] == member])]
        spots = np.array(spots) + (number - (len(groups) - 1) / 2) * thick
        middle, left, right = (chosen[name].to_numpy(float) for name in (value, low, high))
        axes.barh(
            spots,
            middle,
            thick * 0.9,
            color=COLOURS[number % len(COLOURS)],
            label=None if group is None else plain(member),
        )
        axes.hlines(spots, left, right, color=INK, linewidth=1.3)
        axes.plot(np.r_[left, right], np.r_[spots, spots], "|", color=INK, markersize=5)
        for spot, end, shown in zip(spots, np.maximum(right, 0), middle, strict=False):
            axes.annotate(f"{shown:.{digits}f}", (end, spot), (5, 0), textcoords="offset points", va="center",
                          fontsize=8, color=INK)  # fmt: skip
    axes.set_yticks(range(len(labels)), [plain(name) for name in labels])
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.margins(x=0.1)
    axes.set_xlabel(plain(value), color=FAINT)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    if group is not None:
        axes.legend(frameon=False, fontsize=8.5, ncols=len(groups), loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _numbers(values) -> np.ndarray:
    """A tensor on any device, or a list, as float64."""
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, float)


def _checked_weights(regions: Regions, words: Sequence[str], weights) -> np.ndarray:
    """(T, K) without the padding."""
    weights = _numbers(weights)
    if weights.ndim != 2 or weights.shape[0] < len(words) or weights.shape[1] < regions.count:
        raise ValueError(
            f"{len(words)} words over {regions.count} regions need weights ({len(words)}, {regions.count}), "
            f"got {weights.shape}"
        )
    return weights[: len(words), : regions.count]


def _attention_panel(axes: Axes, pixels: np.ndarray, regions: Regions, word: str, weights: np.ndarray) -> None:
    """One word: the lit image, the red frame, the word above and the largest weight below."""
    height, width = pixels.shape[:2]
    light = light_map(regions, weights, width, height)
    light = light / max(light.max(), 1e-12)
    grey = pixels.mean(2, keepdims=True) * 0.5 + pixels * 0.5  # the dark part loses half its colour too
    lit = pixels * light[..., None] + grey * (1 - light[..., None]) * DARKEST
    show(axes, lit)
    axes.text(0.5, 1.0, plain(_shorten(word, 14)), transform=axes.transAxes, fontsize=10.5, color=INK, ha="center",
              va="bottom")  # fmt: skip
    if regions.count:
        most = int(weights.argmax())
        outline(axes, scaled_boxes(regions, width, height)[most], MOST_ATTENDED, 1.4)
        _caption_below(axes, f"{weights[most]:.2f}", size=8)


def _caption_below(axes: Axes, text: str, size: float) -> None:
    axes.annotate(plain(text), (0.5, 0), (0, -3), xycoords="axes fraction", textcoords="offset points", fontsize=size,
                  color=FAINT, ha="center", va="top")  # fmt: skip


def _shorten(text: str, most: int) -> str:
    """Cut a long text, and show that it was cut.

    >>> _shorten("a very long word", 8)
    'a very …'
    """
    text = " ".join(str(text).split())
    return text if len(text) <= most else text[: most - 1] + "…"
