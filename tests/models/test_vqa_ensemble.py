"""Models that read text: several of them answer together, by the names of their answers."""

import pytest
import torch

from updown_lab.config import VqaConfig
from updown_lab.errors import ConfigError, DataInvalid
from updown_lab.models.ensemble import TextVqa, VqaEnsemble
from updown_lab.models.vqa import UpDownVqa
from updown_lab.regions import RegionBatch
from updown_lab.text import AnswerVocabulary, Vocabulary

SMALL = VqaConfig(embedding_size=4, hidden_size=6, maximum_words=3)
REGIONS = RegionBatch(torch.arange(6.0).reshape(1, 2, 3), torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool))
ASKED = REGIONS, ["is the cat red"], torch.tensor([0])


def member(*answers, seed=0, words=("is", "the", "cat"), blind=False, tokeniser="words"):
    torch.manual_seed(seed)
    words = Vocabulary(words, tokeniser)
    model = UpDownVqa(SMALL, len(words), len(answers), 1 if blind else 3)
    return TextVqa(model, words, AnswerVocabulary(answers), blind)


def certain(probabilities, **more):
    """A member that believes {answer: probability} whatever it is asked."""
    one = member(*probabilities, **more)
    with torch.no_grad():
        one.model.classifier.answer.weight.zero_()
        one.model.classifier.bias.copy_(torch.tensor([*probabilities.values()]).logit())
    return one


def test_probabilities_are_averaged_by_the_answers_names_not_by_their_places():
    """By hand: yes (0.2 + 0.8) / 2, no (0.6 + 0.5) / 2; only the second knows red, the first rules it out: 0.4 / 2."""
    both = VqaEnsemble([certain({"yes": 0.2, "no": 0.6}), certain({"no": 0.5, "red": 0.4, "yes": 0.8})])

    probabilities, weights = both(*ASKED)

    assert both.answers.answers == ["yes", "no", "red"]
    torch.testing.assert_close(probabilities, torch.tensor([[0.5, 0.55, 0.2]]))
    assert not probabilities.requires_grad and weights.shape == (1, 2)


def test_probabilities_are_averaged_not_logits():
    """By hand: (0.5 + 0.9) / 2; the mean of the logits would be 0.75."""
    got, _ = VqaEnsemble([certain({"yes": 0.5}), certain({"yes": 0.9})])(*ASKED)

    torch.testing.assert_close(got, torch.tensor([[0.7]]))


def test_members_may_come_from_a_generator_and_stop_dropping_out():
    one = member("yes", "no").train()

    together = VqaEnsemble(one for _ in range(2))

    torch.testing.assert_close(together(*ASKED), one.eval()(*ASKED))
    assert not any(module.training for module in together.modules())
    with pytest.raises(ConfigError, match="at least one model"):
        VqaEnsemble([])


def test_each_member_reads_the_question_with_its_own_words_as_far_as_it_reads():
    his = member("yes", words=("is", "the", "cat's"), tokeniser="blanks")
    ours = member("yes", words=("the", "cat's"))

    assert ours.unknown("Is is the cat's tail red?") == ["is"]  # the tail comes after three words
    assert his.unknown("Is the cat's?") == ["cat", "'s"][:1]
    assert VqaEnsemble([ours, his]).unknown("Is it the cat's?") == ["it"]


def test_a_blind_member_is_shown_nothing_and_leaves_the_attention_alone():
    sees, blind = member("yes", seed=1), member("yes", seed=2, blind=True)

    probabilities, weights = VqaEnsemble([blind, sees])(*ASKED)

    torch.testing.assert_close(weights, sees(*ASKED)[1])
    torch.testing.assert_close(probabilities, (sees(*ASKED)[0] + blind(*ASKED)[0]) / 2)
    assert VqaEnsemble([blind, sees]).feature_dim == 3 and VqaEnsemble([blind]).feature_dim is None
    assert VqaEnsemble([blind])(*ASKED)[1].shape == (1, 0)


def test_each_member_may_have_eyes_of_its_own():
    one, two = member("yes", seed=1), member("yes", seed=2)
    more = RegionBatch(torch.randn(1, 5, 3), torch.zeros(1, 5, 4), torch.ones(1, 5, dtype=torch.bool))

    probabilities, weights = VqaEnsemble([one, two])([REGIONS, more], *ASKED[1:])

    torch.testing.assert_close(probabilities, (one(*ASKED)[0] + two(more, *ASKED[1:])[0]) / 2)
    torch.testing.assert_close(weights, one(*ASKED)[1])


@pytest.mark.parametrize(
    ("words", "answers", "said"), [(2, 3, "3 answers are listed, but the model has 2"), (1, 2, "5 words are listed")]
)
def test_words_and_answers_of_another_model_are_refused(words, answers, said):
    model = UpDownVqa(SMALL, 6, 2, 3)

    with pytest.raises(DataInvalid, match=said):
        TextVqa(model, Vocabulary("abcdef"[:words]), AnswerVocabulary("abcdef"[:answers]))
