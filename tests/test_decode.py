import itertools
import math
from dataclasses import replace

import pytest
import torch

from updown_lab.config import CaptionerConfig, DecodeConfig
from updown_lab.decode import beam_search, greedy, sample
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, START, UNKNOWN

VOCABULARY = 7  # four special words and three real ones


def lively_captioner(vocabulary_size: int = VOCABULARY, seed: int = 0) -> UpDownCaptioner:
    """Random, but with opinions: larger weights make words differ and captions end now and then."""
    torch.manual_seed(seed)
    captioner = UpDownCaptioner(CaptionerConfig(embedding_size=6, hidden_size=8, attention_size=5), vocabulary_size, 3)
    with torch.no_grad():
        captioner.output.weight.mul_(8)
    return captioner


def random_regions(images: int = 4, count: int = 5) -> RegionBatch:
    features = torch.randn(images, count, 3, generator=torch.Generator().manual_seed(1)) * 2
    mask = torch.arange(count) < torch.arange(count, count - images, -1).clamp(min=1)[:, None]
    return RegionBatch(features, torch.zeros(images, count, 4), mask)


def only(regions: RegionBatch, image: int) -> RegionBatch:
    return RegionBatch(*(part[image : image + 1] for part in (regions.features, regions.boxes, regions.mask)))


@torch.no_grad()
def worth(captioner, regions, image: int, tokens: list[int]) -> torch.Tensor:
    """(T,) what teacher forcing says each of these tokens is worth."""
    targets = torch.tensor([tokens])
    log_probs, _ = captioner(regions, shift_right(targets), torch.tensor([image]))
    return log_probs[0].gather(1, targets.T)[:, 0]


def tokens_of(caption) -> list[int]:
    return [*caption.words, END] if caption.ended else caption.words


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("maximum_words", [1, 4, 12])
def test_every_beam_is_worth_what_the_model_says(beam_size, maximum_words):
    captioner, regions = lively_captioner(), random_regions()

    found = beam_search(captioner, regions, DecodeConfig(beam_size, maximum_words))

    for image, captions in enumerate(found):
        assert captions
        for caption in captions:
            expected = worth(captioner, regions, image, tokens_of(caption))
            assert math.isclose(caption.log_prob, expected.sum().item(), abs_tol=1e-4)
            torch.testing.assert_close(caption.word_log_probs, expected[: len(caption.words)])


def test_weights_of_a_caption_are_those_the_model_used_for_the_images_own_regions():
    captioner, regions = lively_captioner(), random_regions()

    for image, captions in enumerate(beam_search(captioner, regions, DecodeConfig())):
        for caption in captions:
            words = shift_right(torch.tensor([tokens_of(caption)]))
            _, weights = captioner(regions, words, torch.tensor([image]))
            expected = weights[0, : len(caption.words)][:, regions.mask[image]]
            torch.testing.assert_close(caption.weights, expected.detach())
            assert caption.weights.shape == (len(caption.words), int(regions.mask[image].sum()))


@torch.no_grad()
def greedy_by_hand(captioner, regions, image: int, maximum_words: int) -> list[int]:
    """The obvious loop: ask, take the best, repeat."""
    state, said = captioner.begin(only(regions, image)), [START]
    while len(said) <= maximum_words and said[-1] != END:
        log_probs, _, state = captioner.step(torch.tensor([said[-1]]), state)
        log_probs[0, UNKNOWN] = -math.inf
        said.append(int(log_probs[0].argmax()))
    return said[1:]


@pytest.mark.parametrize("seed", range(4))
def test_greedy_and_a_beam_of_one_take_the_best_word_each_time(seed):
    captioner, regions = lively_captioner(seed=seed), random_regions()

    from_greedy = greedy(captioner, regions, maximum_words=9)
    from_beam = beam_search(captioner, regions, DecodeConfig(beam_size=1, maximum_words=9, no_repeat=False))

    for image in range(len(regions)):
        expected = greedy_by_hand(captioner, regions, image, 9)
        assert tokens_of(from_greedy[image]) == expected
        assert tokens_of(from_beam[image][0]) == expected


def every_sentence(longest: int, no_repeat: bool):
    """All sentences over the real words and END, of at most ``longest`` tokens; those not ended are full length."""
    for length in range(longest + 1):
        for words in itertools.product(range(4, VOCABULARY), repeat=length):
            if no_repeat and any(first == second for first, second in itertools.pairwise(words)):
                continue
            if length < longest:
                yield [*words, END]
            else:
                yield list(words)


@pytest.mark.parametrize("no_repeat", [False, True])
def test_a_wide_beam_finds_all_sentences_there_are_in_the_right_order(no_repeat):
    captioner, regions = lively_captioner(), random_regions(images=2)

    found = beam_search(captioner, regions, DecodeConfig(beam_size=200, maximum_words=4, no_repeat=no_repeat))

    for image, captions in enumerate(found):
        values = {
            tuple(tokens): worth(captioner, regions, image, tokens).sum().item()
            for tokens in every_sentence(4, no_repeat)
        }
        expected = sorted(values, key=lambda tokens: (tokens[-1] != END, -values[tokens]))
        assert len(captions) == len(expected)
        assert {tuple(tokens_of(caption)) for caption in captions} == set(expected)
        got = [values[tuple(tokens_of(caption))] for caption in captions]
        torch.testing.assert_close(torch.tensor(got), torch.tensor([values[tokens] for tokens in expected]))


