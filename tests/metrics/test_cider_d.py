"""CIDEr-D on ids equals the string version that papers report."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider_scorer import CiderScorer

from updown_lab.metrics.cider_d import CiderD, by_numpy
from updown_lab.metrics.compiled import by_compiled_loop
from updown_lab.metrics.ngrams import MAXIMUM_ID
from updown_lab.metrics.shelf import Shelf
from updown_lab.text import pad_ids


def by_strings(references, candidates):
    """The slower obvious method: pycocoevalcap on the ids written as words, one candidate an image."""
    scorer = CiderScorer()
    for captions, candidate in zip(references, candidates):
        scorer += (" ".join(map(str, candidate)), [" ".join(map(str, caption)) for caption in captions])
    return scorer.compute_score()[1]


words = st.integers(4, 9)  # six words only, so that repeats and shared 4-grams are common
sentence = st.lists(words, min_size=1, max_size=12)
image = st.tuples(st.lists(sentence, min_size=1, max_size=4), st.lists(words, max_size=14))


@settings(max_examples=150, deadline=None)
@given(st.lists(image, min_size=1, max_size=6))
def test_every_score_equals_pycocoevalcap_on_the_same_corpus(images):
    references, candidates = zip(*images)
    expected = by_strings(references, candidates)

    reward = CiderD(references)
    got = reward.score(range(len(images)), pad_ids(candidates))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.lists(image, min_size=1, max_size=6))
def test_the_compiled_loop_and_numpy_find_the_same_sums(images):
    pytest.importorskip("numba", reason="needs numba: pip install updown_lab[fast]")
    references, candidates = zip(*images)
    shelf = Shelf(references)
    asked = shelf.asked(range(len(images)), pad_ids(candidates))

    for compiled, slow in zip(by_compiled_loop(shelf, *asked), by_numpy(shelf.match(*asked)), strict=True):
        np.testing.assert_allclose(compiled, slow, rtol=0, atol=1e-9)


def test_without_numba_the_scores_equal_pycocoevalcap(monkeypatch):
    monkeypatch.setattr("updown_lab.metrics.compiled._loop", lambda: None)
    references, captions = [[[4, 5, 6, 7], [5, 5, 6]], [[7, 8]]], [[5, 5, 6], [7, 9, 7, 8]]

    got = CiderD(references).score([0, 1], pad_ids(captions))

    np.testing.assert_allclose(got, by_strings(references, captions), rtol=0, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(image, min_size=1, max_size=6), st.data())
def test_with_an_end_token_finished_captions_score_as_if_the_end_were_a_word(images, data):
    references, candidates = zip(*images)
    finished = [candidate + [2] * data.draw(st.integers(0, 1)) for candidate in candidates]
    with_end = [[[*caption, 2] for caption in captions] for captions in references]

    got = CiderD(references, end_token=2).score(range(len(images)), pad_ids(finished))

    np.testing.assert_allclose(got, by_strings(with_end, finished), rtol=0, atol=1e-9)


def test_the_largest_ids_do_not_collide():
    generator = np.random.default_rng(0)
    large = generator.integers(MAXIMUM_ID - 3, MAXIMUM_ID + 1, size=(40, 3, 9)).tolist()
    candidates = [captions[2] for captions in large]
    references = [captions[:2] for captions in large]

    got = CiderD(references).score(range(40), candidates)

    np.testing.assert_allclose(got, by_strings(references, candidates), rtol=0, atol=1e-9)


def test_a_perfect_caption_scores_ten_and_a_strange_one_zero():
    reward = CiderD([[[4, 5, 6, 7]], [[8, 9, 10, 11]]])

    got = reward.score([0, 0], [[4, 5, 6, 7], [8, 9, 10, 11]])

    np.testing.assert_allclose(got, [10.0, 0.0])  # cosine 1 in all four orders; no n-gram shared


def test_one_bigram_too_many_costs_the_gaussian():
    reward = CiderD([[[4, 5]], [[8, 9]]])

    got = reward.score([0], [[4, 5, 5, 2]])

    # By hand, all weights log 2: words (1, 2) on (1, 1) clip to 2/(sqrt 5 sqrt 2); bigrams (1, 1) on (1) give 1/sqrt 2;
    # one bigram more than the reference: e^(-1/72); mean of four orders, times 10.
    np.testing.assert_allclose(got, [10 / 4 * (2 / 10**0.5 + 1 / 2**0.5) * np.exp(-1 / 72)])


def test_what_pycocoevalcap_calls_cider_clips_and_damps():
    """By hand, "a a b" against "a b": a counts once (plain CIDEr: 3 / sqrt(10)), and one bigram too many is damped."""
    one_word, two_words, damped = 2 / (5 * 2) ** 0.5, 1 / 2**0.5, np.exp(-(1**2) / (2 * 6**2))

    theirs = by_strings([[[4, 5]], [[6, 7]]], [[4, 4, 5], [6, 7]])

    np.testing.assert_allclose(theirs, [10 / 4 * (one_word + two_words) * damped, 10 / 4 * 2])


@pytest.mark.parametrize("end_token", [None, 2])
def test_words_behind_the_end_change_nothing(end_token):
    reward = CiderD([[[4, 5, 6]], [[7, 8]], [[5, 9]]], end_token)

    clean = reward.score([0, 0], [[4, 5, 2, 0, 0], [4, 5, 0, 0, 0]])
    dirty = reward.score([0, 0], [[4, 5, 2, 6, 2], [4, 5, 0, 2, 6]])

    np.testing.assert_array_equal(clean, dirty)


def test_one_call_for_many_captions_equals_one_call_each():
    generator = np.random.default_rng(1)
    references = generator.integers(4, 12, size=(7, 3, 8)).tolist()
    reward = CiderD(references)
    rows = torch.tensor([3, 0, 3, 6, 3, 1, 0])
    candidates = torch.as_tensor(generator.integers(4, 12, size=(7, 10)))

    together = reward.score(rows, candidates)
    apart = [reward.score(rows[i : i + 1], candidates[i : i + 1])[0] for i in range(7)]

    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-12)


def test_scoring_leaves_no_trace():
    """The reward of ruotianluo's code grew its table of frequencies with each unseen n-gram."""
    reward = CiderD([[[4, 5, 6]], [[7, 8, 9]]])
    before = reward.score([0], [[4, 5]])

    reward.score([1], [[20, 21, 22, 23]])

    np.testing.assert_array_equal(reward.score([0], [[4, 5]]), before)


