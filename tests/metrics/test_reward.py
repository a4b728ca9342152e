"""The mixed reward: BLEU-4 equal to pycocoevalcap's, and what a weight and the end do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pycocoevalcap.bleu.bleu_scorer import BleuScorer

from updown_lab.metrics.cider_d import CiderD
from updown_lab.metrics.document_frequencies import DocumentFrequencies
from updown_lab.metrics.reward import Reward, bleu_4

captions = some.lists(some.integers(4, 8), min_size=1, max_size=9)
END = 2


def theirs(candidate, references, end: bool) -> float:
    """pycocoevalcap on the same ids as words."""
    tail = [END] if end else []
    text = lambda ids: " ".join(map(str, [*ids, *tail]))  # noqa: E731
    scorer = BleuScorer(n=4)
    scorer += (text(candidate), [text(reference) for reference in references])
    return scorer.compute_score(option="closest")[1][3][0]


def padded(rows, end: bool):
    width = max(map(len, rows)) + 1
    return np.array([[*row, *([END] if end else []), *[0] * width][:width] for row in rows])


@settings(max_examples=150, deadline=None)
@given(some.lists(some.tuples(captions, some.lists(captions, min_size=1, max_size=4)), min_size=1, max_size=4),
       some.booleans())  # fmt: skip
def test_bleu_is_pycocoevalcaps(pairs, end):
    candidates, references = zip(*pairs, strict=True)
    reward = Reward(references, END if end else None, bleu=1.0)

    matches = reward.shelf.match(range(len(pairs)), padded(candidates, end))

    expected = [theirs(*pair, end) for pair in pairs]
    np.testing.assert_allclose(bleu_4(matches, reward.shelf), expected, rtol=1e-9, atol=1e-12)


def test_a_word_said_too_often_counts_as_often_as_a_reference_has_it():
    reward = Reward([[[4, 4, 5, 6], [4, 7]]], bleu=1.0)
    matches = reward.shelf.match([0], [[4, 4, 4, 4]])

    precisions = np.array([2 / 4, 1 / 3, 1e-15 / 2, 1e-15 / 1])
    assert bleu_4(matches, reward.shelf)[0] == pytest.approx(np.prod(precisions) ** 0.25, rel=1e-6)


def test_the_reward_is_cider_d_plus_the_weight_times_bleu():
    references = [[[4, 5, 6, 7], [4, 5, 8]], [[9, 5]]]
    said = [[4, 5, 6, 7, 2], [9, 5, 2, 0, 0]]
    plain, half = (Reward(references, bleu=weight).score([0, 1], said) for weight in (0.0, 0.5))
    matches = Reward(references).shelf.match([0, 1], said)

    np.testing.assert_array_equal(plain, CiderD(references).score([0, 1], said))
    np.testing.assert_allclose(half - plain, 0.5 * bleu_4(matches, Reward(references).shelf))
    assert half[0] - plain[0] == pytest.approx(0.5)


def test_with_the_end_a_caption_that_stops_in_with_a_earns_less():
    a, cat, withs, hat, dog = 4, 5, 6, 7, 8
    references = [[[a, cat, withs, a, hat]], [[a, dog]]]
    stops, goes_on = [a, cat, withs, a, 2], [a, cat, 2, 0, 0]

    loss = {}
    for end in (None, END):
        rewarded = Reward(references, end).score([0, 0], [stops, goes_on])
        loss[end] = rewarded[0] - rewarded[1]

    assert loss[None] > loss[END]


def test_wrong_weights_and_frequencies_are_refused():
    with pytest.raises(ValueError, match="0 or more, got -1"):
        Reward([[[4]]], bleu=-1)
    with pytest.raises(ValueError, match="counted with end token None, the reward has 2"):
        Reward([[[4]]], END, frequencies=DocumentFrequencies.count([[[4]]]))