def test_a_beam_may_find_a_better_sentence_than_greed_and_a_wide_one_never_a_worse():
    captioner, regions = lively_captioner(), random_regions()

    narrow = greedy(captioner, regions, maximum_words=4)
    wide = beam_search(captioner, regions, DecodeConfig(beam_size=200, maximum_words=4, no_repeat=False))

    for one, many in zip(narrow, wide):
        assert max(caption.log_prob for caption in many) >= one.log_prob - 1e-5


@pytest.mark.parametrize("beam_size", [1, 3])
def test_captions_hold_real_words_only_and_none_twice_in_a_row(beam_size):
    captioner, regions = lively_captioner(), random_regions()

    for captions in beam_search(captioner, regions, DecodeConfig(beam_size, maximum_words=15)):
        for caption in captions:
            assert not {PAD, START, END, UNKNOWN} & set(caption.words)
            assert all(first != second for first, second in itertools.pairwise(caption.words))
            assert len(tokens_of(caption)) <= 15


def test_the_unknown_word_is_said_only_when_allowed():
    captioner, regions = lively_captioner(), random_regions()
    captioner.output.bias.data[UNKNOWN] = 50.0

    assert all(UNKNOWN not in caption.words for caption in greedy(captioner, regions, 5))
    assert all(caption.words == [UNKNOWN] * 5 for caption in greedy(captioner, regions, 5, allow_unknown=True))


def never_ending(captioner: UpDownCaptioner) -> UpDownCaptioner:
    captioner.output.bias.data[END] = -1e4
    return captioner


def test_the_best_unfinished_captions_are_returned_when_none_ended():
    captioner, regions = never_ending(lively_captioner()), random_regions()

    for captions in beam_search(captioner, regions, DecodeConfig(beam_size=3, maximum_words=6)):
        assert [(caption.ended, len(caption.words)) for caption in captions] == [(False, 6)] * 3
        values = [caption.log_prob for caption in captions]
        assert values == sorted(values, reverse=True)


def test_a_caption_may_be_empty():
    captioner, regions = lively_captioner(), random_regions()
    captioner.output.bias.data[END] = 50.0

    caption = greedy(captioner, regions, maximum_words=5)[0]

    assert caption.words == [] and caption.ended
    assert caption.weights.shape == (0, 5) and caption.word_log_probs.shape == (0,)


def test_describing_many_images_at_once_changes_no_caption():
    captioner, regions = lively_captioner(), random_regions()
    cfg = DecodeConfig(beam_size=3, maximum_words=12)

    together = beam_search(captioner, regions, cfg)
    alone = [beam_search(captioner, only(regions, image), cfg)[0] for image in range(len(regions))]

    assert [[c.words for c in captions] for captions in together] == [[c.words for c in captions] for captions in alone]


def test_work_stops_when_all_beams_have_ended():
    captioner, regions = lively_captioner(), random_regions()
    captioner.output.bias.data[END] = 50.0
    steps, once = [], captioner.step
    captioner.step = lambda words, state: steps.append(len(words)) or once(words, state)

    greedy(captioner, regions, maximum_words=20)

    assert steps == [len(regions)]


def test_decoding_works_in_inference_mode_and_its_result_can_train_outside_of_no_grad():
    captioner, regions = lively_captioner(), random_regions()

    with torch.inference_mode():
        found = beam_search(captioner, regions, DecodeConfig(beam_size=2, maximum_words=5))
        drawn = sample(captioner, regions, maximum_words=5, samples=2)
    ids = sample(captioner, regions, maximum_words=5, samples=2)
    log_probs, _ = captioner(regions, shift_right(ids), torch.arange(4).repeat_interleave(2))

    assert len(found) == 4 and drawn.shape[0] == 8
    assert log_probs.requires_grad


def test_nothing_follows_the_end_of_a_sample():
    captioner, regions = lively_captioner(), random_regions()

    ids = sample(captioner, regions, maximum_words=8, samples=50, generator=torch.Generator().manual_seed(0))

    ended = (ids == END).cumsum(1)
    after = (ended - (ids == END).long()) > 0
    assert after.any() and (ids[after] == PAD).all()
    assert (ids[~after] != PAD).all() and (ids != START).all()


def test_samples_are_as_frequent_as_the_model_believes():
    captioner, regions = lively_captioner(), random_regions(images=2)
    draws = 4000

    ids = sample(captioner, regions, maximum_words=2, samples=draws, generator=torch.Generator().manual_seed(0))

    for image in range(2):
        for tokens in ([END], [4, END], [5, 6], [6, UNKNOWN]):
            probability = worth(captioner, regions, image, tokens).sum().exp().item()
            seen = (ids[image * draws : (image + 1) * draws] == torch.tensor([*tokens, PAD][:2])).all(1).sum().item()
            spread = math.sqrt(draws * probability * (1 - probability))
            assert abs(seen - draws * probability) < 4.5 * spread + 1


def test_the_same_generator_draws_the_same_captions():
    captioner, regions = lively_captioner(), random_regions()

    first, second = (sample(captioner, regions, 8, 3, torch.Generator().manual_seed(5)) for _ in range(2))

    assert torch.equal(first, second)


@pytest.mark.parametrize("junk", [1e6, float("nan")])
def test_padded_regions_change_no_caption(junk):
    captioner, regions = lively_captioner(), random_regions()
    dirty = replace(regions, features=regions.features.masked_fill(~regions.mask[..., None], junk))

    expected, got = (beam_search(captioner, batch, DecodeConfig()) for batch in (regions, dirty))

    assert [[c.words for c in captions] for captions in got] == [[c.words for c in captions] for captions in expected]
