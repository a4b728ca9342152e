"""What is wrong with a wrong word: the eyes, or the mouth? The nouns of a caption sorted into four cases."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from updown_lab.metrics.grounding import GroundedCaption, Objects
from updown_lab.metrics.naming import named

CASES = ("right", "lucky", "misnamed", "invented")


class SortedNoun(NamedTuple):
    """One word that names a thing, and which case it is.

    Attributes:
        position: place of the word in the caption, from 0.
        word:     as said; ``category`` what it stands for.
        case:     one of ``CASES``, see ``sort_nouns``.
        looked:   attention on what decided the case, 0..1: on all things of the category if it is there, else on the
                  thing that was looked at most.
        region:   number of the most attended region; -1 without regions.
    """

    position: int
    word: str
    category: str
    case: str
    looked: float
    region: int


def sort_nouns(
    weights: Tensor,
    boxes: Tensor,
    words: Sequence[str],
    objects: Objects,
    nouns: Mapping[str, str],
    enough: float = 0.5,
    mentioned: Collection[str] = (),
) -> list[SortedNoun]:
    """Which of four cases each noun of a caption is.

    Attention is summed over all regions whose centre lies in a thing's box, so that a grid of small cells is asked the
    same question as a few large regions: was this thing looked at?

        right     the thing is there, and enough attention lay on it
        lucky     it is there, but the model looked elsewhere
        misnamed  it is not there; enough attention lay on one other thing
        invented  it is not there, and no single thing was looked at

    Args:
        weights:   (T, K) attention of each word over the regions.
        boxes:     (K, 4) xyxy pixels of those regions.
        words:     T words of the caption.
        objects:   what is in the image: (set of categories, (4,) box xyxy) for each thing.
        nouns:     {word: category}, as for ``grounding.pointing_game``.
        enough:    share of the attention that counts as looking.
        mentioned: categories that are there though nobody drew a box: their words are left out, for nobody knows where.

    Returns:
        One ``SortedNoun`` for each name in ``nouns``, in the order of the words.

    Raises:
        ValueError: the shapes disagree.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])
    >>> there = [({"cat"}, [0, 0, 10, 10]), ({"cup"}, [20, 0, 30, 10])]
    >>> looks = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    >>> found = sort_nouns(looks, boxes, ["cat", "cup", "hat"], there, {word: word for word in ("cat", "cup", "hat")})
    >>> [(noun.word, noun.case) for noun in found]
    [('cat', 'right'), ('cup', 'lucky'), ('hat', 'misnamed')]
    """
    if weights.shape != (len(words), len(boxes)):
        raise ValueError(f"weights must be ({len(words)} words, {len(boxes)} regions), got {tuple(weights.shape)}")
    weights, inside, found = weights.detach().double().cpu(), _inside(boxes, objects), []
    for position, word, category in named(words, nouns):
        own = torch.tensor([category in names for names, _ in objects], dtype=torch.bool)  # (things,)
        if category in mentioned and not own.any():
            continue
        here = weights[position]  # (K,)
        if own.any():
            looked = float(here[inside[:, own].any(1)].sum())
            case = "right" if looked >= enough else "lucky"
        else:
            looked = float((here @ inside.double()).max()) if len(objects) else 0.0
            case = "misnamed" if looked >= enough else "invented"
        region = int(here.argmax()) if len(boxes) else -1
        found.append(SortedNoun(position, word, category, case, looked, region))
    return found


def sort_captions(
    captions: Mapping[Hashable, GroundedCaption], nouns: Mapping[str, str], enough: float = 0.5
) -> pd.DataFrame:
    """The nouns of many captions in one table, see ``sort_nouns``.

    Args:
        captions: {image id: the caption, where it looked, and what is there}.
        nouns, enough: as for ``sort_nouns``.

    Returns:
        A row a noun: "image_id", what ``SortedNoun`` holds, and "there", whether the thing is in the image.

    >>> here = [0.0, 0, 4, 4]
    >>> seen = GroundedCaption(torch.ones(2, 1), torch.tensor([here]), ["dog", "cat"], [({"dog"}, here)])
    >>> sort_captions({7: seen}, {"dog": "dog", "cat": "cat"})[["image_id", "word", "case", "there"]].values.tolist()
    [[7, 'dog', 'right', True], [7, 'cat', 'misnamed', False]]
    """
    rows = [
        (image, *noun, noun.case in CASES[:2])
        for image, (weights, boxes, words, objects, mentioned) in captions.items()
        for noun in sort_nouns(weights, boxes, words, objects, nouns, enough, mentioned)
    ]
    return pd.DataFrame(rows, columns=["image_id", *SortedNoun._fields, "there"])


def _inside(boxes: Tensor, objects: Objects) -> Tensor:
    """(K, things) whether the centre of a region lies in the box of a thing."""
    boxes = boxes.double().cpu()
    things = torch.stack([torch.as_tensor(box).double().cpu() for _, box in objects] or [torch.zeros(4).double()])
    centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return ((centre >= things[:, :2]) & (centre < things[:, 2:])).all(-1)[:, : len(objects)]
