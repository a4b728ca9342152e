"""Captions as numbers: every n-gram is one integer, so that counting is sorting and comparing is subtraction."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch

from updown_lab.text import END, PAD

ORDERS = 4
TOKEN_BITS = 15  # four tokens make a 60-bit key: exact, so two n-grams never collide
MAXIMUM_ID = 2**TOKEN_BITS - 1
KEY_BITS = ORDERS * TOKEN_BITS
_ODD = 0x9E3779B97F4A7C1  # an odd number has an inverse modulo 2**60, so that mixing loses nothing
_INVERSE = pow(_ODD, -1, 2**KEY_BITS)
_MASK = 2**KEY_BITS - 1
LAST = 2**KEY_BITS  # behind all keys
_IMAGES_AT_ONCE = 4096
_KEYS_AT_ONCE = 2**20


@dataclass(frozen=True)
class TokenRows:
    """Captions one behind the other.

    Attributes:
        words: (N,) uint16, all words of all captions.
        first: (C + 1,) where each caption starts; the last entry is N.
    """

    words: np.ndarray
    first: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(C,) words of each caption."""
        return np.diff(self.first)

    def part(self, start: int, stop: int) -> "TokenRows":
        """Captions start..stop, without a copy of their words."""
        first = self.first[start : stop + 1]
        return TokenRows(self.words[first[0] : first[-1]], first - first[0])


def rows_of(captions: Sequence[Sequence[int]], end_token: int | None = None) -> TokenRows:
    """Lists of ids as ``TokenRows``, each with the end behind it if there is one.

    Raises:
        ValueError: an id outside 1..32767.

    >>> rows_of([[4, 5], [6]], end_token=2).words.tolist()
    [4, 5, 2, 6, 2]
    """
    tail = () if end_token is None else (end_token,)
    parts, lengths = [np.zeros(0, np.uint16)], [np.zeros(0, np.int64)]
    for start in range(0, len(captions), _IMAGES_AT_ONCE):  # bit by bit: Python's numbers are four times as wide
        some = captions[start : start + _IMAGES_AT_ONCE]
        ids = np.array([*chain.from_iterable((*caption, *tail) for caption in some)] or [1], dtype=np.int64)
        if (ids == PAD).any():
            raise ValueError("a reference holds the id 0, which is padding; give references without padding")
        check_ids(ids)
        lengths.append(np.fromiter(map(len, some), np.int64, len(some)) + len(tail))
        parts.append(ids[: lengths[-1].sum()].astype(np.uint16))
    return TokenRows(np.concatenate(parts), np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))


def rows_of_tensor(candidates, end_token: int | None = None) -> TokenRows:
    """A padded table of ids as ``TokenRows``: one transfer, if it lies on another device.

    Args:
        candidates: (B, T) ids; a caption stops at its first end (2, or ``end_token``) or padding (0).
        end_token:  the end stays in the caption, if it is given here.

    Raises:
        ValueError: not a table, or an id outside 0..32767.

    >>> rows_of_tensor([[4, 5, 2, 0], [6, 7, 8, 9]], end_token=2).lengths.tolist()
    [3, 4]
    """
    rows = as_array(candidates)
    if rows.ndim != 2:
        raise ValueError(f"candidates must be a table of ids (B, T), got {rows.shape}")
    check_ids(rows)
    ended = np.zeros((rows.shape[0], rows.shape[1] + 1), dtype=bool)
    ended[:, :-1] = rows == (END if end_token is None else end_token)
    stops = ended.copy()
    stops[:, :-1] |= rows == PAD
    stops[:, -1] = True  # a row that was cut off stops behind its last word
    lengths = stops.argmax(1)
    if end_token is not None:
        lengths += ended[np.arange(len(rows)), lengths]
    words = rows[np.arange(rows.shape[1]) < lengths[:, None]].astype(np.uint16)
    return TokenRows(words, np.concatenate([[0], np.cumsum(lengths)]))


def as_array(values) -> np.ndarray:
    """A tensor on any device, a list or an array as an array: one transfer, if it lies on another device."""
    return values if isinstance(values, np.ndarray) else torch.as_tensor(values).detach().cpu().numpy()


def check_ids(ids: np.ndarray) -> None:
    """Refuse what does not fit into 15 bits, rather than let two n-grams share a key.

    Raises:
        ValueError: an id outside 0..32767.
    """
    if ids.size and not 0 <= ids.min() <= ids.max() <= MAXIMUM_ID:
        raise ValueError(f"token ids must lie in 0..{MAXIMUM_ID}, got {ids.min()}..{ids.max()}; four ids share one "
                         "64-bit number: keep the frequent words and let the rest be <unknown>")  # fmt: skip


