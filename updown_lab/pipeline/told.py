"""What a model said about a picture, with the reasons: plain data that a widget can show without the model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from updown_lab.analysis.plots import region_label
from updown_lab.regions import Regions


@dataclass(frozen=True, eq=False)
class Told:
    """One sentence about one picture, and why each word was said. All tensors are on the CPU.

    Attributes:
        words:        the T words.
        weights:      (T, K) float, where the model looked before each word; a row sums to 1.
        log_probs:    of each word given those before, in nats.
        entropies:    of the model's whole opinion about each next word, in nats: 0 is certain, log V has no idea.
        alternatives: for each place the words it liked best, (word, log-probability), best first; "<end>" would stop.
        regions:      what it saw.
        labels:       one a region: "red car 0.93", "cell 3,4" (row 3, column 4 of a grid).
        ended:        False if the sentence was cut off at the longest length.
        names:        as ``labels`` without attributes, "car 0.93": what fits on a picture.
    """

    words: list[str]
    weights: Tensor
    log_probs: list[float]
    entropies: list[float]
    alternatives: list[list[tuple[str, float]]]
    regions: Regions
    labels: list[str]
    ended: bool = True
    names: Sequence[str] = ()

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, eq=False)
class Answered:
    """What a model answers to one question about one picture.

    Attributes:
        answers:       (answer, probability), best first; they are independent and need not sum to 1.
        weights:       (K,) float, where the model looked; on the CPU.
        unknown_words: words of the question that the model has never read.
        regions:       what it saw.
        labels:        one a region, as in ``Told``.
        question:      what was asked.
    """

    answers: list[tuple[str, float]]
    weights: Tensor
    unknown_words: list[str]
    regions: Regions
    labels: list[str]
    question: str = ""

    def __str__(self) -> str:
        return self.answers[0][0]


def labels_of(
    regions: Regions, objects: Sequence[str] | None = None, attributes: Sequence[str] | None = None
) -> list[str]:
    """A name for each region: what the detector says, or where in the grid it lies, or its number.

    Args:
        regions:    of one picture.
        objects:    what class numbers mean; without it they stay numbers.
        attributes: what attribute numbers mean; without it they are left out.

    >>> import torch
    >>> from updown_lab.vision.grid import grid_boxes
    >>> labels_of(Regions(torch.zeros(4, 1), grid_boxes(2, 10, 10), (10, 10), "grid-pretrained-2"))
    ['cell 1,1', 'cell 1,2', 'cell 2,1', 'cell 2,2']
    """
    if regions.classes is not None:
        return [region_label(regions, number, objects, attributes) for number in range(regions.count)]
    grid = re.fullmatch(r"grid-\w+-(\d+)", regions.source)
    if not grid:
        return [f"region {number + 1}" for number in range(regions.count)]
    width, height = regions.image_size
    corners = regions.boxes[:, :2] / regions.boxes.new_tensor([width, height]) * int(grid[1])
    return [f"cell {row + 1},{column + 1}" for column, row in corners.round().int().tolist()]
