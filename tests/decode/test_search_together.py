"""What half-sentences share changes the work, not the numbers."""

import pytest
import torch
from toy_captioners import VOCABULARY, random_regions

from updown_lab.config import CaptionerConfig, DecodeConfig
from updown_lab.decode import Ensemble
from updown_lab.decode.together import Together, together
from updown_lab.models.captioner import UpDownCaptioner

SIZES = {"embedding_size": 6, "hidden_size": 8, "attention_size": 5}
VARIANTS = {
    "paper": {},
    "projected": {"projection_size": 7, "word_relu": True, "attention_bias": True},
    "geometry-free mean": {"normalise": "attended"},
    "uniform": {"attention": "uniform"},
}


def captioner_of(changes: dict) -> UpDownCaptioner:
    torch.manual_seed(0)
    return UpDownCaptioner(CaptionerConfig(**SIZES, **changes), VOCABULARY, 3).double().eval()


def double(regions):
    return type(regions)(regions.features.double(), regions.boxes, regions.mask)


@pytest.mark.parametrize("rows", [0, 1000])  # W (sum alpha v), sum alpha (W v)
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_words_and_weights_are_the_captioners_own_however_sentences_are_reordered(changes, rows):
    plain, regions = captioner_of(changes), double(random_regions())
    shared = Together(plain, rows)
    states = [plain.begin(regions), shared.begin(regions)]
    words, chance = torch.tensor([1, 1, 1, 1]), torch.Generator().manual_seed(0)

    for _ in range(5):
        (expected, weights, one), (got, their_weights, two) = (
            side.step(words, state) for side, state in zip((plain, shared), states)
        )
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(their_weights, weights)
        order = torch.randint(len(words), (12,), generator=chance)  # with heirs and without
        states = [one.select(order), two.select(order)]
        states = [state.select(slice(1, 11)) for state in states]
        assert torch.equal(states[0].image_rows, states[1].image_rows) and len(states[1]) == 10
        words = torch.randint(4, VOCABULARY, (10,), generator=chance)


@torch.no_grad()
def test_heirs_of_one_sentence_and_equal_words_are_worked_on_once():
    model, seen = captioner_of({}), {}
    shared = Together(model, 1000)
    for name in ("word_gates", "hidden_gates"):
        layer = getattr(model, name)
        layer.register_forward_hook(lambda _, given, __, name=name: seen.update({name: len(given[0])}))

    _, _, state = shared.step(torch.tensor([1, 1, 1, 1]), shared.begin(double(random_regions())))
    shared.step(torch.tensor([4, 5, 4, 5, 4]), state.select(torch.tensor([0, 0, 0, 3, 3])))

    assert seen == {"word_gates": 2, "hidden_gates": 2}


def test_only_what_is_known_is_worked_on_together():
    model, stranger = captioner_of({}), object()

    assert isinstance(together(model, DecodeConfig()), Together)
    assert isinstance(together(Ensemble([model]), DecodeConfig()).members[0], Together)
    assert together(model, DecodeConfig(beam_size=1)) is model
    assert together(stranger, DecodeConfig()) is stranger
