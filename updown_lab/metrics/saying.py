"""How does the model speak? Colours on the right things, sentences that end, words that are not always the same."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from updown_lab.metrics.grounding import Scores, pooled
from updown_lab.metrics.naming import named, plain
from updown_lab.text import BAD_ENDINGS

Described = Sequence[tuple[set[str], set[str]]]  # (what an object is, what it is like), one entry an object
REACH = 2  # at most so many other words stand between an attribute and its noun: "a red striped pine tree"
_WHO, _IS = ("that", "which", "who"), ("is", "are", "was", "were")
_HOW, _JOINS = ("very", "all", "mostly", "bright", "light", "dark"), ("and", "or", "")  # "" was a comma


def bound_attributes(
    words: Sequence[str], objects: Described, nouns: Mapping[str, str], attributes: Iterable[str]
) -> list[bool]:
    """Is the colour that is said the object's own?

    "A red cat" beside a blue cat and a red ball has the right words on the wrong thing. Overlap metrics hardly notice;
    the paper shows it as pictures (Sec. 5, Fig. 5) and as SPICE's attributes (Table 2). A colour belongs to the noun
    behind it ("a blue and white cat"), or to the one before "is" ("a cat that is red").

    Args:
        words:      of a caption.
        objects:    what is in the image: (categories, attributes) of each object.
        nouns:      {word: category}, as for ``grounding.pointing_game``.
        attributes: the words to look for, for instance names of colours.

    Returns:
        For each such word at a noun whose category is in the image, noun by noun: does one object of that category
        have it?

    >>> cats = [({"cat"}, {"blue"}), ({"ball"}, {"red"})]
    >>> bound_attributes("a red cat and a red ball".split(), cats, {"cat": "cat", "ball": "ball"}, ["red", "blue"])
    [False, True]
    """
    wanted, found, free = set(attributes), [], 0  # free: the first word that belongs to no noun yet
    words = plain(words)
    for place, name, category in named(words, nouns):
        there = [have for kinds, have in objects if category in kinds]
        said = _before(words[free : place - name.count(" ")], wanted)
        free = place + 1 + _behind(words[place + 1 :], wanted)
        said += [word for word in words[place + 1 : free] if word in wanted]
        if there:
            found += [any(word in have for have in there) for word in said]
    return found


def _before(words: Sequence[str], wanted: set[str]) -> list[str]:
    """The attributes in front of a noun, as far back as one thing is spoken of."""
    found, between = [], 0
    for place in reversed(range(len(words))):
        joins = words[place] in _JOINS and place and words[place - 1] in wanted
        if words[place] in wanted:
            found.insert(0, words[place])
        elif not joins:
            between += 1
            if words[place] in BAD_ENDINGS or between > REACH:
                break
    return found


def _behind(words: Sequence[str], wanted: set[str]) -> int:
    """How many words behind a noun say what it is like: "is red", "that are red and blue"."""
    begin = 1 if words and words[0] in _WHO else 0
    if words[begin : begin + 1] and words[begin] in _IS:
        end = 0
        for place, word in enumerate(words[begin + 1 :], begin + 1):
            if word in wanted:
                end = place + 1
            elif word not in (*_HOW, *_JOINS):
                break
        return end
    return 0


def speech(captions: Sequence[Sequence[str]]) -> Scores:
    """What can be said of captions without looking at a picture.

    Args:
        captions: words of each; marks and capitals do not count.

    Returns:
        {name: (over all captions, (captions,) of each)}:
        ``bad endings``: share of captions that stop at "a", "of", "with", ..., or say nothing at all; self-critical
        training without an end token makes many, see ``ScstConfig.end_token``;
        ``distinct captions``: different ones, as a share of all; one that is said n times has 1/n of it each time;
        ``distinct pairs``: different pairs of neighbouring words, as a share of all pairs; a caption has the mean of
        1/n over its pairs, NaN without pairs;
        ``words known``: how many different words were used, in all and in each;
        ``length``: mean number of words.
        What a caption is worth in distinctness depends on the others; and "distinct pairs" of all captions pools their
        pairs. The other shares are the means of their captions.

    Raises:
        ValueError: no captions.

    >>> speech([["a", "cat"], ["a", "cat"], ["a", "dog", "with"], ["a", "dog"]])["bad endings"]
    (0.25, array([0., 0., 1., 0.]))
    """
    if not captions:
        raise ValueError("no captions: there is nothing to count")
    said = [tuple(word for word in plain(words) if word) for words in captions]
    times, pairs = Counter(said), [[*pairwise(words)] for words in said]
    seen = Counter(pair for its in pairs for pair in its)
    return {
        "bad endings": pooled([[not words or words[-1] in BAD_ENDINGS] for words in said]),
        "distinct captions": pooled([[1 / times[words]] for words in said]),
        "distinct pairs": pooled([[1 / seen[pair] for pair in its] for its in pairs]),
        "words known": (float(len(set().union(*said))), np.array([len(set(words)) for words in said], float)),
        "length": pooled([[len(words)] for words in said]),
    }


def binding(
    captions: Iterable[tuple[Sequence[str], Described]], nouns: Mapping[str, str], attributes: Iterable[str]
) -> Scores:
    """Share of attributes said that are on the right thing, over many captions.

    Args:
        captions: (words, objects) of each; see ``bound_attributes``.

    Returns:
        ``binding``: (share of all attributes, (captions,) share of each), NaN if none was said of what is there;
        ``attributes said``: how many.

    >>> binding([(["red", "cat"], [({"cat"}, {"red"})])], {"cat": "cat"}, ["red"])
    {'binding': (1.0, array([1.])), 'attributes said': (1.0, array([1.]))}
    """
    attributes = list(attributes)
    right = [bound_attributes(words, objects, nouns, attributes) for words, objects in captions]
    counts = np.array([*map(len, right)], float)
    return {"binding": pooled(right), "attributes said": (float(counts.sum()), counts)}
