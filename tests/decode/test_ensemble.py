"""Several captioners, one sentence."""

from itertools import chain

import pytest
import torch
from toy_captioners import WORDS, lively_captioner, random_regions

from updown_lab.config import DecodeConfig
from updown_lab.decode import Ensemble, beam_search, explain, greedy, sample
from updown_lab.errors import DataInvalid
from updown_lab.text import START


def told(found) -> list[list[list[int]]]:
    return [[caption.tokens for caption in captions] for captions in found]


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_captioner_that_agrees_with_itself_is_itself(beam_size, copies):
    captioner, regions = lively_captioner(), random_regions()
    cfg = DecodeConfig(beam_size, 9, content_once=True)

    alone = beam_search(captioner, regions, cfg, vocabulary=WORDS)
    chorus = beam_search(Ensemble([captioner] * copies), regions, cfg, vocabulary=WORDS)

    assert told(chorus) == told(alone)
    for many, one in zip(chain(*chorus), chain(*alone)):
        assert many.log_prob == pytest.approx(one.log_prob, abs=1e-4)
        torch.testing.assert_close(many.weights, one.weights)


def test_probabilities_are_averaged_not_their_logarithms():
    members, regions = [lively_captioner(seed=seed) for seed in range(3)], random_regions()
    words, ensemble = torch.full((4,), START), Ensemble(members)

    with torch.no_grad():
        got, weights, _ = ensemble.step(words, ensemble.begin(regions))
        each = [member.step(words, member.begin(regions)) for member in members]

    torch.testing.assert_close(got.exp(), sum(log_probs.exp() for log_probs, _, _ in each) / 3)
    torch.testing.assert_close(weights, each[0][1])


@pytest.mark.parametrize("beam_size", [1, 3])
def test_members_may_look_at_different_features_of_the_same_images(beam_size):
    members = [lively_captioner(seed=0), lively_captioner(seed=1, feature_dim=2)]
    views = [random_regions(), random_regions(count=9, feature_dim=2)]
    ensemble = Ensemble(members)

    found = beam_search(ensemble, views, DecodeConfig(beam_size, 9))

    for image, captions in enumerate(found):
        for caption in captions:
            assert caption.weights.shape == (len(caption.words), int(views[0].mask[image].sum()))
            if caption.words:
                [again] = explain(ensemble, views, torch.tensor([caption.tokens]), torch.tensor([image]))
                assert again.log_prob == pytest.approx(caption.log_prob, abs=1e-4)
    assert told(found) != told(beam_search(members[0], views[0], DecodeConfig(beam_size, 9)))


def test_an_ensemble_can_be_sampled():
    ensemble, regions = Ensemble([lively_captioner(seed=seed) for seed in range(2)]).eval(), random_regions()

    ids = sample(ensemble, regions, 6, 3, torch.Generator().manual_seed(0))

    assert ids.shape[0] == 12 and not any(member.training for member in ensemble.members)


def test_what_does_not_fit_together_is_refused():
    one, small = lively_captioner(), lively_captioner(vocabulary_size=9)

    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])
    with pytest.raises(DataInvalid, match=r"one vocabulary, these have \[7, 9\]"):
        greedy(Ensemble([one, small]), random_regions(), 5)
    with pytest.raises(DataInvalid, match="2 captioners need as many sets of regions, got 1"):
        greedy(Ensemble([one, one]), [random_regions()], 5)
    with pytest.raises(DataInvalid, match=r"same images, got \[4, 3\]"):
        greedy(Ensemble([one, one]), [random_regions(), random_regions(images=3)], 5)
