"""What a caption of a beam is worth, which ones are found, and that nothing else matters."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from toy_captioners import (
    WORDS,
    every_caption,
    lively_captioner,
    never_ending,
    only,
    picked,
    random_regions,
    slow_rank,
    slow_search,
    worth,
)

from updown_lab.config import DecodeConfig
from updown_lab.decode import beam_search, greedy
from updown_lab.errors import ConfigError, DataInvalid
from updown_lab.models.captioner import shift_right
from updown_lab.text import END, PAD, START, UNKNOWN

#: Each setting that changes which captions are found.
SETTINGS = {
    "paper": {},
    "free": {"no_repeat": False},
    "content once": {"content_once": True},
    "good endings": {"no_bad_endings": True},
    "not short": {"minimum_words": 2},
    "all rules": {"content_once": True, "no_bad_endings": True, "minimum_words": 2},
    "stuck": {"content_once": True, "no_repeat": True, "minimum_words": 4},
    "average": {"length_norm": "average"},
    "gnmt": {"length_norm": "gnmt", "length_power": 1.5},
    "collect": {"finished": "collect"},
    "collect, average": {"finished": "collect", "length_norm": "average", "no_bad_endings": True},
    "collect, stuck": {"finished": "collect", "content_once": True, "minimum_words": 4},
    "the best only": {"captions": 1},
    "the best two": {"captions": 2, "length_norm": "gnmt"},
    "collect, the best only": {"finished": "collect", "captions": 1},
    "groups": {"groups": 3, "diversity": 1.0},
    "groups, collect": {"groups": 2, "diversity": 3.0, "finished": "collect", "length_norm": "average"},
}
every_setting = pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)


@pytest.mark.parametrize("beam_size", [1, 2, 5])
@pytest.mark.parametrize("maximum_words", [1, 4, 12])
def test_every_beam_is_worth_what_the_model_says(beam_size, maximum_words):
    captioner, regions = lively_captioner(), random_regions()

    found = beam_search(captioner, regions, DecodeConfig(beam_size, maximum_words))

    for image, captions in enumerate(found):
        assert captions
        for caption in captions:
            expected = worth(captioner, regions, image, caption.tokens)
            assert math.isclose(caption.log_prob, expected.sum().item(), abs_tol=1e-4)
            torch.testing.assert_close(caption.word_log_probs, expected[: len(caption.words)])


def test_weights_of_a_caption_are_those_the_model_used_for_the_images_own_regions():
    captioner, regions = lively_captioner(), random_regions()

    for image, captions in enumerate(beam_search(captioner, regions, DecodeConfig())):
        for caption in captions:
            words = shift_right(torch.tensor([caption.tokens]))
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
        assert from_greedy[image].tokens == expected
        assert from_beam[image][0].tokens == expected


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
            assert len(caption.tokens) <= 15


def test_the_unknown_word_is_said_only_when_allowed():
    captioner, regions = lively_captioner(), random_regions()
    captioner.output.bias.data[UNKNOWN] = 50.0

    assert all(UNKNOWN not in caption.words for caption in greedy(captioner, regions, 5))
    assert all(caption.words == [UNKNOWN] * 5 for caption in greedy(captioner, regions, 5, allow_unknown=True))


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


@pytest.mark.parametrize("junk", [1e6, float("nan")])
def test_padded_regions_change_no_caption(junk):
    captioner, regions = lively_captioner(), random_regions()
    dirty = replace(regions, features=regions.features.masked_fill(~regions.mask[..., None], junk))

    expected, got = (beam_search(captioner, batch, DecodeConfig()) for batch in (regions, dirty))

    assert [[c.words for c in captions] for captions in got] == [[c.words for c in captions] for captions in expected]


@every_setting
@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_what_lists_and_loops_find(changes, seed):
    captioner, regions = lively_captioner(seed=seed).double(), random_regions(images=3)
    regions = replace(regions, features=regions.features.double())
    cfg = DecodeConfig(**{"beam_size": 6, "maximum_words": 7} | changes)

    found = beam_search(captioner, regions, cfg, vocabulary=WORDS)

    for image, captions in enumerate(found):
        expected = slow_search(captioner, regions, image, cfg)
        assert [caption.tokens for caption in captions] == [tokens for tokens, _ in expected]
        for caption, (_, log_prob) in zip(captions, expected):
            assert math.isclose(caption.log_prob, log_prob, abs_tol=1e-9)


@every_setting
def test_a_wide_beam_finds_all_captions_there_are_in_the_right_order(changes):
    captioner, regions = lively_captioner().double(), random_regions(images=2)
    regions = replace(regions, features=regions.features.double())
    cfg = DecodeConfig(**{"beam_size": 200, "maximum_words": 4} | changes | {"groups": 1})

    found = beam_search(captioner, regions, cfg, vocabulary=WORDS)

    for image, captions in enumerate(found):
        values = {tuple(tokens): worth(captioner, regions, image, tokens).sum().item() for tokens in every_caption(cfg)}
        ranks = {tokens: slow_rank(value, len(tokens), cfg) for tokens, value in values.items()}
        compete = cfg.finished == "compete"
        expected = sorted(ranks, key=lambda tokens: (compete and tokens[-1] != END, -ranks[tokens]))
        assert [tuple(caption.tokens) for caption in captions] == expected[: cfg.captions or None]


@every_setting
def test_every_beam_is_worth_what_the_model_says_under_every_setting(changes):
    captioner, regions = lively_captioner(), random_regions()
    cfg = DecodeConfig(**{"beam_size": 6, "maximum_words": 9} | changes)

    for image, captions in enumerate(beam_search(captioner, regions, cfg, vocabulary=WORDS)):
        assert captions
        for caption in captions:
            expected = worth(captioner, regions, image, caption.tokens)
            assert math.isclose(caption.log_prob, expected.sum().item(), abs_tol=1e-4)
            torch.testing.assert_close(caption.word_log_probs, expected[: len(caption.words)], rtol=1e-4, atol=1e-5)


@every_setting
def test_neither_the_order_of_images_nor_their_company_matters(changes):
    captioner, regions = lively_captioner(), random_regions()
    cfg = DecodeConfig(**{"beam_size": 6, "maximum_words": 9} | changes)
    order = torch.tensor([2, 0, 3, 1])

    together = [[c.tokens for c in found] for found in beam_search(captioner, regions, cfg, vocabulary=WORDS)]
    mixed = beam_search(captioner, picked(regions, order), cfg, vocabulary=WORDS)
    alone = [beam_search(captioner, only(regions, image), cfg, vocabulary=WORDS)[0] for image in range(4)]

    assert [[c.tokens for c in mixed[place]] for place in order.argsort()] == together
    assert [[c.tokens for c in captions] for captions in alone] == together


@pytest.mark.parametrize("finished", ["compete", "collect"])
@pytest.mark.parametrize("length_norm", ["none", "average", "gnmt"])
def test_wanting_fewer_captions_stops_earlier_and_changes_none(finished, length_norm):
    captioner, regions = lively_captioner(seed=2), random_regions()
    captioner.output.bias.data[END] = 3.0
    cfg = DecodeConfig(5, 20, finished=finished, length_norm=length_norm)
    steps, once = [], captioner._log_probs
    captioner._log_probs = lambda hidden: steps.append(len(hidden)) or once(hidden)

    def told(wanted: int) -> tuple[list, int]:
        steps.clear()
        found = beam_search(captioner, regions, replace(cfg, captions=wanted))
        return [[c.tokens for c in captions] for captions in found], sum(steps)

    everything, work = told(0)
    for wanted in (1, 2, 4):
        best, less = told(wanted)
        assert best == [captions[:wanted] for captions in everything]
        assert less <= work
    assert told(1)[1] < work


def test_groups_without_a_penalty_all_find_the_same():
    captioner, regions = lively_captioner(), random_regions()

    alike = beam_search(captioner, regions, DecodeConfig(6, 9, groups=3, diversity=0.0))
    plain = beam_search(captioner, regions, DecodeConfig(2, 9))

    for many, few in zip(alike, plain):
        assert sorted(c.tokens for c in many) == sorted([c.tokens for c in few] * 3)


def test_groups_that_avoid_each_other_at_all_costs_never_say_the_same_word_at_the_same_place():
    captioner, regions = never_ending(lively_captioner()), random_regions()
    cfg = DecodeConfig(3, 6, no_repeat=False, groups=3, diversity=1e3)

    for captions in beam_search(captioner, regions, cfg):
        for said in zip(*(caption.words for caption in captions)):
            assert len(set(said)) == 3


@pytest.mark.parametrize("prefix", [[5], [5, 5, UNKNOWN], [6, 4, 6, 4]])
def test_a_forced_prefix_stands_above_all_rules_and_is_paid_for(prefix):
    captioner, regions = lively_captioner(), random_regions()
    cfg = DecodeConfig(4, 6, content_once=True, no_bad_endings=True)

    for image, captions in enumerate(beam_search(captioner, regions, cfg, vocabulary=WORDS, prefix=prefix)):
        expected = slow_search(captioner, regions, image, cfg, tuple(prefix))
        assert [caption.tokens for caption in captions] == [tokens for tokens, _ in expected]
        for caption in captions:
            assert caption.words[: len(prefix)] == prefix
            value = worth(captioner, regions, image, caption.tokens).sum().item()
            assert math.isclose(caption.log_prob, value, abs_tol=1e-4)


def test_a_prefix_of_full_length_is_the_whole_caption():
    [[caption]] = beam_search(lively_captioner(), random_regions(images=1), DecodeConfig(3, 2), prefix=[4, 4])

    assert caption.words == [4, 4] and not caption.ended


def test_alternatives_are_what_the_model_liked_best_before_any_rule():
    captioner, regions = lively_captioner(), random_regions()
    cfg = DecodeConfig(4, 8, content_once=True, alternatives=3)

    for image, captions in enumerate(beam_search(captioner, regions, cfg, vocabulary=WORDS, prefix=[6])):
        for caption in captions:
            with torch.no_grad():
                log_probs, _ = captioner(regions, torch.tensor([[START, *caption.words]]), torch.tensor([image]))
            values, ids = log_probs[0, : len(caption.words)].topk(3)
            assert torch.equal(caption.alternatives, ids)
            torch.testing.assert_close(caption.alternative_log_probs, values)


def test_a_rule_of_your_own():
    def no_cats(log_probs, words):
        log_probs[:, WORDS.ids["cat"]] = -math.inf

    found = beam_search(lively_captioner(), random_regions(), DecodeConfig(maximum_words=9), rules=[no_cats])

    assert all(WORDS.ids["cat"] not in caption.words for captions in found for caption in captions)


def test_where_nothing_may_be_said_the_caption_is_cut_off_there():
    def silence(log_probs, words):
        if words.shape[1] > 1:
            log_probs[:] = -math.inf

    for captions in beam_search(lively_captioner(), random_regions(), DecodeConfig(3, 9), rules=[silence]):
        assert captions and all(len(caption.tokens) <= 1 for caption in captions if caption.ended)
        assert all(len(caption.words) == 1 for caption in captions if not caption.ended)


def test_no_images_give_no_captions():
    assert beam_search(lively_captioner(), picked(random_regions(), slice(0, 0)), DecodeConfig()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_size": 0}, "decode.beam_size is at least 1; got 0"),
        ({"maximum_words": 0}, "decode.maximum_words"),
        ({"length_norm": "mean"}, "one of none, average, gnmt; got 'mean'"),
        ({"finished": "keep"}, "one of compete, collect"),
        ({"length_power": -1.0}, "decode.length_power"),
        ({"groups": 2}, "beam_size=5 cannot be shared by decode.groups=2"),
        ({"minimum_words": 30}, "minimum_words=30 is more than"),
        ({"captions": -1}, "decode.captions"),
        ({"diversity": -1.0}, "decode.diversity"),
        ({"content_once": True}, "decode.content_once is about words.*vocabulary="),
        ({"no_bad_endings": True}, "decode.no_bad_endings is about words"),
    ],
)
def test_an_impossible_setting_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        beam_search(lively_captioner(), random_regions(), DecodeConfig(**changes))


@pytest.mark.parametrize(
    ("prefix", "message"), [([4, END], "without <pad>"), ([4] * 21, "longer than decode.max"), ([9], "7 words")]
)
def test_an_impossible_prefix_is_refused(prefix, message):
    with pytest.raises(ValueError, match=message):
        beam_search(lively_captioner(), random_regions(), DecodeConfig(), prefix=prefix)


def test_a_captioner_that_says_nan_is_refused():
    captioner = lively_captioner()
    captioner.output.bias.data[5] = math.nan

    with pytest.raises(DataInvalid, match="nan"):
        beam_search(captioner, random_regions(), DecodeConfig())
