"""Does the model look at what it says, and is what it says there?"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from updown_lab.metrics.naming import named

Objects = Sequence[tuple[set[str], Sequence[float] | Tensor]]  # (what the object is, its box), one entry an object
Scores = dict[str, tuple[float, np.ndarray]]  # name: (over all captions, of each caption in turn)
_AS_MUCH = 1 - 1e-6  # of the most attention: the rest is rounding


class Pointing(NamedTuple):
    """One word that names an object of the image, and where the model looked while saying it.

    Regions with equally much attention share the finger: ``hit``, ``iou`` and ``iou50`` are means over them, as if one
    were drawn. Uniform attention so hits by the share of regions on the object, whatever their order.

    Attributes:
        position: place of the word in the caption, from 0.
        word: the word as said; ``category`` what it stands for.
        hit:  the centre of the most attended region lies in a box of that category: 1, else 0.
        iou:  best overlap of that region with such a box, 0..1.
        iou50: that overlap is at least one half: 1, else 0.
        mass: attention on all regions whose centre lies in such a box, 0..1.
    """

    position: int
    word: str
    category: str
    hit: float
    iou: float
    iou50: float
    mass: float


class GroundedCaption(NamedTuple):
    """A caption, the regions it attended to, and the objects that are really there: see ``pointing_game``.

    ``mentioned`` are categories that are there too, though nobody drew a box: those that people name in their captions.
    """

    weights: Tensor
    boxes: Tensor
    words: Sequence[str]
    objects: Objects
    mentioned: Collection[str] = ()


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
        nouns: {word: category}, synonyms and plurals included: {"dog": "dog", "dogs": "dog", "puppy": "dog"}; see
            ``naming.named``. Where the model looked at the last word of a name counts.

    Returns:
        One Pointing for each name in ``nouns`` whose category is in the image, in the order of the words. None for an
        image without regions: there was nothing to point with.

    Raises:
        ValueError: the shapes disagree, or attention is NaN or infinite.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
    >>> looks = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    >>> pointing_game(looks, boxes, ["two", "dogs"], [({"dog"}, [18, 0, 30, 10])], {"dogs": "dog"})
    [Pointing(position=1, word='dogs', category='dog', hit=1.0, iou=0.833..., iou50=1.0, mass=0.75)]
    """
    _check(weights, boxes, words)
    weights, boxes = weights.detach().double().cpu(), boxes.double().cpu()
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2  # (K, 2)
    found = []
    for position, word, category in named(words, nouns):
        there = [torch.as_tensor(box, dtype=torch.float64).cpu() for names, box in objects if category in names]
        if not there or not len(boxes):
            continue
        targets = torch.stack(there)  # (objects of the category, 4)
        inside = ((centre[:, None] >= targets[:, :2]) & (centre[:, None] < targets[:, 2:])).all(-1).any(-1)  # (K,)
        best = weights[position] >= _AS_MUCH * weights[position].max()  # (K,) bool, one or more
        overlap = box_iou(boxes[best], targets).amax(-1)
        looks = (inside[best].double(), overlap, (overlap >= 0.5).double())
        mass = float(weights[position][inside].sum())
        found.append(Pointing(position, word, category, *(float(look.mean()) for look in looks), mass))
    return found


def grounding(captions: Iterable[GroundedCaption], nouns: Mapping[str, str]) -> Scores:
    """Sum the pointing game and CHAIR up over many captions.

    An object is hallucinated if it has no box and no person mentions it:

        CHAIR_i = hallucinated object words / object words;  CHAIR_s = captions with one / captions
                                                                  Rohrbach et al. 2018, Sec. 2.1

    Args:
        captions: see ``GroundedCaption``.
        nouns: {word: category}, synonyms and plurals included.

    Returns:
        {name: (over all captions, (captions,) of each)}:
        ``pointing``: share of hits, among words whose object has a box;
        ``iou50``: share with IoU >= 0.5, among the same words;
        ``mass``: mean attention on the object, same words;
        ``hallucination``: CHAIR_i, among all object words;
        ``hallucinated captions``: CHAIR_s; of each caption 1 or 0;
        ``words``: how many object words were said, there or not.
        The first four pool the words of all captions, so they are no means over the captions, in which a caption with
        many words counts no more than another. A share of nothing is NaN.

    >>> here = [0.0, 0, 4, 4]
    >>> seen = GroundedCaption(torch.ones(2, 1), torch.tensor([here]), ["dog", "cat"], [({"dog"}, here)])
    >>> {name: value for name, (value, _) in grounding([seen], {"dog": "dog", "cat": "cat"}).items()}
    {'pointing': 1.0, 'iou50': 1.0, 'mass': 1.0, 'hallucination': 0.5, 'hallucinated captions': 1.0, 'words': 2.0}
    """
    points, invented = [], []
    for weights, boxes, words, objects, mentioned in captions:
        points.append(pointing_game(weights, boxes, words, objects, nouns))
        there = set(mentioned).union(*(names for names, _ in objects))
        invented.append([category not in there for _, _, category in named(words, nouns)])
    some, said = np.array([any(wrong) for wrong in invented], float), np.array([*map(len, invented)], float)
    return {
        "pointing": pooled([[point.hit for point in its] for its in points]),
        "iou50": pooled([[point.iou50 for point in its] for its in points]),
        "mass": pooled([[point.mass for point in its] for its in points]),
        "hallucination": pooled(invented),
        "hallucinated captions": (float(some.mean()) if len(some) else np.nan, some),
        "words": (float(said.sum()), said),
    }


def pooled(groups: Sequence[Sequence[float]]) -> tuple[float, np.ndarray]:
    """Mean of all values, and mean of each group; NaN of nothing.

    >>> pooled([[1.0, 0.0, 0.0], [], [1.0]])
    (0.5, array([0.333..., nan, 1. ]))
    """
    every = [value for group in groups for value in group]
    each = np.array([np.mean(group) if len(group) else np.nan for group in groups], float)
    return float(np.mean(every)) if every else np.nan, each


def _check(weights: Tensor, boxes: Tensor, words: Sequence[str]) -> None:
    if weights.shape != (len(words), len(boxes)):
        raise ValueError(
            f"weights must be ({len(words)} words, {len(boxes)} regions), got {tuple(weights.shape)}; "
            "cut padded words and regions off first"
        )
    wrong = (~torch.isfinite(weights)).any(-1)
    if wrong.any():
        place = int(wrong.nonzero()[0])
        raise ValueError(
            f"attention must be finite, but word {place} ({words[place]!r}) has {weights[place].tolist()!s:.80}; look "
            "for the NaN where these weights were made"
        )
