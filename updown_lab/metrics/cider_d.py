"""CIDEr-D on token ids: the reward of self-critical training, without strings and without Java."""

from collections.abc import Sequence

import numpy as np

from updown_lab.metrics.compiled import by_compiled_loop
from updown_lab.metrics.document_frequencies import DocumentFrequencies
from updown_lab.metrics.ngrams import ORDERS, TokenRows
from updown_lab.metrics.shelf import Matches, Shelf

SIGMA = 6.0


class CiderD:
    """How much a caption says what people said, counted in rare n-grams.

    Each n-gram (n = 1 to 4) weighs its count times how few images mention it; a
    caption scores the cosine with each reference. Two things make it the "-D": a word
    repeated more often than the reference has it earns nothing (min), and a
    caption of another length is damped.

        CIDEr-D(c, S) = 10/4 sum_n mean_j exp(-(l_c - l_j)^2 / (2 sigma^2))
                        * min(g_n(c), g_n(s_j)) . g_n(s_j) / (|g_n(c)| |g_n(s_j)|)
                                                  Vedantam et al. 2015, on gameability; sigma = 6

    The numbers equal those of pycocoevalcap's ``Cider``, which clips and damps too: it is CIDEr-D in spite of its
    name (without stems, lengths counted in bigrams), and so is what papers on COCO call CIDEr. A score means
    something only together with the corpus of its document frequencies.

    Args:
        references:  for each image, the ids of its reference captions, without padding or end.
        end_token:   None, or the id that ends a caption. With it, every reference gets that id appended and a
            candidate keeps it if it has one, so that stopping in the right place is worth something:
            without it, training on this reward likes captions that end in "with a".
        frequencies: of another corpus (``DocumentFrequencies.load``); None counts ``references``.

    Raises:
        ValueError: no image, an image without references, an id outside 1..32767, or frequencies of captions that
            end otherwise.

    >>> reward = CiderD([[[4, 5, 6]], [[7, 8, 9]]])
    >>> reward.score([0, 1], [[4, 5, 6, 2], [7, 5, 2, 0]]).round(3).tolist()
    [7.5, 1.007]
    """

    def __init__(
        self,
        references: Sequence[Sequence[Sequence[int]]],
        end_token: int | None = None,
        frequencies: DocumentFrequencies | None = None,
    ):
        self.shelf = Shelf(references, end_token, frequencies)

    def score(self, image_rows, candidates) -> np.ndarray:
        """Score one caption a row.

        Args:
            image_rows: (B,) index of each caption's image in ``references``; an image may come often.
            candidates: (B, T) ids; a caption stops at its first END (2) or padding (0). Tensor or array; one on
                another device is fetched in one transfer.

        Returns:
            (B,) float64, 0 (nothing in common) to 10.

        Raises:
            ValueError: shapes disagree or an id is outside 0..32767.
            IndexError: there is no such image.
        """
        return cider_d_of(self.shelf, *self.shelf.asked(image_rows, candidates))


def cider_d_of(shelf: Shelf, images: np.ndarray, rows: TokenRows) -> np.ndarray:
    """The scores, (B,), of captions that ``Shelf.asked`` has checked."""
    sums = by_compiled_loop(shelf, images, rows) or by_numpy(shelf.match(images, rows))
    return _damped_cosine(shelf, images, rows.lengths, *sums)


def by_numpy(matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """What each caption shares with each reference, and its own weight.

    An n-gram that stands twice in a caption is listed twice, so that each place carries its share, weight / times.

    Args:
        matches: of the candidates.

    Returns:
        products (4, B, R), with 0 beyond an image's own references; squares (4, B) of the caption's tf-idf vectors.
    """
    rows, shared, rarity = len(matches.images), matches.shared, matches.rarity
    squares = np.bincount(matches.cell, matches.times * rarity**2, ORDERS * rows).reshape(ORDERS, rows)
    number = np.arange(matches.theirs.shape[1])
    clipped = np.minimum(matches.times[shared, None], matches.theirs) * matches.theirs
    products = clipped * (rarity[shared] ** 2 / matches.times[shared])[:, None]
    cell = matches.cell[shared, None] * len(number) + number
    products = np.bincount(cell.ravel(), products.ravel(), squares.size * len(number))
    return products.reshape(ORDERS, rows, len(number)), squares


def _damped_cosine(shelf: Shelf, images, lengths, products, squares) -> np.ndarray:
    own = np.sqrt(np.where(squares > 0, squares, 1.0))
    number, captions = np.arange(products.shape[2]), shelf.captions[images][:, None]
    reference = shelf.first[images][:, None] + np.minimum(number, captions - 1)  # products are 0 beyond
    cosine = (products / own[..., None] / shelf.norms[:, reference]).sum(0)
    gap = lengths[:, None] - shelf.lengths[reference]
    return (cosine * np.exp(-(gap**2) / (2 * SIGMA**2)) / captions).sum(1) * 10 / ORDERS
