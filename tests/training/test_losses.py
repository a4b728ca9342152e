import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from updown_lab.errors import ConfigError
from updown_lab.training.losses import advantages, caption_cross_entropy, self_critical_loss, vqa_loss


def test_caption_cross_entropy_is_the_mean_over_all_words_and_ignores_padding():
    log_probs = torch.tensor([[[9.0, -1.0], [9.0, -2.0]], [[9.0, -6.0], [math.nan, math.nan]]])
    targets = torch.tensor([[1, 1], [1, 0]])

    got = caption_cross_entropy(log_probs, targets)

    assert got.item() == 3.0  # by hand: (1 + 2 + 6) / 3 words, although the captions differ in length


def test_words_that_cannot_be_said_leave_the_gradient_finite():
    logits = torch.tensor([[[-math.inf, 0.0, 1.0]]], requires_grad=True)

    caption_cross_entropy(logits.log_softmax(-1), torch.tensor([[2]])).backward()

    assert logits.grad.isfinite().all()


def test_self_critical_loss_by_hand():
    log_probs = torch.tensor([[-1.0, -2.0], [-4.0, -math.inf]])
    mask = torch.tensor([[True, True], [True, False]])

    got = self_critical_loss(log_probs, mask, torch.tensor([0.5, -1.0]))

    assert got.item() == (0.5 * 3 + -1.0 * 4) / 2


def test_a_step_against_the_gradient_makes_better_captions_more_likely():
    log_probs = torch.tensor([[-1.0], [-1.0], [-1.0]], requires_grad=True)

    self_critical_loss(log_probs, torch.ones(3, 1, dtype=torch.bool), torch.tensor([2.0, -1.0, 0.0])).backward()

    assert (-log_probs.grad).sign().flatten().tolist() == [1.0, -1.0, 0.0]


def test_no_gradient_flows_into_the_reward():
    advantage = torch.tensor([1.0], requires_grad=True)
    log_probs = torch.tensor([[-1.0]], requires_grad=True)

    self_critical_loss(log_probs, torch.tensor([[True]]), advantage).backward()

    assert advantage.grad is None


def test_greedy_advantage_by_hand():
    got = advantages(torch.tensor([[1.0, 3.0], [2.0, 2.0]]), greedy=torch.tensor([2.0, 5.0]))

    assert got.tolist() == [[-1.0, 1.0], [-3.0, -3.0]]


rewards_of_an_image = st.lists(st.floats(0, 10, width=32), min_size=2, max_size=8)


@settings(max_examples=40, deadline=None)
@given(rewards_of_an_image)
def test_leave_one_out_compares_with_the_mean_of_the_others(rewards):
    got = advantages(torch.tensor([rewards], dtype=torch.float64), baseline="others")[0]

    for place, reward in enumerate(rewards):
        others = rewards[:place] + rewards[place + 1 :]
        assert math.isclose(got[place].item(), reward - sum(others) / len(others), abs_tol=1e-9)


@settings(max_examples=40, deadline=None)
@given(rewards_of_an_image)
def test_beam_mean_advantages_cancel(rewards):
    got = advantages(torch.tensor([rewards], dtype=torch.float64), baseline="mean")

    assert abs(got.sum().item()) < 1e-9


def test_an_unknown_baseline_names_the_known_ones():
    with pytest.raises(ConfigError, match="greedy, mean, others"):
        advantages(torch.zeros(1, 2), baseline="gready")


def test_baselines_that_lack_what_they_compare_with_are_refused():
    with pytest.raises(ValueError, match="needs the greedy captions"):
        advantages(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="at least 2 candidates"):
        advantages(torch.zeros(3, 1), baseline="others")


def test_vqa_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    scores = torch.tensor([[1.0, 0.3], [0.0, 0.5]])

    got = vqa_loss(logits, scores)

    # sigmoid(log 3) = 3/4; two answers are summed, two questions averaged
    first = math.log(2) - 0.3 * math.log(0.75) - 0.7 * math.log(0.25)
    assert math.isclose(got.item(), (first + 2 * math.log(2)) / 2, rel_tol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: caption_cross_entropy(torch.zeros(2, 3, 4), torch.zeros(2, 2, dtype=torch.long)),
        lambda: self_critical_loss(torch.zeros(2, 3), torch.ones(2, 2, dtype=torch.bool), torch.zeros(2)),
        lambda: vqa_loss(torch.zeros(2, 3), torch.zeros(2, 4)),
    ],
)
def test_shapes_that_disagree_are_refused(call):
    with pytest.raises(ValueError, match="got"):
        call()
