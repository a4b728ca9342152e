"""The references, counted once and laid out by image: a caption is compared by looking up what it shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from updown_lab.metrics.document_frequencies import DocumentFrequencies
from updown_lab.metrics.ngrams import (
    LAST,
    ORDERS,
    Directory,
    TokenRows,
    as_array,
    ngrams,
    order_of,
    ranges,
    repeats,
    rows_of,
    rows_of_tensor,
)

_IMAGES_AT_ONCE = 2048


@dataclass(frozen=True)
class Matches:
    """What candidates share with the references of their images.

    An *n-gram* here is one place of a candidate. A *cell* is order * B + candidate, with order 0 to 3 for one to four
    words; n-grams are listed cell by cell.

    Attributes:
        images:  (B,) image of each candidate.
        lengths: (B,) its words.
        cell:    (N,) of each n-gram.
        times:   (N,) how often it stands in its candidate: so often it comes in this list.
        rarity:  (N,) its idf.
        shared:  (S,) the n-grams that a reference of their image holds too.
        theirs:  (S, R) how often each reference of the image holds them; 0 beyond an image's own references.
    """

    images: np.ndarray
    lengths: np.ndarray
    cell: np.ndarray
    times: np.ndarray
    rarity: np.ndarray
    shared: np.ndarray
    theirs: np.ndarray


class Shelf:
    """References by image, each n-gram with the captions that hold it.

    Args:
        references:  for each image, the ids of its reference captions, without padding or end.
        end_token:   None, or the id that ends a caption and counts as a word.
        frequencies: of another corpus; None counts these references.

    Attributes:
        frequencies: how many images mention each n-gram.
        captions:    (images,) how many references each image has.
        first:       (images + 1,) its first reference.
        lengths:     (captions,) words of each reference, the end included if it counts.
        norms:       (4, captions) length of each reference's tf-idf vector; 1 where it is empty.

    Raises:
        ValueError: no image, an image without references, an id outside 1..32767, or frequencies with the end counted
            when it should not be (or the other way round).

    >>> shelf = Shelf([[[4, 5, 6], [4, 7]], [[4]]])
    >>> shelf.match([0], [[4, 7, 2]]).theirs.tolist()  # "4", "7" and "4 7" in the two captions of image 0
    [[1, 1], [0, 1], [0, 1]]
    """

    def __init__(
        self,
        references: Sequence[Sequence[Sequence[int]]],
        end_token: int | None = None,
        frequencies: DocumentFrequencies | None = None,
    ):
        empty = [image for image, captions in enumerate(references) if not len(captions)]
        if empty or not len(references):
            raise ValueError(f"each image needs at least one reference; none for images {empty[:5] or '(no image)'}")
        self.end_token = end_token
        self.captions = np.fromiter(map(len, references), np.int64, len(references))
        self.first = np.concatenate([[0], np.cumsum(self.captions)])
        rows = rows_of([caption for captions in references for caption in captions], end_token)
        self.lengths = rows.lengths
        if frequencies is None:
            self.frequencies = DocumentFrequencies.count_rows(rows, self.captions, end_token)
        else:
            _same_end(frequencies.end_token, end_token)
            self.frequencies = frequencies
        self._lay_out(rows)

    @property
    def images(self) -> int:
        """How many images have references here."""
        return len(self.captions)

    def _lay_out(self, rows: TokenRows) -> None:
        """Sort all n-grams by image, then key, then caption, and weigh the captions."""
        self.norms, parts = np.ones((ORDERS, len(self.lengths))), []
        for start in range(0, self.images, _IMAGES_AT_ONCE):
            captions = self.captions[start : start + _IMAGES_AT_ONCE]
            first, last = self.first[start], self.first[start + len(captions)]
            image, caption, key, count, times = _entries(rows.part(first, last), captions, self.frequencies)
            cell = order_of(key) * (last - first) + caption
            self.norms[:, first:last] = norms(cell, (times * self.frequencies.rarities[count]) ** 2, last - first)
            parts.append(_rows(image, caption, key, count, times, captions))
        self._key, self._count, self._held, sizes = map(np.concatenate, zip(*parts, strict=True))
        self._start = np.concatenate([[0], np.cumsum(sizes)])  # (images + 1,) first n-gram of each image
        self._shelf = np.concatenate([[0], np.cumsum(sizes * self.captions)])  # and where its counts are
        self._held = np.append(self._held, np.zeros(self.captions.max(), self._held.dtype))

    def asked(self, image_rows, candidates) -> tuple[np.ndarray, TokenRows]:
        """What ``match`` takes, checked: (B,) images and B captions. Passes through what it gave before."""
        rows = candidates if isinstance(candidates, TokenRows) else rows_of_tensor(candidates, self.end_token)
        images = as_array(image_rows).reshape(-1).astype(np.int64)
        if len(rows.lengths) != len(images):
            raise ValueError(f"candidates must be ({len(images)}, T) like image_rows, got {len(rows.lengths)} rows")
        if len(images) and not 0 <= images.min() <= images.max() < self.images:
            raise IndexError(f"image_rows must lie in 0..{self.images - 1}, got {images.min()}..{images.max()}")
        return images, rows

    def match(self, image_rows, candidates) -> Matches:
        """Find what each candidate shares with the references of its image.

        Args:
            image_rows: (B,) index of each caption's image in ``references``; an image may come often.
            candidates: (B, T) ids; a caption stops at its first END (2) or padding (0). Tensor or array.

        Raises:
            ValueError: shapes disagree or an id is outside 0..32767.
            IndexError: there is no such image.
        """
        images, rows = self.asked(image_rows, candidates)
        lengths = rows.lengths
        found = list(ngrams(rows))
        row_of = np.repeat(np.arange(len(lengths)), lengths)
        row = np.concatenate([row_of[where] for where, _ in found])
        cell = row + np.repeat(np.arange(ORDERS) * len(lengths), [len(key) for _, key in found])
        times = np.concatenate(list(repeats(rows)))
        return Matches(
            images, lengths, cell, times, *self._find(images, row, np.concatenate([key for _, key in found]))
        )

    def _find(self, images: np.ndarray, row: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, ...]:
        """``rarity``, ``shared`` and ``theirs`` of the matches."""
        wanted, place = np.unique(images, return_inverse=True)
        entry, block = ranges(self._start[wanted], self._start[wanted + 1])
        hit = Directory(self._key[entry], block, len(wanted)).find(key, place[row])
        strange, shared = np.flatnonzero(hit < 0), np.flatnonzero(hit >= 0)
        hit = entry[hit[shared]]
        count = np.empty(len(key), np.int32)
        count[shared], count[strange] = self._count[hit], self.frequencies.of(key[strange])

        image = images[row[shared]]
        most = np.arange(self.captions[wanted].max(initial=1))
        held = self._shelf[image] + (hit - self._start[image]) * self.captions[image]
        theirs = self._held[held[:, None] + most]
        if len(wanted) and self.captions[wanted].min() < len(most):
            theirs[most >= self.captions[image][:, None]] = 0  # these are of the next n-gram
        return self.frequencies.rarities[count], shared, theirs


def _entries(rows: TokenRows, captions: np.ndarray, frequencies: DocumentFrequencies) -> tuple[np.ndarray, ...]:
    """Each different n-gram of each caption, sorted by image, key and caption: (image, caption, key, count, times)."""
    first = np.cumsum(captions) - captions
    image_of = np.repeat(np.arange(len(captions)), captions)
    caption_of = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
    found = list(ngrams(rows))
    caption = np.concatenate([caption_of[where] for where, _ in found])
    keys, rank = np.unique(np.concatenate([key for _, key in found]), return_inverse=True)
    image, most = image_of[caption], int(captions.max())
    entry, times = np.unique((image * len(keys) + rank) * most + caption - first[image], return_counts=True)
    entry, local = np.divmod(entry, most)
    image, rank = np.divmod(entry, max(len(keys), 1))
    return image, first[image] + local, keys[rank], frequencies.of(keys)[rank], times


def _rows(image, caption, key, count, times, captions: np.ndarray) -> tuple[np.ndarray, ...]:
    """One row an image and n-gram, with how often each caption holds it; each image ends with the row of LAST."""
    fresh = (np.diff(key, prepend=-1) != 0) | (np.diff(image, prepend=-1) != 0)
    head = np.flatnonzero(fresh)
    sizes = np.bincount(image[head], minlength=len(captions)) + 1
    row = np.arange(len(head)) + image[head]  # a row is left out at the end of each image
    keys, counts = np.full(sizes.sum(), LAST), np.zeros(sizes.sum(), np.int32)
    keys[row], counts[row] = key[head], count[head]
    shelf = np.cumsum(sizes * captions) - sizes * captions
    start = np.cumsum(sizes) - sizes
    first = np.cumsum(captions) - captions
    held = np.zeros((sizes * captions).sum(), np.min_scalar_type(int(times.max(initial=0))))
    row = row[np.cumsum(fresh) - 1]
    held[shelf[image] + (row - start[image]) * captions[image] + caption - first[image]] = times
    return keys, counts, held, sizes


def norms(cell: np.ndarray, squares: np.ndarray, rows: int) -> np.ndarray:
    """(4, rows) length of each vector; 1 where it is empty, because 0/1 is the 0 that is meant.

    Args:
        cell:    (N,) order * rows + row of each entry.
        squares: (N,) its square.
        rows:    how many.

    >>> norms(np.array([0, 0, 3]), np.array([9.0, 16.0, 4.0]), 2).tolist()
    [[5.0, 1.0], [1.0, 2.0], [1.0, 1.0], [1.0, 1.0]]
    """
    sums = np.bincount(cell, squares, rows * ORDERS).reshape(ORDERS, rows)
    return np.sqrt(np.where(sums > 0, sums, 1.0))


def _same_end(theirs: int | None, ours: int | None) -> None:
    if theirs != ours:
        raise ValueError(f"the document frequencies were counted with end token {theirs}, the reward has {ours}; "
                         "count them with the same: DocumentFrequencies.count(references, end_token)")  # fmt: skip
