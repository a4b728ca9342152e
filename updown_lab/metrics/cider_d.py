"""CIDEr-D on token ids: the reward of self-critical training, without strings and without Java."""

from collections.abc import Sequence

import numpy as np
import torch

from updown_lab.text import END, PAD

ORDERS = 4
SIGMA = 6.0
_TOKEN_BITS = 15  # four tokens make a 60-bit key: exact, so two n-grams never collide
MAXIMUM_ID = 2**_TOKEN_BITS - 1


class CiderD:
    """How much a caption says what people said, counted in rare n-grams.

    Each n-gram (n = 1 to 4) weighs its count times how few images mention it; a
    caption scores the cosine with each reference. Two things make it the "-D": a word
    repeated more often than the reference has it earns nothing (min), and a
    caption of another length is damped.

        CIDEr-D(c, S) = 10/4 sum_n mean_j exp(-(l_c - l_j)^2 / (2 sigma^2))
                        * min(g_n(c), g_n(s_j)) . g_n(s_j) / (|g_n(c)| |g_n(s_j)|)
                                                  Vedantam et al. 2015, Sec. 6; sigma = 6

    The numbers equal those of pycocoevalcap's ``Cider``, which is CIDEr-D in spite of its name. The
    document frequencies come from ``references``: a score means something only together with that corpus.

    Args:
        references: for each image, the ids of its reference captions, without padding or end.
        end_token: None, or the id that ends a caption. With it, every reference gets that id appended and a
            candidate keeps it if it has one, so that stopping in the right place is worth something:
            without it, training on this reward likes captions that end in "with a".

    Raises:
        ValueError: no image, an image without references, or an id outside 1..32767.

    >>> reward = CiderD([[[4, 5, 6]], [[7, 8, 9]]])
    >>> reward.score([0, 1], [[4, 5, 6, 2], [7, 5, 2, 0]]).round(3).tolist()
    [7.5, 1.007]
    """

    def __init__(self, references: Sequence[Sequence[Sequence[int]]], end_token: int | None = None):
        empty = [image for image, captions in enumerate(references) if not len(captions)]
        if empty or not len(references):
            raise ValueError(f"each image needs at least one reference; none for images {empty[:5] or '(no image)'}")
        self.images = len(references)
        self.end_token = end_token
        self._captions = np.array([len(captions) for captions in references])  # (images,)
        self._count_references([caption for captions in references for caption in captions])

    def _count_references(self, captions: list[Sequence[int]]) -> None:
        """Count each n-gram once, for all the calls of ``score`` to come."""
        tail = () if self.end_token is None else (self.end_token,)
        rows, lengths = _pad([(*caption, *tail) for caption in captions])
        image_of = np.repeat(np.arange(self.images), self._captions)
        caption, key = _ngrams(rows, lengths)
        self._keys, slot = np.unique(key, return_inverse=True)  # the table of known n-grams
        image_slot = np.unique(image_of[caption] * len(self._keys) + slot)
        frequency = np.bincount(image_slot % len(self._keys), minlength=len(self._keys))
        self._rarity = np.log(self.images) - np.log(frequency)
        self._order = _order(self._keys)

        caption, slot, times = _counts(caption, slot, len(self._keys))
        weight = times * self._rarity[slot]
        norm = _norms(caption, self._order[slot], weight, len(captions))
        # Sorted by image, then n-gram: the entries of one image lie together, ready for a search.
        sequence = np.lexsort((slot, image_of[caption]))
        self._slot, self._caption = slot[sequence].astype(np.int32), caption[sequence].astype(np.int32)
        self._times = times[sequence].astype(np.int16)
        self._first = np.searchsorted(image_of[caption][sequence], np.arange(self.images + 1))
        self._norm, self._lengths = norm, lengths

    def score(self, image_rows, candidates) -> np.ndarray:
        """Score one caption a row.

        Args:
            image_rows: (B,) index of each caption's image in ``references``; an image may come often.
            candidates: (B, T) ids; a caption stops at its first END (2) or padding (0). Tensor or array.

        Returns:
            (B,) float64, 0 (nothing in common) to 10.

        Raises:
            ValueError: shapes disagree or an id is outside 0..32767.
            IndexError: there is no such image.
        """
        image_rows = torch.as_tensor(image_rows).cpu().numpy().reshape(-1).astype(np.int64)
        rows = torch.as_tensor(candidates).cpu().numpy()
        if rows.ndim != 2 or len(rows) != len(image_rows):
            raise ValueError(f"candidates must be ({len(image_rows)}, T) like image_rows, got {rows.shape}")
        if len(rows) and not 0 <= image_rows.min() <= image_rows.max() < self.images:
            raise IndexError(f"image_rows must lie in 0..{self.images - 1}, got up to {image_rows.max()}")
        rows = np.pad(rows, ((0, 0), (0, 1)), constant_values=PAD)  # a row that was cut off stops here
        lengths = _lengths(rows, self.end_token)
        row, slot, weight, norm = self._weigh(rows, lengths)

        images, place = np.unique(image_rows, return_inverse=True)
        entry, entry_place = _ranges(self._first[images], self._first[images + 1])
        shelf = entry_place * len(self._keys) + self._slot[entry]  # ascending: see _count_references
        wanted = place[row] * len(self._keys) + slot
        first, last = np.searchsorted(shelf, wanted, "left"), np.searchsorted(shelf, wanted, "right")
        found, asked = _ranges(first, last)  # each pair: one n-gram shared with one reference
        entry, row, slot, weight = entry[found], row[asked], slot[asked], weight[asked]

        order, caption = self._order[slot], self._caption[entry]
        reference = self._times[entry] * self._rarity[slot]
        cosine = np.minimum(weight, reference) * reference / (norm[row, order] * self._norm[caption, order])
        gap = lengths[row] - self._lengths[caption]
        damped = cosine * np.exp(-(gap**2) / (2 * SIGMA**2))
        return np.bincount(row, damped, len(rows)) * 10 / ORDERS / self._captions[image_rows]

    def _weigh(self, rows: np.ndarray, lengths: np.ndarray):
        """Entries (row, slot, weight) of the n-grams the corpus knows, and the norms (B, 4) over all n-grams."""
        row, key = _ngrams(rows, lengths)
        keys, number = np.unique(key, return_inverse=True)
        row, number, times = _counts(row, number, len(keys))
        slot = np.searchsorted(self._keys, keys).clip(max=max(len(self._keys) - 1, 0))
        known = self._keys[slot] == keys if len(self._keys) else np.zeros(len(keys), bool)
        # An n-gram nobody wrote counts as one that a single image has: it cannot match, but it lengthens the vector.
        rarity = np.full(len(keys), np.log(self.images))
        rarity[known] = self._rarity[slot[known]]
        weight = times * rarity[number]
        norm = _norms(row, _order(keys)[number], weight, len(rows))
        kept = known[number]
        return row[kept], slot[number[kept]], weight[kept], norm


