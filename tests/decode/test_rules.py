"""Each rule forbids what it says and nothing else."""

import math

import torch
from toy_captioners import VOCABULARY, WORDS

from updown_lab.config import DecodeConfig
from updown_lab.decode import BAD_ENDINGS, FUNCTION_WORDS
from updown_lab.decode.rules import obey, rules_of
from updown_lab.text import END, UNKNOWN

A, CAT, DOG = 4, 5, 6


def forbidden(said: list[int], **changes) -> set[int]:
    log_probs = torch.zeros(1, VOCABULARY)
    cfg = DecodeConfig(**{"no_repeat": False} | changes)
    obey(log_probs, torch.tensor([[1, *said]]), rules_of(cfg, True, WORDS, "cpu"))
    assert set(log_probs[0].tolist()) <= {0.0, -math.inf}
    return set((log_probs[0] == -math.inf).nonzero()[:, 0].tolist()) - {0, 1}  # padding and START never count


def test_no_word_twice_in_a_row():
    assert forbidden([A, CAT], no_repeat=True) == {CAT}
    assert forbidden([CAT, A], no_repeat=True) == {A}
    assert forbidden([], no_repeat=True) == set()


def test_content_words_once_and_function_words_as_often_as_needed():
    assert forbidden([A, CAT, A], content_once=True) == {CAT}
    assert forbidden([A, CAT, A, DOG], content_once=True) == {CAT, DOG}
    assert forbidden([UNKNOWN], content_once=True) == {UNKNOWN}


def test_no_end_after_a_word_that_wants_another():
    assert forbidden([CAT, A], no_bad_endings=True) == {END}
    assert forbidden([A, CAT], no_bad_endings=True) == set()


def test_no_end_before_the_least_number_of_words():
    assert forbidden([A], minimum_words=2) == {END}
    assert forbidden([A, CAT], minimum_words=2) == set()


def test_each_row_is_judged_by_its_own_words():
    log_probs = torch.zeros(2, VOCABULARY)

    obey(log_probs, torch.tensor([[1, A, CAT], [1, DOG, A]]), rules_of(DecodeConfig(), True, None, "cpu"))

    assert (log_probs == -math.inf).nonzero().tolist() == [[0, CAT], [1, A]]


def test_the_authors_list_of_words_that_may_return():
    assert len(set(FUNCTION_WORDS)) == 18 and {"a", "the", "of", "on", "to", "it", "by"} <= set(FUNCTION_WORDS)
    assert {"a", "the", "of", "with"} <= set(BAD_ENDINGS)
