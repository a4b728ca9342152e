"""The explorer's picture on paper, and where widgets are blocked."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from updown_lab.analysis.plots import attention_compare, attention_strip
from updown_lab.regions import Regions
from updown_lab.widgets.explorer import voices_of
from updown_lab.widgets.panels import Panel


def plot_attention(image, said, columns: int = 8) -> Figure:
    """The figure of the paper in matplotlib: for each word, the image lit where the model looked.

    Args:
        image:   (3, H, W) float tensor in [0, 1], array (H, W, 3) or PIL image.
        said:    what ``AttentionExplorer`` takes: a ``Panel``, a ``Told`` or a ``Speaker``, or several (a row each).
        columns: panels in a row.

    Returns:
        a figure; ``figure.savefig("attention.pdf")`` keeps it.

    >>> panel = Panel(["a", "cat"], torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([[0., 0, 9, 9], [3, 3, 6, 9]]),
    ...               size=(9, 9))
    >>> len(plot_attention(torch.rand(3, 9, 9), panel).axes)
    2
    """
    panels = [voice.panel for voice in voices_of(said, image)]
    rows = [(panel.name, _regions(panel), panel.words, panel.weights) for panel in panels]
    if len(rows) == 1 and not isinstance(said, Mapping):
        return attention_strip(image, *rows[0][1:], columns)
    return attention_compare(image, rows, columns)


def _regions(panel: Panel) -> Regions:
    """Boxes alone."""
    return Regions(torch.zeros(len(panel.boxes), 1), panel.boxes, panel.size, panel.name or "panel")
