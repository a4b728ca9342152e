"""The attribute head: its loss by hand, and what it may look at."""

import math

import pytest
import torch

from updown_lab.vision.attributes import AttributeHead, attribute_loss


def test_labels_are_averaged_in_a_region_and_regions_after_that():
    # Probabilities of (red, striped, no attribute), so every cost is the log of a number on this page.
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]).log()
    labels = torch.tensor([[0, 1, -1], [-1, -1, -1]])

    loss = attribute_loss(logits, labels)

    first = (math.log(2) + math.log(4)) / 2  # red and striped
    second = math.log(2)  # unlabelled: "no attribute"
    assert loss.item() == pytest.approx((first + second) / 2)


def test_padding_before_a_label_counts_for_nothing():
    logits = torch.randn(1, 5, generator=torch.Generator().manual_seed(0))

    in_front = attribute_loss(logits, torch.tensor([[-1, -1, 3]]))

    assert in_front.item() == pytest.approx(-logits.log_softmax(1)[0, 3].item())


def test_no_region_costs_nothing_and_can_be_differentiated():
    logits = torch.zeros(0, 5, requires_grad=True)

    loss = attribute_loss(logits, torch.zeros(0, 4, dtype=torch.long))
    loss.backward()

    assert loss.item() == 0.0


def test_the_head_listens_to_the_class():
    torch.manual_seed(0)
    head = AttributeHead(8, 3, 5, 4, 6)
    feature = torch.randn(1, 8)

    banana, bus = head(feature, torch.tensor([0])), head(feature, torch.tensor([2]))

    assert not torch.allclose(banana, bus)
