"""Captions by chance: how often, and what follows."""

import math

import pytest
import torch
from toy_captioners import VOCABULARY, lively_captioner, random_regions, worth

from updown_lab.config import DecodeConfig
from updown_lab.decode import beam_search, greedy, sample
from updown_lab.decode.rules import at_least, forbid_repeat, forbid_unknown
from updown_lab.decode.sampling import sharpen
from updown_lab.models.captioner import shift_right
from updown_lab.text import END, PAD, START, UNKNOWN


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_follows_the_end_of_a_sample():
    captioner, regions = lively_captioner(), random_regions()

    ids = sample(captioner, regions, maximum_words=8, samples=50, generator=seeded())

    ended = (ids == END).cumsum(1)
    after = (ended - (ids == END).long()) > 0
    assert after.any() and (ids[after] == PAD).all()
    assert (ids[~after] != PAD).all() and (ids != START).all()


def test_samples_are_as_frequent_as_the_model_believes():
    captioner, regions = lively_captioner(), random_regions(images=2)
    draws = 4000

    ids = sample(captioner, regions, maximum_words=2, samples=draws, generator=seeded())

    for image in range(2):
        for tokens in ([END], [4, END], [5, 6], [6, UNKNOWN]):
            probability = worth(captioner, regions, image, tokens).sum().exp().item()
            seen = (ids[image * draws : (image + 1) * draws] == torch.tensor([*tokens, PAD][:2])).all(1).sum().item()
            spread = math.sqrt(draws * probability * (1 - probability))
            assert abs(seen - draws * probability) < 4.5 * spread + 1


def test_the_same_generator_draws_the_same_captions():
    captioner, regions = lively_captioner(), random_regions()

    first, second = (sample(captioner, regions, 8, 3, seeded(5)) for _ in range(2))

    assert torch.equal(first, second)


def test_decoding_works_in_inference_mode_and_its_result_can_train_outside_of_no_grad():
    captioner, regions = lively_captioner(), random_regions()

    with torch.inference_mode():
        found = beam_search(captioner, regions, DecodeConfig(beam_size=2, maximum_words=5))
        drawn = sample(captioner, regions, maximum_words=5, samples=2)
    ids = sample(captioner, regions, maximum_words=5, samples=2)
    log_probs, _ = captioner(regions, shift_right(ids), torch.arange(4).repeat_interleave(2))

    assert len(found) == 4 and drawn.shape[0] == 8
    assert log_probs.requires_grad


@torch.no_grad()
def first_chances(captioner, regions, **options) -> torch.Tensor:
    """(B, V) of the first word, by hand."""
    log_probs, _, _ = captioner.step(torch.full((len(regions),), START), captioner.begin(regions))
    chances = (log_probs.double() / options.get("temperature", 1.0)).softmax(1)
    if options.get("top_k"):
        least = chances.sort(1, descending=True).values[:, options["top_k"] - 1, None]
        chances = torch.where(chances >= least, chances, 0.0)
    chances = chances / chances.sum(1, keepdim=True)
    for row in chances:  # the fewest words that hold top_p together
        held = 0.0
        for word in row.argsort(descending=True).tolist():
            row[word], held = (0.0 if held >= options.get("top_p", 1.0) else row[word]), held + row[word].item()
    return chances / chances.sum(1, keepdim=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.5}, {"temperature": 2.0}, {"top_k": 2}, {"top_p": 0.6},
     {"temperature": 1.5, "top_k": 4, "top_p": 0.8}],
)  # fmt: skip
def test_frequencies_of_sharpened_samples_pass_a_chi_square_test(options):
    captioner, regions, draws = lively_captioner(), random_regions(images=2), 4000

    ids = sample(captioner, regions, 1, draws, seeded(), **options)

    for image, chances in enumerate(first_chances(captioner, regions, **options)):
        seen = ids[image * draws : (image + 1) * draws, 0].bincount(minlength=VOCABULARY)
        possible = chances > 0
        assert seen[~possible].sum() == 0
        expected = draws * chances[possible]
        square = ((seen[possible] - expected) ** 2 / expected).sum().item()
        assert square < 22.5  # 0.1 % of a chi-square with 6 degrees of freedom; fewer words, fewer degrees


def test_sampling_the_likeliest_word_only_is_greedy():
    captioner, regions = lively_captioner(), random_regions()

    expected = [caption.tokens for caption in greedy(captioner, regions, 9, allow_unknown=True)]
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        ids = sample(captioner, regions, 9, 2, seeded(), **options)
        assert [[word for word in row if word != PAD] for row in ids.tolist()[::2]] == expected
        assert torch.equal(ids[::2], ids[1::2])


def test_samples_obey_rules():
    captioner, regions = lively_captioner(), random_regions()

    ids = sample(captioner, regions, 9, 50, seeded(), rules=[forbid_unknown, forbid_repeat, at_least(3)])

    said = ids[:, 1:][ids[:, 1:] != PAD]
    assert (ids[:, :3] != END).all() and (ids != UNKNOWN).all() and len(said)
    assert ((ids[:, 1:] != ids[:, :-1]) | (ids[:, 1:] == PAD)).all()


def test_a_sample_that_may_say_nothing_more_stops():
    def silence(log_probs, words):
        if words.shape[1] > 2:
            log_probs[:] = -math.inf

    ids = sample(lively_captioner(), random_regions(), 9, 5, seeded(), rules=[silence, forbid_unknown])

    assert ids.shape[1] == 3 and (ids[:, 2] == PAD).all()


def test_regions_are_projected_once_an_image_for_all_samples():
    captioner, regions, seen = lively_captioner(), random_regions(), []
    project = captioner.attention.project
    captioner.attention.project = lambda features: seen.append(features.shape) or project(features)

    sample(captioner, regions, 5, 7, seeded())
    beam_search(captioner, regions, DecodeConfig())

    assert seen == [(4, 5, 3)] * 2


def test_top_p_keeps_the_word_that_crosses_the_line():
    log_probs = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    kept = [int((sharpen(log_probs, top_p=share) > -math.inf).sum()) for share in (0.1, 0.49, 0.51, 0.79, 0.81, 1.0)]

    assert kept == [1, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "greedy"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_sampling_refuses_what_means_nothing(options, message):
    with pytest.raises(ValueError, match=message):
        sample(lively_captioner(), random_regions(), 5, 1, **options)
