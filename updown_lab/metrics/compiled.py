"""The inner loop of CIDEr-D, compiled where numba is installed (``pip install "updown_lab[fast]"``).

The same sums as ``cider_d.by_numpy``, sooner: what a loop says in a line takes numpy sixty passes.
"""

from functools import cache

import numpy as np

from updown_lab.metrics.ngrams import _MASK, _ODD, ORDERS, TOKEN_BITS, TokenRows
from updown_lab.metrics.shelf import Shelf


def by_compiled_loop(shelf: Shelf, images: np.ndarray, rows: TokenRows) -> tuple[np.ndarray, np.ndarray] | None:
    """What each caption shares with each reference, and its own weight; None where numba is not installed.

    Args:
        shelf:  the references.
        images: (B,) int64, image of each caption, in range.
        rows:   B captions.

    Returns:
        products (4, B, R), with 0 beyond an image's own references; squares (4, B) of the caption's tf-idf vectors.
    """
    loop = _loop()
    if loop is None:
        return None
    products = np.zeros((ORDERS, len(images), shelf.captions[images].max(initial=1)))
    squares, most = np.zeros((ORDERS, len(images))), ORDERS * len(rows.words)
    strange, cells, many = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most)
    rarities = shelf.frequencies.rarities
    found = loop(rows.words, rows.first, images, shelf._key, shelf._count, shelf._held, shelf._start, shelf._shelf,
                 shelf.captions, rarities, products, squares, strange, cells, many)  # fmt: skip
    # What no reference of the image holds is looked up in the whole corpus, all at once: memory is slow one by one.
    weights = (many[:found] * rarities[shelf.frequencies.of(strange[:found])]) ** 2
    return products, squares + np.bincount(cells[:found], weights, squares.size).reshape(squares.shape)


@cache
def _loop():
    try:
        from numba import njit
    except ImportError:
        return None
    look_up, weigh = njit(cache=True)(_look_up), njit(cache=True)(_weigh)

    @njit
    def gather(words, first, images, keys, counts, held, start, shelf, captions, rarities,
               products, squares, strange, cells, many):  # fmt: skip
        found = 0
        for row in range(len(images)):
            image, said = images[row], words[first[row] : first[row + 1]]
            references = captions[image]
            for order in range(ORDERS):
                for place in range(len(said) - order):
                    times, key = weigh(said, place, order)
                    if times == 0:
                        continue
                    entry = look_up(keys, start[image], start[image + 1] - 1, key)
                    if entry < 0:
                        strange[found], cells[found], many[found] = key, order * len(images) + row, times
                        found += 1
                        continue
                    rarity = rarities[counts[entry]]
                    squares[order, row] += (times * rarity) ** 2
                    theirs = shelf[image] + (entry - start[image]) * references
                    for one in range(references):
                        both = held[theirs + one]
                        products[order, row, one] += min(times, both) * both * rarity**2
        return found

    return gather


def _look_up(keys, low, high, key):
    """Where a key stands in keys[low:high], which are sorted and followed by a last one; -1 if it does not."""
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if keys[low] == key else -1


def _weigh(words, place, order):
    """How often the n-gram that starts here stands in its caption, and its mixed key; 0 if it stood there before."""
    times = 1
    for other in range(len(words) - order):
        if words[other] != words[place] or other == place:
            continue
        step = 1
        while step <= order and words[other + step] == words[place + step]:
            step += 1
        if step > order:
            if other < place:
                return 0, np.int64(0)
            times += 1
    key = np.int64(0)
    for step in range(order + 1):
        key = key << TOKEN_BITS | np.int64(words[place + step])
    return times, key * _ODD & _MASK
