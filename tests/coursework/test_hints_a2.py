"""What the checks of A2 answer: masked attention and one step of the captioner."""

import pytest
import torch
from seeded import told

from updown_lab.coursework import (
    check_attend,
    check_captioner_step,
    check_masked_softmax,
    small_captioner,
    step_arguments,
)
from updown_lab.coursework.attention import _attend, _step
from updown_lab.text import PAD, START


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda scores, mask: scores.softmax(-1), "padding has a weight"),
        (lambda scores, mask: scores.softmax(-1) * mask, "do not sum to one"),
        (lambda scores, mask: scores.masked_fill(~mask, -1e9).softmax(-1), "weights for its padding"),
        (lambda scores, mask: scores.masked_fill(~mask, -torch.inf).softmax(-1), "0/0"),
    ],
)
def test_slips_of_a_masked_softmax_are_recognised(function, words):
    assert words in told(check_masked_softmax, function)


def shifted(scores, mask):
    raised = (scores - scores.max(-1, keepdim=True).values).exp() * mask
    return raised / raised.sum(-1, keepdim=True)


def renormalised(scores, mask):
    weights = scores.masked_fill(~mask, -1e9).softmax(-1) * mask
    return weights / weights.sum(-1, keepdim=True)


def test_a_maximum_over_padding_is_not_told_that_padding_has_a_weight():
    said = told(check_masked_softmax, shifted)

    assert "nan where it is padded" in said and "what padding holds gets in" in said
    assert "padding has a weight" not in said  # it has none


def test_weights_divided_by_nothing_are_not_told_that_they_are_filled_with_inf():
    said = told(check_masked_softmax, renormalised)

    assert "no region at all" in said and "nothing is left to divide by: 0/0" in said
    assert "every score is -inf" not in said  # -1e9 is


def test_weights_before_summary_is_recognised():
    def attend(query, features, mask, W_v, W_q, w, normalise):
        clean = features.masked_fill(~mask[..., None], 0.0)
        alpha = normalise(torch.tanh(clean @ W_v.T + (query @ W_q.T)[:, None]) @ w, mask)
        return alpha, (alpha[..., None] * clean).sum(1)

    assert "summary of the regions comes first" in told(check_attend, attend)


def test_probabilities_instead_of_their_logarithm_are_recognised():
    assert "these are probabilities" in told(check_captioner_step, lambda *a: (_step(*a)[0].exp(), *_step(*a)[1:]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda step, *a: step(*a, speak=lambda scores: scores.index_fill(1, torch.tensor([PAD, START]), -torch.inf)),
         "a softmax and a logarithm are missing"),
        (lambda step, c, words, overview, *a: step(c, words, 0 * overview, *a), "the mean region is missing"),
        # Two at once: what is computed before the first is right, and nothing after it.
        (lambda step, *a: step(*a, reads="old", speak=lambda scores: scores),
         "c2: the numbers are different. Right: c1, h1, alpha."),
        (lambda step, c, words, overview, *a: step(c, words, 0 * overview, *a, asks="old"),
         "c1: the numbers are different. Right: none of c1, h1, alpha, c2, h2, log_probs."),
    ],
    ids=["no log_softmax", "no overview", "old h1 read and all can be said", "no overview and old h1 asks"],
)  # fmt: skip
def test_a_wrong_step_is_told_where_it_goes_wrong(change, words):
    assert words in told(check_captioner_step, lambda *asked: change(_step, *asked))


@pytest.mark.parametrize(("place", "name"), enumerate(("log_probs", "alpha", "h1", "c1", "h2", "c2")))
def test_every_part_of_a_step_is_called_by_its_name(place, name):
    def captioner_step(*asked):
        return tuple(part + (number == place) for number, part in enumerate(_step(*asked)))

    assert f"the first word: {name}: the numbers are different." in told(check_captioner_step, captioner_step)


def test_weights_are_told_before_the_summary_that_they_make():
    said = told(check_attend, lambda *asked: tuple(part + 1 for part in _attend(*asked)))

    assert "alpha: the numbers are different. Right: none of alpha, v_hat." in said


def test_the_step_to_be_written_is_the_librarys_step():
    captioner, state = small_captioner(3)
    words = torch.tensor([1, 1])

    log_probs, weights, *hidden = _step(*step_arguments(captioner, words, state))

    wanted, looked, after = captioner.step(words, state)
    torch.testing.assert_close((log_probs, weights), (wanted, looked))
    torch.testing.assert_close(hidden, [after.attention_hidden, after.attention_cell,
                                        after.language_hidden, after.language_cell])  # fmt: skip