def test_a_single_image_scores_zero_because_no_ngram_is_rare():
    assert CiderD([[[4, 5, 6]]]).score([0], [[4, 5, 6]]) == 0.0


def test_empty_captions_and_empty_batches_are_fine():
    reward = CiderD([[[]], [[4]]])

    assert reward.score([0, 1], [[2, 0], [0, 0]]).tolist() == [0.0, 0.0]
    assert reward.score([], torch.zeros(0, 5, dtype=torch.long)).shape == (0,)
    assert reward.score([1], torch.zeros(1, 0, dtype=torch.long)).tolist() == [0.0]
    assert CiderD([[[]]]).score([0], [[4, 5]]).tolist() == [0.0]


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([], "no image"),
        ([[[4]], []], r"\[1\]"),
        ([[[4, 0]]], "padding"),
        ([[[MAXIMUM_ID + 1]]], "32767"),
        ([[[-1]]], "-1"),
    ],
)
def test_bad_references_are_refused(references, message):
    with pytest.raises(ValueError, match=message):
        CiderD(references)


def test_bad_candidates_are_refused():
    reward = CiderD([[[4]], [[5]]])

    with pytest.raises(IndexError, match=r"0\.\.1"):
        reward.score([2], [[4]])
    with pytest.raises(IndexError):
        reward.score([-1], [[4]])
    with pytest.raises(ValueError, match="image_rows"):
        reward.score([0], [[4], [5]])
