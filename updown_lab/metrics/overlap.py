"""BLEU, ROUGE-L and CIDEr of captions that are split into words: the numbers of pycocoevalcap, sooner.

Each function takes {image_id: [caption]} and {image_id: references}, words separated by one blank, and gives
{name: (corpus score, scores in the order of the candidates)}.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from updown_lab.metrics.cider_d import CiderD
from updown_lab.metrics.ngrams import MAXIMUM_ID, ORDERS, TokenRows, ngrams, rows_of
from updown_lab.text import UNKNOWN

Captions = Mapping[int, Sequence[str]]
Scores = dict[str, tuple[float, np.ndarray]]

_TINY, _SMALL, _BETA = 1e-15, 1e-9, 1.2  # pycocoevalcap's: keep a BLEU of nothing at 0; ROUGE-L prefers recall


def bleu(candidates: Captions, references: Captions) -> Scores:
    """Which share of the caption's n-grams do people use too?

    A word counts at most as often as one person said it, and a caption that is
    shorter than the nearest reference is punished.

        BLEU-N = min(1, exp(1 - r / c)) * (prod_{n <= N} clipped_n / said_n)^(1/N)        Papineni et al. 2002

    Args:
        candidates, references: as above.

    Returns:
        "BLEU-1" to "BLEU-4". The corpus scores pool the counts of all images, they are no means.

    >>> round(bleu({1: ["a red cat"]}, {1: ["a red dog", "the cat"]})["BLEU-2"][0], 3)
    0.707
    """
    numbered = _numbered(candidates, references)
    if numbered is None:
        corpus, each = Bleu(ORDERS).compute_score(references, candidates, verbose=0)
        return {f"BLEU-{n}": (float(score), np.array(row)) for n, (score, row) in enumerate(zip(corpus, each), 1)}
    said, groups = numbered
    people, owner = rows_of([*chain(*groups)]), np.repeat(np.arange(len(groups)), [*map(len, groups)])
    right = _clipped(said, people, owner)  # (4, images)
    guessed = np.maximum(said.lengths - np.arange(ORDERS)[:, None], 0)
    nearest = _nearest_lengths(said.lengths, people.lengths, owner)
    each = _bleu_of(right, guessed, said.lengths, nearest)
    totals = (counts.sum(-1, keepdims=True) for counts in (right, guessed, said.lengths, nearest))
    corpus = _bleu_of(*totals)
    return {f"BLEU-{n + 1}": (float(corpus[n, 0]), each[n]) for n in range(ORDERS)}


def rouge_l(candidates: Captions, references: Captions) -> Scores:
    """How much of a reference can be read in the caption, in order and with gaps?

        P, R = max_j LCS(c, s_j) / |c|, max_j LCS(c, s_j) / |s_j|;  (1 + b^2) P R / (R + b^2 P), b = 1.2
                                                                  Lin 2004, as in the COCO evaluation

    Args:
        candidates, references: as above.

    Returns:
        "ROUGE-L", the mean over the images.

    >>> rouge_l({1: ["a red cat"]}, {1: ["a big red cat", "a red cat"]})["ROUGE-L"][0]
    1.0
    """
    each = np.array([_rouge_of(captions[0], references[image]) for image, captions in candidates.items()])
    return {"ROUGE-L": (float(each.mean()), each)}


def cider(candidates: Captions, references: Captions) -> Scores:
    """How much of what is special to its image does the caption say? CIDEr-D, see ``cider_d.CiderD``.

    Args:
        candidates, references: as above. Document frequencies are those of ``references``.

    Returns:
        "CIDEr", 0 to 10, the mean over the images.

    >>> said, people = {1: ["a cat"], 2: ["two dogs"]}, {1: ["a cat"], 2: ["some dogs"]}
    >>> round(cider(said, people)["CIDEr"][0], 3)  # (5 + 1.25) / 2
    3.125
    """
    numbered = _numbered(candidates, references)
    if numbered is None:
        corpus, each = Cider().compute_score(references, candidates)
        return {"CIDEr": (float(corpus), each)}
    said, groups = numbered
    each = CiderD(groups).score(np.arange(len(groups)), said)
    return {"CIDEr": (float(each.mean()), each)}


def _numbered(candidates: Captions, references: Captions) -> tuple[TokenRows, list[list[list[int]]]] | None:
    """Candidates, and the references of each, as ids; None if there are more words than fit."""
    texts = [[captions[0], *references[image]] for image, captions in candidates.items()]
    split = [[text.split() for text in group] for group in texts]
    words = dict.fromkeys(word for group in split for text in group for word in text)
    number = {word: place for place, word in enumerate(words, UNKNOWN + 1)}  # from 4, as in a vocabulary
    if UNKNOWN + len(number) > MAXIMUM_ID:  # four of them do not share one key
        return None
    ids = [[[number[word] for word in text] for text in group] for group in split]
    return rows_of([group[0] for group in ids]), [group[1:] for group in ids]


def _clipped(said: TokenRows, people: TokenRows, owner: np.ndarray) -> np.ndarray:
    """(4, images) n-grams of each candidate, each counted at most as often as the reference that has most of it."""
    speaker, writer = (np.repeat(np.arange(len(rows.lengths)), rows.lengths) for rows in (said, people))
    right = []
    for (mine, key), (theirs, other) in zip(ngrams(said), ngrams(people), strict=True):
        keys, dense = np.unique(np.concatenate([key, other]), return_inverse=True)
        kinds = max(len(keys), 1)
        cells, times = np.unique(speaker[mine] * kinds + dense[: len(key)], return_counts=True)
        written, counts = np.unique(writer[theirs] * kinds + dense[len(key) :], return_counts=True)
        wanted = owner[written // kinds] * kinds + written % kinds  # the same n-gram, as a cell of the candidate
        place = np.searchsorted(cells, wanted)
        there = np.append(cells, -1)[place] == wanted
        most = np.zeros(len(cells), np.int64)
        np.maximum.at(most, place[there], counts[there])
        right.append(np.bincount(cells // kinds, np.minimum(times, most), len(said.lengths)))
    return np.array(right)


def _nearest_lengths(lengths: np.ndarray, people: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """For each candidate the length of the reference nearest in length, the shorter of two."""
    order = np.lexsort((people, abs(people - lengths[owner]), owner))
    return people[order[np.unique(owner, return_index=True)[1]]]


def _bleu_of(right, guessed, length, nearest) -> np.ndarray:
    """(4, N) BLEU-1 to -4 of N counts."""
    powers = 1 / np.arange(1, ORDERS + 1)[:, None]
    precision = np.cumprod((right + _TINY) / (guessed + _SMALL), axis=0) ** powers
    ratio = (length + _TINY) / (nearest + _SMALL)
    return precision * np.exp(np.minimum(0.0, 1 - 1 / ratio))


def _rouge_of(said: str, people: Iterable[str]) -> float:
    words, bits = said.split(" "), {}
    for place, word in enumerate(words):
        bits[word] = bits.get(word, 0) | 1 << place
    precision = recall = 0.0
    for text in people:
        theirs = text.split(" ")
        common = _common(len(words), bits, theirs)
        precision, recall = max(precision, common / len(words)), max(recall, common / len(theirs))
    if not precision:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _common(length: int, bits: dict[str, int], theirs: Sequence[str]) -> int:
    """Length of the longest common subsequence, a whole row of the usual table in one number (Hyyro 2004)."""
    row = (1 << length) - 1
    for word in theirs:
        step = row & bits.get(word, 0)
        row = row + step | row - step
    return length - (row & (1 << length) - 1).bit_count()
