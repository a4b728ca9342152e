import math
from dataclasses import replace

import pytest
import torch

from updown_lab.config import VqaConfig, preset
from updown_lab.models.layers import Layer
from updown_lab.models.vqa import UpDownVqa
from updown_lab.regions import RegionBatch

SMALL = VqaConfig(embedding_size=6, hidden_size=7, normalise=False, dropout=0.0)
QUESTIONS = torch.tensor([[4, 5, 6], [7, 0, 0], [8, 4, 0], [0, 0, 0]])
ROWS = torch.tensor([1, 0, 1, 2])


def random_regions(images: int = 3, count: int = 4, feature_dim: int = 3) -> RegionBatch:
    features = torch.randn(images, count, feature_dim, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(count) < torch.arange(count, count - images, -1).clamp(min=1)[:, None]
    return RegionBatch(features, torch.zeros(images, count, 4), mask)


def small_model(cfg: VqaConfig = SMALL, feature_dim: int = 3) -> UpDownVqa:
    torch.manual_seed(0)
    return UpDownVqa(cfg, vocabulary_size=10, answers=5, feature_dim=feature_dim)


def gated(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The paper's gated tanh, with W and W' taken apart."""
    value, door = weight.chunk(2)
    value_bias, door_bias = bias.chunk(2)
    return torch.tanh(value @ x + value_bias) * torch.sigmoid(door @ x + door_bias)


@torch.no_grad()
def answer_slowly(model: UpDownVqa, features: torch.Tensor, question: list[int]):
    """Sec. 3.3 line by line for one question about one image without padding."""
    state = torch.zeros(1, 1, model.reader.hidden_size)
    for word in question:
        _, state = model.reader(model.embedding.weight[word].view(1, 1, -1), state)
    q = state[0, 0]
    joined = torch.cat([model.region_gates.weight, model.question_gates.weight], 1)  # W of [v, q]
    scores = [
        model.score.weight[0] @ gated(torch.cat([region, q]), joined, model.region_gates.bias) for region in features
    ]
    weights = torch.stack(scores).softmax(0)
    v_hat = (weights[:, None] * features).sum(0)
    both = [(model.from_question.both, q), (model.from_image.both, v_hat)]
    from_question, from_image = (gated(x, layer.weight, layer.bias) for layer, x in both)
    last = model.classifier.before_answer.both
    return model.classifier.answer(gated(from_question * from_image, last.weight, last.bias)), weights


def test_the_model_is_the_paper_line_by_line():
    model, regions = small_model(), random_regions()

    logits, weights = model(regions, QUESTIONS, ROWS)

    for row, image in enumerate(ROWS.tolist()):
        question = QUESTIONS[row][QUESTIONS[row] != 0].tolist()
        expected, looked = answer_slowly(model, regions.features[image][regions.mask[image]], question)
        torch.testing.assert_close(logits[row], expected)
        torch.testing.assert_close(weights[row][regions.mask[image]], looked)


def test_gated_tanh_by_hand():
    layer = Layer(1, 1)
    layer.both.weight.data, layer.both.bias.data = torch.tensor([[2.0], [-1.0]]), torch.tensor([0.5, 0.25])

    got = layer(torch.tensor([[3.0]]))

    expected = math.tanh(2 * 3 + 0.5) / (1 + math.exp(-(-1 * 3 + 0.25)))
    torch.testing.assert_close(got, torch.tensor([[expected]]))


@pytest.mark.parametrize("junk", [0.0, 1e6, float("nan"), float("inf")])
@pytest.mark.parametrize("normalise", [False, True])
def test_padded_regions_change_neither_answers_nor_gradients(junk, normalise):
    model, regions = small_model(replace(SMALL, normalise=normalise)), random_regions()
    outcomes = []
    for filling in (0.5, junk):
        model.zero_grad()
        features = regions.features.masked_fill(~regions.mask[..., None], filling)
        logits, weights = model(replace(regions, features=features), QUESTIONS, ROWS)
        (logits.sum() + weights.square().sum()).backward()
        outcomes.append((logits, weights, {name: value.grad for name, value in model.named_parameters()}))

    torch.testing.assert_close(outcomes[1], outcomes[0])


def test_questions_that_share_an_image_equal_questions_about_copies_of_it():
    model, regions = small_model(), random_regions()
    copies = RegionBatch(regions.features[ROWS], regions.boxes[ROWS], regions.mask[ROWS])

    torch.testing.assert_close(model(regions, QUESTIONS, ROWS), model(copies, QUESTIONS, torch.arange(4)))


def test_padding_behind_a_question_changes_nothing():
    model, regions = small_model(), random_regions()
    longer = torch.nn.functional.pad(QUESTIONS, (0, 5))

    torch.testing.assert_close(model(regions, longer, ROWS), model(regions, QUESTIONS, ROWS))


@pytest.mark.parametrize("questions", [torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long)])
def test_a_question_without_words_is_read_as_zero(questions):
    assert (small_model().read(questions) == 0).all()


@pytest.mark.parametrize("count", [0, 2])
def test_without_regions_only_the_question_answers(count):
    model = small_model()
    nothing = RegionBatch(
        torch.full((1, count, 3), math.nan), torch.zeros(1, count, 4), torch.zeros(1, count, dtype=torch.bool)
    )

    logits, weights = model(nothing, QUESTIONS, torch.zeros(4, dtype=torch.long))
    logits.sum().backward()

    fixed = model.from_image(torch.zeros(3))  # f_v(0), a constant the model may learn
    expected = model.classifier(model.from_question(model.read(QUESTIONS)) * fixed)
    torch.testing.assert_close(logits, expected)
    assert weights.shape == (4, count) and (weights == 0).all()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())


@pytest.mark.parametrize("count", [1, 100])
def test_any_number_of_regions_is_fine(count):
    features = torch.randn(1, count, 3, generator=torch.Generator().manual_seed(0))
    regions = RegionBatch(features, torch.zeros(1, count, 4), torch.ones(1, count, dtype=torch.bool))

    _, weights = small_model()(regions, QUESTIONS, torch.zeros(4, dtype=torch.long))

    torch.testing.assert_close(weights.sum(1), torch.ones(4))


def test_normalised_features_do_not_depend_on_their_length():
    model, regions = small_model(replace(SMALL, normalise=True)), random_regions()
    longer = replace(regions, features=regions.features * 7)

    torch.testing.assert_close(model(longer, QUESTIONS, ROWS), model(regions, QUESTIONS, ROWS))


def test_the_answer_prior_is_what_a_model_with_nothing_to_say_believes():
    model = small_model()
    prior = torch.tensor([0.5, 0.25, 0.01, 0.0, 1.0])
    torch.nn.init.zeros_(model.classifier.answer.weight)

    model.set_answer_prior(prior)
    logits, _ = model(random_regions(), QUESTIONS, ROWS)

    torch.testing.assert_close(logits.sigmoid(), prior.expand(4, 5), atol=2e-5, rtol=1e-4)
    assert logits.isfinite().all()


@pytest.mark.parametrize("prior", [[0.5], [0.5, 0.5, 0.5, 0.5, 1.5], [0.1, 0.1, 0.1, 0.1, math.nan]])
def test_an_impossible_prior_is_refused(prior):
    with pytest.raises(ValueError, match="prior must be"):
        small_model().set_answer_prior(torch.tensor(prior))


def test_dropout_acts_in_training_only():
    model, regions = small_model(replace(SMALL, dropout=0.5)), random_regions()
    torch.manual_seed(0)

    learning = [model(regions, QUESTIONS, ROWS)[0] for _ in range(2)]
    model.eval()
    judging = [model(regions, QUESTIONS, ROWS)[0] for _ in range(2)]

    assert not torch.equal(*learning)
    assert torch.equal(*judging)


def test_tiny_and_paper_size_have_the_same_state_dict_keys():
    tiny = UpDownVqa(preset("tiny").vqa, vocabulary_size=120, answers=60, feature_dim=192)
    with torch.device("meta"):
        paper = UpDownVqa(preset("paper").vqa, vocabulary_size=19_901, answers=3129, feature_dim=2048)

    assert list(tiny.state_dict()) == list(paper.state_dict())


def test_image_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="one image a question"):
        small_model()(random_regions(), QUESTIONS, ROWS[:2])
