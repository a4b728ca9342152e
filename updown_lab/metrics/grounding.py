"""Does the model look at what it says?"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

Objects = Sequence[tuple[set[str], Sequence[float] | Tensor]]  # (what the object is, its box), one entry an object


class Pointing(NamedTuple):
    """One word that names an object of the image, and where the model looked while saying it.

    Attributes:
        position: place of the word in the caption, from 0.
        word: the word as said; ``category`` what it stands for.
        hit:  the centre of the most attended region lies in a box of that category.
        iou:  best overlap of that region with such a box, 0..1.
        mass: attention on all regions whose centre lies in such a box, 0..1.
    """

    position: int
    word: str
    category: str
    hit: bool
    iou: float
    mass: float


class GroundedCaption(NamedTuple):
    """A caption, the regions it attended to, and the objects that are really there: see ``pointing_game``."""

    weights: Tensor
    boxes: Tensor
    words: Sequence[str]
    objects: Objects


def pointing_game(
    weights: Tensor, boxes: Tensor, words: Sequence[str], objects: Objects, nouns: Mapping[str, str]
) -> list[Pointing]:
    """For each word that names a present object: did attention point at it?

    Ask the model to point: the finger is the centre of the region with the
    most attention. A finger on any object of the right kind counts.

        i = argmax_i a_ti;  hit = centre(b_i) in some box of the word's category
                                                  the pointing game of Zhang et al. 2016, with boxes

    Args:
        weights: (T, K) attention of each word over the regions.
        boxes: (K, 4) xyxy pixels of those regions.
        words: T words of the caption.
        objects: what is in the image: (set of categories, (4,) box xyxy) for each object.
        nouns: {word: category}, synonyms and plurals included: {"dog": "dog", "dogs": "dog", "puppy": "dog"}. Names of
            two words ("hot dog") win over their last word; where the model looked at that last word counts.

    Returns:
        One Pointing for each name in ``nouns`` whose category is in the image, in the order of the words.

    Raises:
        ValueError: the shapes disagree.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
    >>> looks = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    >>> pointing_game(looks, boxes, ["two", "dogs"], [({"dog"}, [18, 0, 30, 10])], {"dogs": "dog"})
    [Pointing(position=1, word='dogs', category='dog', hit=True, iou=0.833..., mass=0.75)]
    """
    if weights.shape != (len(words), len(boxes)):
        raise ValueError(
            f"weights must be ({len(words)} words, {len(boxes)} regions), got {tuple(weights.shape)}; "
            "cut padded words and regions off first"
        )
    weights, boxes = weights.detach().double().cpu(), boxes.double().cpu()
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2  # (K, 2)
    found = []
    for position, word, category in named(words, nouns):
        there = [torch.as_tensor(box, dtype=torch.float64).cpu() for names, box in objects if category in names]
        if not there:
            continue
        targets = torch.stack(there)  # (objects of the category, 4)
        inside = ((centre[:, None] >= targets[:, :2]) & (centre[:, None] < targets[:, 2:])).all(-1).any(-1)  # (K,)
        best = int(weights[position].argmax())
        iou = float(box_iou(boxes[best : best + 1], targets).max())
        mass = float(weights[position][inside].sum())
        found.append(Pointing(position, word, category, bool(inside[best]), iou, mass))
    return found


def named(words: Sequence[str], nouns: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """Every name of a category in a caption: (place of its last word, the name, the category), in order.

    >>> named(["a", "hot", "dog", "beside", "a", "dog"], {"dog": "dog", "hot dog": "hot dog"})
    [(2, 'hot dog', 'hot dog'), (5, 'dog', 'dog')]
    """
    found = []
    for place, word in enumerate(words):
        both = f"{words[place - 1]} {word}" if place else word
        name = both if both in nouns else word
        if name in nouns:
            found.append((place, name, nouns[name]))
    return found


def grounding(captions: Iterable[GroundedCaption], nouns: Mapping[str, str]) -> dict[str, float]:
    """Sum the pointing game up over many captions.

    Args:
        captions: (weights, boxes, words, objects) of each; see ``pointing_game``.
        nouns: {word: category}, synonyms and plurals included.

    Returns:
        dict of
        ``pointing``: share of hits, among words whose object is there;
        ``iou50``: share with IoU >= 0.5, among the same words;
        ``mass``: mean attention on the object, same words;
        ``hallucination``: share of the object words whose object is not there (Rohrbach et al. 2018, CHAIR_i);
        ``words``: how many object words were said, there or not.
        A share of nothing is NaN.

    >>> here = [0.0, 0, 4, 4]
    >>> seen = GroundedCaption(torch.ones(2, 1), torch.tensor([here]), ["dog", "cat"], [({"dog"}, here)])
    >>> grounding([seen], {"dog": "dog", "cat": "cat"})
    {'pointing': 1.0, 'iou50': 1.0, 'mass': 1.0, 'hallucination': 0.5, 'words': 2}
    """
    said, points = 0, []
    for caption in map(GroundedCaption._make, captions):
        said += len(named(caption.words, nouns))
        points += pointing_game(*caption, nouns)
    return {
        "pointing": _mean([point.hit for point in points]),
        "iou50": _mean([point.iou >= 0.5 for point in points]),
        "mass": _mean([point.mass for point in points]),
        "hallucination": 1 - len(points) / said if said else math.nan,
        "words": said,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
