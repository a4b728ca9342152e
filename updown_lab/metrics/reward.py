"""What self-critical training is paid in: CIDEr-D, perhaps with some BLEU-4. Both read the same matches."""

from collections.abc import Sequence

import numpy as np

from updown_lab.metrics.cider_d import cider_d_of
from updown_lab.metrics.document_frequencies import DocumentFrequencies
from updown_lab.metrics.ngrams import ORDERS
from updown_lab.metrics.shelf import Matches, Shelf

_TINY, _SMALL = 1e-15, 1e-9  # as in pycocoevalcap: a sentence without a pair of words in common is worth almost nothing


class Reward:
    """The reward of captions given as ids: CIDEr-D, plus ``bleu`` times BLEU-4.

    The end of a sentence is a word of both, if ``end_token`` is given. Then a caption that stops in "with a" earns less
    than one that ends where people end. Without it nothing is lost by stopping early, what would come next can only
    cost, and captions learn to end in "with a".

    Args:
        references:  for each image, the ids of its reference captions, without padding or end.
        end_token:   None, or the id that ends a caption and counts as a word.
        bleu:        weight of BLEU-4 (0 to 1), beside CIDEr-D (0 to 10) with weight 1.
        frequencies: of another corpus; None counts these references.

    Raises:
        ValueError: no image, an image without references, an id outside 1..32767, a negative weight, or frequencies
            that count the end when the reward does not (or the other way round).

    >>> reward = Reward([[[4, 5, 6, 7]], [[8, 9, 10, 11]]], bleu=2.0)
    >>> reward.score([0, 1], [[4, 5, 6, 7], [4, 5, 6, 7]]).round(6).tolist()      # 10 + 2 x 1, and nothing
    [12.0, 0.0]
    """

    def __init__(
        self,
        references: Sequence[Sequence[Sequence[int]]],
        end_token: int | None = None,
        bleu: float = 0.0,
        frequencies: DocumentFrequencies | None = None,
    ):
        if bleu < 0:
            raise ValueError(f"the weight of BLEU-4 is 0 or more, got {bleu}")
        self.shelf, self.bleu = Shelf(references, end_token, frequencies), bleu

    def score(self, image_rows, candidates) -> np.ndarray:
        """Score one caption a row; arguments and errors as for ``CiderD.score``.

        Returns:
            (B,) float64.
        """
        images, rows = self.shelf.asked(image_rows, candidates)
        total = cider_d_of(self.shelf, images, rows)
        return total + self.bleu * bleu_4(self.shelf.match(images, rows), self.shelf) if self.bleu else total


def bleu_4(matches: Matches, shelf: Shelf) -> np.ndarray:
    """BLEU-4 of single captions: the geometric mean of four clipped precisions, times the brevity penalty.

        BLEU = min(1, e^(1 - r/c)) (p_1 p_2 p_3 p_4)^(1/4)          Papineni et al. 2002, Sec. 2.3

    c is the caption's length, r that of the reference closest to it (the shorter one of two as close).

    Args:
        matches: of the candidates.
        shelf:   that they were matched with.

    Returns:
        (B,) float64, 0 to 1; pycocoevalcap's number for a caption alone, its smoothing included.
    """
    rows, times = len(matches.images), matches.times[matches.shared]
    clipped = np.minimum(times, matches.theirs.max(1, initial=0)) / times  # an n-gram is listed as often as it stands
    right = np.bincount(matches.cell[matches.shared], clipped, ORDERS * rows).reshape(ORDERS, rows)
    said = np.maximum(matches.lengths - np.arange(ORDERS)[:, None], 0)
    precision = np.prod((right + _TINY) / (said + _SMALL), 0) ** (1 / ORDERS)
    ratio = (matches.lengths + _TINY) / (_closest(matches, shelf) + _SMALL)
    return precision * np.exp(np.minimum(0.0, 1 - 1 / ratio))


def _closest(matches: Matches, shelf: Shelf) -> np.ndarray:
    """(B,) length of the reference that is closest to each candidate's."""
    captions = shelf.captions[matches.images][:, None]
    number = np.minimum(np.arange(shelf.captions[matches.images].max(initial=1)), captions - 1)
    lengths = shelf.lengths[shelf.first[matches.images][:, None] + number]
    away = np.abs(lengths - matches.lengths[:, None])
    best = np.where(away == away.min(1, keepdims=True), lengths, np.iinfo(lengths.dtype).max)
    return best.min(1)
