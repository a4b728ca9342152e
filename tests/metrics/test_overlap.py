"""BLEU, ROUGE-L and CIDEr beside pycocoevalcap's own, on words of which few are different."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from updown_lab.metrics import overlap
from updown_lab.metrics.overlap import bleu, cider, rouge_l

SENTENCE = st.lists(st.sampled_from(["a", "cat", "dog", "red", "the", "on"]), max_size=9).map(" ".join)
CORPUS = st.lists(st.tuples(SENTENCE, st.lists(SENTENCE, min_size=1, max_size=4)), min_size=1, max_size=5)


def parts(corpus):
    numbers = [7 * place % 11 for place in range(len(corpus))]  # ids in no order
    said = {number: [text] for number, (text, _) in zip(numbers, corpus)}
    return said, {number: texts for number, (_, texts) in reversed([*zip(numbers, corpus)])}


def theirs(scorer, said, people, **options):
    return scorer.compute_score({image: people[image] for image in said}, said, **options)


@settings(deadline=None)
@given(CORPUS)
def test_bleu_equals_pycocoevalcap(corpus):
    said, people = parts(corpus)

    corpus_scores, each = theirs(Bleu(4), said, people, verbose=0)
    ours = bleu(said, people)

    np.testing.assert_allclose([value for value, _ in ours.values()], corpus_scores, rtol=0, atol=1e-12)
    np.testing.assert_allclose([scores for _, scores in ours.values()], each, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(CORPUS)
def test_rouge_equals_pycocoevalcap(corpus):
    said, people = parts(corpus)

    mean, each = theirs(Rouge(), said, people)
    ours = rouge_l(said, people)["ROUGE-L"]

    assert ours[0] == pytest.approx(mean, abs=1e-12)
    np.testing.assert_allclose(ours[1], each, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(CORPUS.filter(lambda corpus: any(text for _, texts in corpus for text in texts)))  # theirs breaks without words
def test_cider_equals_pycocoevalcap(corpus):
    said, people = parts(corpus)

    mean, each = theirs(Cider(), said, people)
    ours = cider(said, people)["CIDEr"]

    assert ours[0] == pytest.approx(mean, abs=1e-9)
    np.testing.assert_allclose(ours[1], each, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["bleu", "cider"])
def test_more_words_than_fit_are_left_to_pycocoevalcap(name, monkeypatch):
    said, people = {1: ["a red cat"], 2: ["two dogs"]}, {1: ["a cat", "the red cat"], 2: ["two dogs play"]}
    usual = getattr(overlap, name)(said, people)

    monkeypatch.setattr(overlap, "MAXIMUM_ID", 5)
    got = getattr(overlap, name)(said, people)

    assert got.keys() == usual.keys() and overlap._numbered(said, people) is None
    for key, (value, each) in got.items():
        assert value == pytest.approx(usual[key][0], abs=1e-12)
        np.testing.assert_allclose(each, usual[key][1], rtol=0, atol=1e-12)
