"""Every variant of the VQA model is a setting, and says what its name says."""

from dataclasses import replace

import pytest
import torch

from updown_lab.config import VqaConfig
from updown_lab.errors import ConfigError, DataInvalid
from updown_lab.models.layers import Layer, norm_weights
from updown_lab.models.vqa import UpDownVqa
from updown_lab.regions import RegionBatch
from updown_lab.text import UNKNOWN

SMALL = VqaConfig(embedding_size=4, hidden_size=6, dropout=0.0, normalise=False, maximum_words=5)
QUESTIONS, OWNERS = torch.tensor([[4, 5, 6], [7, 0, 0], [0, 0, 0]]), torch.tensor([0, 1, 1])
VARIANTS = [
    {},
    {"activation": "relu"},
    {"weight_norm": True},
    {"attention": "product"},
    {"attention": "uniform"},
    {"attention": "none"},
    {"reader": "lstm"},
    {"reader": "lstm", "front_padding": True},
    {"front_padding": True},
    {"classifier": "hidden"},
    {"classifier": "two-stream"},
]


def model_of(**changes):
    torch.manual_seed(0)
    return UpDownVqa(replace(SMALL, **changes), vocabulary_size=9, answers=7, feature_dim=3).double().eval()


def regions_of(*counts):
    torch.manual_seed(1)
    most = max(counts)
    mask = torch.arange(most) < torch.tensor(counts)[:, None]
    return RegionBatch(torch.randn(len(counts), most, 3).double(), torch.zeros(len(counts), most, 4), mask)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_padding_changes_no_answer_and_every_weight_learns(changes):
    model, few = model_of(**changes), regions_of(2, 5)
    junk, nothing = torch.full((2, 3, 3), float("nan")).double(), torch.zeros(2, 3, dtype=torch.bool)
    dirty = RegionBatch(torch.cat([few.features, junk], 1), torch.zeros(2, 8, 4), torch.cat([few.mask, nothing], 1))
    wider = torch.cat([QUESTIONS, torch.zeros(3, 2, dtype=torch.long)], 1)

    logits, _ = model(few, QUESTIONS, OWNERS)
    again, _ = model(dirty, wider, OWNERS)
    logits.square().sum().backward()

    torch.testing.assert_close(again, logits)
    blind = ("region_gates", "question_gates", "score") if changes.get("attention") in ("uniform", "none") else ()
    lost = [
        name for name, value in model.named_parameters() if value.grad is None and not name.startswith(blind or "-")
    ]
    assert not lost and logits.isfinite().all()


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_one_region_or_a_hundred(changes, count):
    logits, weights = model_of(**changes)(regions_of(count), torch.tensor([[4, 5]]), torch.tensor([0]))

    assert logits.isfinite().all()
    assert weights.sum().item() == pytest.approx(0.0 if changes.get("attention") == "none" else 1.0)


def test_product_attention_by_hand():
    model, regions = model_of(attention="product", activation="relu"), regions_of(3)

    _, weights = model(regions, QUESTIONS[:1], torch.tensor([0]))

    seen = (regions.features[0] @ model.region_gates.weight.T + model.region_gates.bias).clamp(min=0)
    asked = (model.read(QUESTIONS[:1])[0] @ model.question_gates.weight.T + model.question_gates.bias).clamp(min=0)
    torch.testing.assert_close(weights[0], torch.softmax((seen * asked) @ model.score.weight[0], 0))


@pytest.mark.parametrize("reader", ["gru", "lstm"])
def test_blanks_in_front_are_read_as_if_each_question_had_them(reader):
    model = model_of(front_padding=True, reader=reader)
    with torch.no_grad():
        model.embedding.weight[0] = torch.randn(4)  # a checkpoint's blank is some vector

    got = model.read(QUESTIONS)

    for row, words in enumerate([[0, 0, 4, 5, 6], [0, 0, 0, 0, 7], [0] * 5]):
        state = model.reader(model.embedding(torch.tensor([words])))[1]
        torch.testing.assert_close(got[row], (state[0] if reader == "lstm" else state)[0, 0])


def test_a_question_longer_than_the_room_has_no_blanks_in_front():
    model, long = model_of(front_padding=True), torch.tensor([[4, 5, 6, 7, 8, 4, 5]])

    torch.testing.assert_close(model.read(long)[0], model.reader(model.embedding(long))[1][0, 0])


def test_two_streams_add_up_and_start_from_what_is_known():
    model = model_of(classifier="two-stream", weight_norm=True)
    words, pictures = torch.randn(7, 4).double(), torch.randn(7, 3).double()
    model.start_from(None, words, pictures)
    joint = torch.randn(2, 6).double()

    ends = model.classifier
    expected = ends.to_text(joint) @ words.T + ends.to_image(joint) @ pictures.T + ends.bias

    torch.testing.assert_close(ends(joint), expected)


@pytest.mark.parametrize("vectors", [None, torch.ones(9, 4)])
def test_a_word_that_was_never_read_says_nothing(vectors):
    model = model_of()
    if vectors is not None:
        model.start_from(vectors, None, None)

    assert (model.embedding.weight[UNKNOWN] == 0).all()
    assert (model.embedding.weight[UNKNOWN + 1 :].abs().sum(1) > 0).all()


def test_streams_of_which_nothing_is_known_keep_their_chance():
    """A matrix of zeros has no direction, which weight norm would divide by."""
    model = model_of(classifier="two-stream", weight_norm=True)
    before = [layer.weight.detach().clone() for layer in (model.classifier.text, model.classifier.image)]

    model.start_from(None, torch.zeros(7, 4).double(), torch.zeros(7, 3).double())

    torch.testing.assert_close([model.classifier.text.weight, model.classifier.image.weight], before)
    assert model(regions_of(2, 5), QUESTIONS, OWNERS)[0].isfinite().all()


@pytest.mark.parametrize("attention", ["concatenated", "product"])
def test_attention_drops_out_in_training_only(attention):
    model, asked = model_of(attention=attention, attention_dropout=0.5), (regions_of(2, 5), QUESTIONS, OWNERS)
    torch.manual_seed(0)

    learning, judging = [[model.train(learns)(*asked)[1] for _ in range(2)] for learns in (True, False)]

    assert not torch.equal(*learning)
    torch.testing.assert_close(*judging)


def test_word_vectors_of_another_width_are_refused_with_the_setting_that_mends_it():
    with pytest.raises(DataInvalid, match=r"vqa\.embedding_size=50"):
        model_of().start_from(torch.zeros(9, 50), None, None)


def test_weight_norm_learns_one_length_a_matrix():
    layer = Layer(3, 2, "relu")
    before = layer.both.weight.detach().clone()
    norm_weights(layer)
    length, direction = layer.both.parametrizations.weight.original0, layer.both.parametrizations.weight.original1

    with torch.no_grad():
        length.mul_(3)

    assert length.numel() == 1 and direction.shape == (2, 3)
    torch.testing.assert_close(layer.both.weight.detach(), 3 * before)


@pytest.mark.parametrize(
    "changes", [{"activation": "tanh"}, {"reader": "rnn"}, {"attention": "hard"}, {"classifier": "x"}]
)
def test_an_unknown_variant_is_refused_with_the_known_ones(changes):
    with pytest.raises(ConfigError, match=r"one of|known: "):
        model_of(**changes)
