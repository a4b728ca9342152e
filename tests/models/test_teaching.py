"""The hand-written gradients equal autograd's through the model that people read, to the last digits of a double."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from updown_lab.config import preset
from updown_lab.models import teaching
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.models.rehearsal import rehearsal_loss, rehearse
from updown_lab.models.teaching import teaching_loss, weighted_surprise
from updown_lab.regions import RegionBatch

VOCABULARY, FEATURES = 13, 7


def model_of(seed: int) -> UpDownCaptioner:
    torch.manual_seed(seed)
    return UpDownCaptioner(preset("tiny").captioner, VOCABULARY, FEATURES).double()


def regions_of(images: int, most: int, seed: int, junk: float = 0.0) -> RegionBatch:
    torch.manual_seed(seed + 1)
    mask = torch.rand(images, most) < 0.7
    mask[:, 0] = True
    features = torch.randn(images, most, FEATURES, dtype=torch.float64).masked_fill(~mask[..., None], junk)
    return RegionBatch(features, torch.zeros(images, most, 4), mask)


def captions_of(count: int, longest: int, images: int, seed: int):
    torch.manual_seed(seed + 2)
    targets = torch.zeros(count, longest, dtype=torch.long)
    for row in targets:
        length = int(torch.randint(0, longest, ()))
        row[:length] = torch.randint(4, VOCABULARY, (length,))
        row[length] = 2
    return targets, torch.randint(images, (count,)), torch.randn(count, longest, dtype=torch.float64)


def plainly(model, regions, targets, image_rows, importance):
    """The loss by the model that people read."""
    log_probs, _ = model(regions, shift_right(targets), image_rows)
    said = log_probs.gather(2, targets[..., None])[..., 0]
    return -(said.masked_fill(targets == 0, 0.0) * importance).sum()


def gradients(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_equal_gradients(model, one, other):
    torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
    theirs, mine = gradients(model, one), gradients(model, other)
    for name in theirs:
        torch.testing.assert_close(
            mine[name], theirs[name], rtol=1e-9, atol=1e-11, msg=lambda text, n=name: f"{n}: {text}"
        )


@settings(max_examples=25, deadline=None)
@given(images=some.integers(1, 4), most=some.integers(1, 12), captions=some.integers(1, 7),
       longest=some.integers(1, 8), seed=some.integers(0, 999))  # fmt: skip
def test_loss_and_gradients_equal_the_readable_models(images, most, captions, longest, seed):
    model, regions = model_of(seed), regions_of(images, most, seed)
    targets, image_rows, importance = captions_of(captions, longest, images, seed)

    assert_equal_gradients(
        model,
        plainly(model, regions, targets, image_rows, importance),
        teaching_loss(model, regions, targets, image_rows, importance),
    )


@pytest.mark.parametrize(("images", "most", "captions"), [(1, 3, 6), (3, 40, 2)])
def test_both_ways_of_reading_the_regions_are_met(images, most, captions, monkeypatch):
    seen = []
    whole = teaching.rewound
    monkeypatch.setattr(teaching, "rewound", lambda *parts: seen.append(parts[3]) or whole(*parts))

    targets, image_rows, importance = captions_of(captions, 8, images, seed=5)
    teaching_loss(model_of(5), regions_of(images, most, 5), targets, image_rows, importance)

    assert seen == [images * most < int((targets != 0).sum())] == [most == 3]


def test_padded_regions_are_never_read(junk=float("nan")):
    model = model_of(0)
    targets, image_rows, importance = captions_of(5, 6, 3, seed=0)
    clean, dirty = regions_of(3, 6, 0), regions_of(3, 6, 0, junk)

    assert_equal_gradients(
        model,
        teaching_loss(model, clean, targets, image_rows, importance),
        teaching_loss(model, dirty, targets, image_rows, importance),
    )


def test_features_that_learn_get_their_gradient_too():
    # A projection in front of the captioner is part of some variants.
    model, regions = model_of(3), regions_of(2, 9, 3)
    targets, image_rows, importance = captions_of(2, 3, 2, seed=3)
    found = []
    for way in (plainly, teaching_loss):
        features = regions.features.clone().requires_grad_()
        way(model, RegionBatch(features, regions.boxes, regions.mask), targets, image_rows, importance).backward()
        found.append(features.grad)

    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)
    assert found[0].abs().sum() > 0


@settings(max_examples=25, deadline=None)
@given(images=some.integers(1, 3), most=some.integers(1, 30), samples=some.integers(1, 4), longest=some.integers(1, 9),
       seed=some.integers(0, 999))  # fmt: skip
def test_learning_from_the_tape_equals_reading_the_drawn_sentences_again(images, most, samples, longest, seed):
    model, regions = model_of(seed), regions_of(images, most, seed)

    drawn = rehearse(model, regions, longest, samples)

    importance = torch.randn(images * samples, dtype=torch.float64)
    again = plainly(model, regions, drawn.words, drawn.image_rows, importance[:, None].expand(drawn.words.shape))
    assert_equal_gradients(model, again, rehearsal_loss(model, drawn, importance))


def test_drawn_sentences_end_once_and_stay_silent():
    drawn = rehearse(model_of(1), regions_of(3, 4, 1), 9, 20)

    assert drawn.words.shape[0] == 60 and drawn.image_rows.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    for words in drawn.words.tolist():
        spoken = [word for word in words if word]
        assert words == spoken + [0] * (len(words) - len(spoken)) and 1 not in spoken
        assert 2 not in spoken[:-1] and (spoken[-1] == 2 or len(spoken) == 9)


def test_words_are_drawn_as_often_as_the_model_says():
    model, regions = model_of(2), regions_of(1, 3, 2)
    with torch.no_grad():
        model.output.bias.normal_(std=2.0)
        log_probs, _, _ = model.step(torch.tensor([1]), model.begin(regions))

    torch.manual_seed(0)
    words = rehearse(model, regions, 1, 20_000).words[:, 0]

    shares = torch.bincount(words, minlength=VOCABULARY) / len(words)
    # A share of 20,000 draws strays by sqrt(p(1-p)/20000) <= 0.0036; four times that.
    assert (shares - log_probs[0].exp()).abs().max() < 0.0145


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_some_words_at_a_time_give_the_same_as_all_at_once(at_once, monkeypatch):
    monkeypatch.setattr(teaching, "ROWS_AT_ONCE", at_once)
    torch.manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((7, 3), (5, 3), (5,))
    )
    targets, importance = torch.tensor([2, 3, 4, 2, 2, 3, 4]), torch.randn(7, dtype=torch.float64)

    logits = (hidden @ weight.t() + bias).index_fill(1, torch.tensor([0, 1]), float("-inf"))
    expected = -(importance * logits.log_softmax(1)[range(7), targets]).sum()
    got = weighted_surprise(hidden, weight, bias, targets, importance)

    torch.testing.assert_close(got, expected)
    for one, other in zip(torch.autograd.grad(3 * got, (hidden, weight, bias)),
                          torch.autograd.grad(3 * expected, (hidden, weight, bias)), strict=True):  # fmt: skip
        torch.testing.assert_close(one, other)


def test_without_gradients_none_are_made():
    model, regions = model_of(0), regions_of(2, 3, 0)
    targets, image_rows, importance = captions_of(3, 5, 2, seed=0)

    with torch.no_grad():
        loss = teaching_loss(model, regions, targets, image_rows, importance)

    assert not loss.requires_grad
    torch.testing.assert_close(loss, plainly(model, regions, targets, image_rows, importance).detach())