def ngrams(rows: TokenRows):
    """All n-grams of all captions, for n = 1, 2, 3, 4 in turn.

    Yields:
        (where, key): the place of its first word in ``rows.words``, and its mixed 60-bit key.

    >>> [len(key) for _, key in ngrams(rows_of([[4, 5, 6], [7, 8]]))]
    [5, 3, 1, 0]
    """
    words = rows.words.astype(np.int64)
    left = np.repeat(rows.first[1:], rows.lengths) - np.arange(len(words))  # words from here to the caption's end
    where, key = np.arange(len(words)), words
    for order in range(1, ORDERS + 1):
        if order > 1:
            longer = left[where] >= order
            where, key = where[longer], key[longer]
            key = key << TOKEN_BITS | words[where + order - 1]
        yield where, mix(key)


def mix(key: np.ndarray) -> np.ndarray:
    """Scatter keys evenly over 0..2**60, one to one: what is sorted by it can be found by its leading bits.

    >>> mix(np.array([1, 2, 3])).tolist()[0] == _ODD
    True
    """
    return key * _ODD & _MASK


def order_of(mixed: np.ndarray) -> np.ndarray:
    """n - 1 of each mixed key: ids start at 1, so a filled place is never zero.

    >>> order_of(mix(np.array([7, 7 << 15 | 8]))).tolist()
    [0, 1]
    """
    key = mixed * _INVERSE & _MASK
    return sum((key >> TOKEN_BITS * place > 0).astype(np.int8) for place in range(1, ORDERS))


def repeats(rows: TokenRows):
    """How often each n-gram stands in its own caption, in the order of ``ngrams``.

    Few words come twice in a caption, so the pairs of equal words are listed once, and each longer n-gram keeps
    those whose next words are equal too.

    Yields:
        (places,) int64 for n = 1, 2, 3, 4.

    >>> [times.tolist() for times in repeats(rows_of([[4, 5, 4, 5]]))]
    [[2, 2, 2, 2], [2, 1, 2], [1, 1], [1]]
    """
    words, lengths = rows.words, rows.lengths
    end = np.repeat(rows.first[1:], lengths)  # of the caption that each word is in
    reach = int(max(lengths.max(initial=1) - 1, 1))
    behind = np.zeros(len(words) + reach, words.dtype)
    behind[: max(len(words) - 1, 0)] = words[1:]
    following = np.lib.stride_tricks.as_strided(behind, (len(words), reach), behind.strides * 2)
    early, gap = np.divmod(np.flatnonzero(following == words[:, None]), reach)
    late = early + gap + 1
    kept = late < end[early]
    early, late = early[kept], late[kept]
    left = end - np.arange(len(words))
    for order in range(1, ORDERS + 1):
        if order > 1:
            kept = left[late] >= order
            early, late = early[kept], late[kept]
            kept = words[early + order - 1] == words[late + order - 1]
            early, late = early[kept], late[kept]
        times = 1 + np.bincount(early, minlength=len(left)) + np.bincount(late, minlength=len(left))
        yield times[left >= order]


class Directory:
    """Sorted keys in blocks, with a register of their leading bits: where a key stands is looked up, not searched.

    Args:
        keys:  (N,) mixed keys; those of a block lie together, sorted, and each block ends with ``LAST``.
        block: (N,) number of the block of each, ascending from 0; None for a single block.
        blocks: how many there are.

    >>> Directory(np.array([3, 2**58, 2**59, LAST])).find(np.array([2**58, 4, 2**59])).tolist()
    [1, -1, 2]
    """

    def __init__(self, keys: np.ndarray, block: np.ndarray | None = None, blocks: int = 1):
        kept = (len(keys) // max(blocks, 1)).bit_length()  # one key a drawer, or a little less
        self._keys, self._shift, self._drawers = keys, KEY_BITS - kept, 2**kept + 1  # the last drawer is for LAST
        first = np.zeros(blocks * self._drawers + 1, np.int32)
        for start in range(0, len(keys), _KEYS_AT_ONCE):  # helpers for millions of keys would be large
            part = slice(start, start + _KEYS_AT_ONCE)
            drawer = keys[part] >> self._shift
            drawer = drawer if block is None else drawer + block[part] * self._drawers
            sizes = np.bincount(drawer - drawer[0])
            first[drawer[0] + 1 : drawer[0] + 1 + len(sizes)] += sizes
        self._first = np.cumsum(first, out=first)[:-1]

    def find(self, wanted: np.ndarray, block: np.ndarray | None = None) -> np.ndarray:
        """(M,) keys, and the block to look into, to their places; -1 for a key that is not there."""
        drawer = wanted >> self._shift
        place = self._first[drawer if block is None else drawer + block * self._drawers]
        ahead = np.flatnonzero(self._keys[place] < wanted)
        while len(ahead):  # as many rounds as the fullest drawer has keys; LAST ends the search
            place[ahead] += 1
            ahead = ahead[self._keys[place[ahead]] < wanted[ahead]]
        return np.where(self._keys[place] == wanted, place, -1)


def ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All numbers of the ranges first..last one after the other, and which range each is from.

    >>> [part.tolist() for part in ranges(np.array([3, 9]), np.array([5, 10]))]
    [[3, 4, 9], [0, 0, 1]]
    """
    sizes = last - first
    which = np.repeat(np.arange(len(first)), sizes)
    return np.arange(len(which)) + (first - np.cumsum(sizes) + sizes)[which], which
