import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from updown_lab.models.attention import TopDownAttention, masked_softmax, mean_region, weighted_sum


@pytest.mark.parametrize("junk", [0.0, 1e6, float("nan"), float("inf")])
def test_mean_region_never_reads_padding(junk):
    real = torch.tensor([[[1.0, 5.0], [3.0, 7.0]]])
    padded = torch.cat([real, torch.full((1, 2, 2), junk)], dim=1)
    mask = torch.tensor([[True, True, False, False]])

    got = mean_region(padded, mask)

    torch.testing.assert_close(got, torch.tensor([[2.0, 6.0]]))  # by hand: (1+3)/2, (5+7)/2


def test_mean_region_of_an_image_without_regions_is_zero():
    got = mean_region(torch.full((1, 2, 3), float("nan")), torch.zeros(1, 2, dtype=torch.bool))

    torch.testing.assert_close(got, torch.zeros(1, 3))


@pytest.mark.parametrize("mask", [torch.ones(1, 2), torch.ones(2, 1, dtype=torch.bool)])
def test_mean_region_refuses_a_mask_that_is_no_mask(mask):
    with pytest.raises(ValueError, match="mask must be bool"):
        mean_region(torch.zeros(1, 2, 3), mask)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e4, 1e4, width=32), st.booleans()), min_size=1, max_size=9))
def test_weights_sum_to_one_over_real_regions_and_are_exactly_zero_elsewhere(regions):
    scores = torch.tensor([[score for score, _ in regions]])
    mask = torch.tensor([[real for _, real in regions]])

    weights = masked_softmax(scores, mask)

    assert (weights[~mask] == 0).all()
    assert math.isclose(weights.sum().item(), 1.0 if mask.any() else 0.0, abs_tol=1e-5)


def test_an_image_without_regions_gives_zero_weights_and_a_zero_gradient():
    scores = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    mask = torch.tensor([[False, False], [True, True]])

    weights = masked_softmax(scores, mask)
    weights[:, 0].sum().backward()

    assert weights.tolist() == [[0.0, 0.0], [0.5, 0.5]]
    torch.testing.assert_close(scores.grad, torch.tensor([[0.0, 0.0], [0.25, -0.25]]))  # by hand: p(1-p), -p(1-p)


def by_hand() -> TopDownAttention:
    """One feature, one query number, one hidden number: W_v = 1, W_q = 0.5, w = 2."""
    attention = TopDownAttention(1, 1, 1)
    for layer, value in ((attention.region, 1.0), (attention.query, 0.5), (attention.score, 2.0)):
        torch.nn.init.constant_(layer.weight, value)
    return attention


def test_attention_is_equations_one_and_two_of_the_paper():
    attention = by_hand()
    features, query = torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[2.0]])

    attended, weights = attention(query, features, attention.project(features), torch.ones(1, 2, dtype=torch.bool))

    # a_1 = 2 tanh(1 + 1), a_2 = 2 tanh(-1 + 1) = 0; two regions, so alpha_1 = 1 / (1 + exp(a_2 - a_1))
    first = 1 / (1 + math.exp(-2 * math.tanh(2.0)))
    torch.testing.assert_close(weights, torch.tensor([[first, 1 - first]]))
    torch.testing.assert_close(attended, torch.tensor([[first * 1.0 + (1 - first) * -1.0]]))


def test_attention_has_no_biases():
    assert sorted(name for name, _ in TopDownAttention(4, 3, 2).named_parameters()) == [
        "query.weight",
        "region.weight",
        "score.weight",
    ]


@pytest.mark.parametrize("junk", [0.0, 1e6, float("nan"), float("inf")])
def test_attention_never_reads_padding(junk):
    torch.manual_seed(0)
    attention, query, real = TopDownAttention(4, 3, 5), torch.randn(2, 3), torch.randn(2, 6, 4)
    padded = torch.cat([real, torch.full((2, 2, 4), junk)], dim=1)
    mask = torch.arange(8).expand(2, 8) < 6

    expected = attention(query, real, attention.project(real), mask[:, :6])
    attended, weights = attention(query, padded, attention.project(padded), mask)

    torch.testing.assert_close(attended, expected[0])
    torch.testing.assert_close(weights[:, :6], expected[1])
    assert (weights[:, 6:] == 0).all()


def test_the_order_of_the_regions_does_not_matter():
    torch.manual_seed(0)
    attention, query, features = TopDownAttention(4, 3, 5), torch.randn(1, 3), torch.randn(1, 7, 4)
    mask, order = torch.ones(1, 7, dtype=torch.bool), torch.randperm(7)

    attended, weights = attention(query, features, attention.project(features), mask)
    shuffled, moved = attention(query, features[:, order], attention.project(features[:, order]), mask)

    torch.testing.assert_close(shuffled, attended)
    torch.testing.assert_close(moved, weights[:, order])


def test_weighted_sum_agrees_with_copying_each_image_to_each_row_and_so_do_its_gradients():
    torch.manual_seed(0)
    features = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(6, 5, dtype=torch.float64, requires_grad=True)
    rows, upstream = torch.tensor([2, 0, 0, 1, 2, 2]), torch.randn(6, 4, dtype=torch.float64)

    got = weighted_sum(weights, features, rows)
    slow = (weights[:, :, None] * features[rows]).sum(1)

    torch.testing.assert_close(got, slow)
    for fast_gradient, slow_gradient in zip(
        torch.autograd.grad(got, (weights, features), upstream),
        torch.autograd.grad(slow, (weights, features), upstream),
    ):
        torch.testing.assert_close(fast_gradient, slow_gradient)


def test_weighted_sum_of_no_regions_is_zero():
    got = weighted_sum(torch.zeros(2, 0), torch.zeros(1, 0, 3), torch.tensor([0, 0]))

    torch.testing.assert_close(got, torch.zeros(2, 3))