def _pad(captions: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(caption) for caption in captions])
    rows = np.zeros((len(captions), lengths.max()), dtype=np.int64)
    words = np.array([word for caption in captions for word in caption], dtype=np.int64)
    if (words == PAD).any():
        raise ValueError("a reference holds the id 0, which is padding; give references without padding")
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = words
    return rows, lengths


def _lengths(rows: np.ndarray, end_token: int | None) -> np.ndarray:
    """Words of each row before its first end or padding (the last column is padding); the end included if it counts."""
    stop = END if end_token is None else end_token
    lengths = ((rows == stop) | (rows == PAD)).argmax(1)
    if end_token is not None:
        lengths += rows[np.arange(len(rows)), lengths] == stop
    return lengths


def _ngrams(rows: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every n-gram of every row, as (row, key); a key holds its tokens 15 bits each."""
    rows = rows.astype(np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() <= MAXIMUM_ID:
        raise ValueError(f"token ids must lie in 0..{MAXIMUM_ID}, got {rows.min()}..{rows.max()}")
    found = []
    key = np.zeros((len(rows), rows.shape[1] + 1), dtype=np.int64)
    for order in range(1, min(ORDERS, rows.shape[1]) + 1):
        key = key[:, :-1] << _TOKEN_BITS | rows[:, order - 1 :]
        row, start = np.nonzero(np.arange(key.shape[1]) <= (lengths - order)[:, None])
        found.append((row, key[row, start]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return tuple(np.concatenate(part) for part in zip(*found, strict=False))


def _order(keys: np.ndarray) -> np.ndarray:
    """n - 1 of each key: ids start at 1, so a filled place is never zero."""
    return sum((keys >> _TOKEN_BITS * place > 0).astype(np.int64) for place in range(1, ORDERS))


def _counts(row: np.ndarray, slot: np.ndarray, slots: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each row holds each n-gram: (row, slot, times), sorted."""
    pairs, times = np.unique(row * slots + slot, return_counts=True)
    return (*np.divmod(pairs, max(slots, 1)), times)


def _norms(row: np.ndarray, order: np.ndarray, weight: np.ndarray, rows: int) -> np.ndarray:
    """(rows, 4) length of each vector; 1 where it is empty, because 0/1 is the 0 that is meant."""
    squares = np.bincount(row * ORDERS + order, weight**2, rows * ORDERS).reshape(rows, ORDERS)
    return np.sqrt(np.where(squares > 0, squares, 1.0))


def _ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All numbers of the ranges first..last one after the other, and which range each is from."""
    which = np.repeat(np.arange(len(first)), last - first)
    start = np.cumsum(last - first) - (last - first)
    return np.arange(len(which)) - start[which] + first[which], which
