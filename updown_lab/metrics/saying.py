"""How does the model speak? Colours on the right things, sentences that end, words that are not always the same."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from updown_lab.metrics.grounding import named
from updown_lab.text import BAD_ENDINGS

Described = Sequence[tuple[set[str], set[str]]]  # (what an object is, what it is like), one entry an object
REACH = 2  # an attribute stands at most so many words before its noun: "a red wooden boat"


def bound_attributes(
    words: Sequence[str], objects: Described, nouns: Mapping[str, str], attributes: Iterable[str]
) -> list[bool]:
    """Is the colour that is said the object's own?

    "A red cat" beside a blue cat and a red ball has the right words on the wrong thing. Overlap metrics hardly notice;
    the paper shows it as pictures (Sec. 5, Fig. 5) and as SPICE's attributes (Table 2).

    Args:
        words:      of a caption.
        objects:    what is in the image: (categories, attributes) of each object.
        nouns:      {word: category}, as for ``grounding.pointing_game``.
        attributes: the words to look for, for instance names of colours.

    Returns:
        For each such word before a noun whose category is in the image: does one object of that category have it?

    >>> cats = [({"cat"}, {"blue"}), ({"ball"}, {"red"})]
    >>> bound_attributes("a red cat and a red ball".split(), cats, {"cat": "cat", "ball": "ball"}, ["red", "blue"])
    [False, True]
    """
    wanted, found, before = set(attributes), [], -1
    for place, name, category in named(words, nouns):
        start = place - name.count(" ")
        there = [have for kinds, have in objects if category in kinds]
        near = [word for word in words[max(before + 1, start - REACH) : start] if word in wanted]
        before = place
        if there:
            found += [any(word in have for have in there) for word in near]
    return found


def speech(captions: Sequence[Sequence[str]]) -> dict[str, float]:
    """What can be said of captions without looking at a picture.

    Args:
        captions: words of each.

    Returns:
        dict of
        ``bad endings``: share of captions that stop at "a", "of", "with", ...; self-critical training without an end
        token makes many, see ``ScstConfig.end_token``;
        ``distinct captions``: share of different ones;
        ``distinct pairs``: different pairs of neighbouring words, as a share of all pairs;
        ``words known``: how many different words were used;
        ``length``: mean number of words.

    Raises:
        ValueError: no captions.

    >>> speech([["a", "cat"], ["a", "cat"], ["a", "dog", "with"], ["a", "dog"]])["bad endings"]
    0.25
    """
    if not captions:
        raise ValueError("no captions: there is nothing to count")
    pairs = [pair for words in captions for pair in pairwise(words)]
    return {
        "bad endings": sum(bool(words) and words[-1] in BAD_ENDINGS for words in captions) / len(captions),
        "distinct captions": len({tuple(words) for words in captions}) / len(captions),
        "distinct pairs": len(set(pairs)) / len(pairs) if pairs else math.nan,
        "words known": len({word for words in captions for word in words}),
        "length": sum(map(len, captions)) / len(captions),
    }


def binding(
    captions: Iterable[tuple[Sequence[str], Described]], nouns: Mapping[str, str], attributes: Iterable[str]
) -> dict[str, float]:
    """Share of attributes said that are on the right thing, over many captions.

    Args:
        captions: (words, objects) of each; see ``bound_attributes``.

    Returns:
        ``binding``: the share, NaN if none was said of a thing that is there; ``attributes said``: how many.

    >>> binding([(["red", "cat"], [({"cat"}, {"red"})])], {"cat": "cat"}, ["red"])
    {'binding': 1.0, 'attributes said': 1}
    """
    attributes = list(attributes)
    right = [one for words, objects in captions for one in bound_attributes(words, objects, nouns, attributes)]
    return {"binding": sum(right) / len(right) if right else math.nan, "attributes said": len(right)}
