import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from updown_lab.config import CaptionerConfig, preset
from updown_lab.errors import DataInvalid
from updown_lab.models.captioner import UpDownCaptioner, lstm_update, shift_right
from updown_lab.regions import RegionBatch
from updown_lab.text import PAD, START

SMALL = CaptionerConfig(embedding_size=6, hidden_size=7, attention_size=5)
WORDS = torch.tensor([[1, 4, 5, 6], [1, 7, 0, 0], [1, 8, 4, 0], [1, 0, 0, 0], [1, 5, 5, 9]])
ROWS = torch.tensor([1, 0, 0, 2, 1])


def random_regions(images: int = 3, count: int = 4, feature_dim: int = 3, seed: int = 0) -> RegionBatch:
    features = torch.randn(images, count, feature_dim, generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(count) < torch.arange(count, count - images, -1).clamp(min=1)[:, None]
    return RegionBatch(features, torch.zeros(images, count, 4), mask)


def small_captioner(seed: int = 0) -> UpDownCaptioner:
    torch.manual_seed(seed)
    return UpDownCaptioner(SMALL, vocabulary_size=10, feature_dim=3)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_one_step_by_hand_on_a_model_with_two_feature_dimensions():
    captioner = UpDownCaptioner(CaptionerConfig(embedding_size=1, hidden_size=1, attention_size=1), 6, feature_dim=2)
    for parameter in captioner.parameters():
        nn.init.constant_(parameter, 0.5)
    regions = RegionBatch(torch.tensor([[[1.0, 0.0], [0.0, -1.0]]]), torch.zeros(1, 2, 4), torch.tensor([[True, True]]))

    log_probs, weights, state = captioner.step(torch.tensor([START]), captioner.begin(regions))

    # All weights, biases and embeddings are 0.5 and there is no past, so the four gates of an LSTM are one number.
    gate = 0.5 * 0.5 + 0.5 * (0.5 - 0.5) + 0.5  # W_e Pi = 0.5; v_bar = (0.5, -0.5); bias
    h1 = sigmoid(gate) * math.tanh(sigmoid(gate) * math.tanh(gate))
    scores = [0.5 * math.tanh(0.5 * 1 + 0.5 * h1), 0.5 * math.tanh(0.5 * -1 + 0.5 * h1)]
    first = 1 / (1 + math.exp(scores[1] - scores[0]))
    gate = 0.5 * (first - (1 - first)) + 0.5 * h1 + 0.5  # v_hat = (alpha_1, -alpha_2), then h1 and the bias
    h2 = sigmoid(gate) * math.tanh(sigmoid(gate) * math.tanh(gate))
    torch.testing.assert_close(state.attention_hidden, torch.tensor([[h1]]))
    torch.testing.assert_close(weights, torch.tensor([[first, 1 - first]]))
    torch.testing.assert_close(state.language_hidden, torch.tensor([[h2]]))
    # Six words with the same score; PAD and START cannot be said, which leaves four.
    torch.testing.assert_close(log_probs[0, 2:], torch.full((4,), math.log(0.25)))
    assert log_probs[0, :2].tolist() == [-math.inf, -math.inf]


def torch_cell(columns: list[torch.Tensor], recurrent: torch.Tensor, bias: torch.Tensor) -> nn.LSTMCell:
    """PyTorch's LSTM cell with our weights: its gates lie in the order i, f, g, o, ours i, f, o, g."""

    def reorder(matrix: torch.Tensor) -> torch.Tensor:
        let_in, keep, show, candidate = matrix.chunk(4)
        return torch.cat([let_in, keep, candidate, show])

    inputs = torch.cat(columns, 1)
    cell = nn.LSTMCell(inputs.shape[1], recurrent.shape[1])
    cell.weight_ih.data, cell.weight_hh.data = reorder(inputs), reorder(recurrent)
    cell.bias_ih.data, cell.bias_hh.data = reorder(bias), torch.zeros_like(bias)
    return cell


@torch.no_grad()
def describe_slowly(captioner: UpDownCaptioner, features: torch.Tensor, words: list[int]):
    """The paper line by line for one image without padding, with PyTorch's own LSTM cells."""
    size, feature_dim = captioner.hidden_size, features.shape[1]
    from_h1, from_h2 = captioner.hidden_gates.weight.split(size, 1)
    overview, word = captioner.overview_gates, captioner.word_gates.weight
    attention_lstm = torch_cell([from_h2, overview.weight, word], from_h1, overview.bias)
    from_view, from_h1, from_h2 = captioner.language_gates.weight.split([feature_dim, size, size], 1)
    language_lstm = torch_cell([from_view, from_h1], from_h2, captioner.language_gates.bias)
    attention = captioner.attention
    h1 = c1 = h2 = c2 = torch.zeros(1, size)
    log_probs, weights = [], []
    for number in words:
        x1 = torch.cat([h2, features.mean(0, keepdim=True), captioner.embedding.weight[number][None]], 1)
        h1, c1 = attention_lstm(x1, (h1, c1))
        alpha = attention.score(torch.tanh(attention.region(features) + attention.query(h1))).softmax(0)  # (K, 1)
        v_hat = (alpha * features).sum(0, keepdim=True)
        h2, c2 = language_lstm(torch.cat([v_hat, h1], 1), (h2, c2))
        logits = captioner.output(h2)[0]
        logits[[PAD, START]] = -math.inf
        log_probs.append(logits.log_softmax(0))
        weights.append(alpha[:, 0])
    return torch.stack(log_probs), torch.stack(weights)


def test_teacher_forcing_is_the_paper_line_by_line():
    captioner, regions = small_captioner(), random_regions()

    log_probs, weights = captioner(regions, WORDS, ROWS)

    for row, image in enumerate(ROWS.tolist()):
        said = WORDS[row][WORDS[row] != PAD].tolist()
        expected, looked = describe_slowly(captioner, regions.features[image][regions.mask[image]], said)
        torch.testing.assert_close(log_probs[row, : len(said)], expected)
        torch.testing.assert_close(weights[row, : len(said)][:, regions.mask[image]], looked)


def test_teacher_forcing_equals_step_by_step():
    captioner, regions = small_captioner(), random_regions()

    log_probs, weights = captioner(regions, WORDS, ROWS)

    state = captioner.begin(regions).select(ROWS)
    for place in range(WORDS.shape[1]):
        step_log_probs, step_weights, state = captioner.step(WORDS[:, place], state)
        said = WORDS[:, place] != PAD
        torch.testing.assert_close(log_probs[said, place], step_log_probs[said])
        torch.testing.assert_close(weights[said, place], step_weights[said])


def test_nothing_is_predicted_after_a_caption_has_ended():
    log_probs, weights = small_captioner()(random_regions(), WORDS, ROWS)

    assert (log_probs[WORDS == PAD] == 0).all()
    assert (weights[WORDS == PAD] == 0).all()


def gradients(captioner: UpDownCaptioner, regions: RegionBatch, words=WORDS, rows=ROWS) -> dict:
    captioner.zero_grad()
    log_probs, weights = captioner(regions, words, rows)
    (log_probs[..., 2:].sum() + weights.square().sum()).backward()
    return {name: parameter.grad for name, parameter in captioner.named_parameters()}


@pytest.mark.parametrize("junk", [0.0, 1e6, float("nan"), float("inf")])
def test_padded_regions_change_neither_predictions_nor_gradients(junk):
    captioner, regions = small_captioner(), random_regions()
    dirty = replace(regions, features=regions.features.masked_fill(~regions.mask[..., None], junk))
    clean = replace(regions, features=regions.features.masked_fill(~regions.mask[..., None], 0.5))

    expected, got = gradients(captioner, clean), gradients(captioner, dirty)

    torch.testing.assert_close(captioner(dirty, WORDS, ROWS), captioner(clean, WORDS, ROWS))
    torch.testing.assert_close(got, expected)


def test_captions_that_share_an_image_equal_captions_of_copies_of_it():
    captioner, regions = small_captioner(), random_regions()
    copies = RegionBatch(regions.features[ROWS], regions.boxes[ROWS], regions.mask[ROWS])
    own = torch.arange(len(ROWS))

    torch.testing.assert_close(captioner(regions, WORDS, ROWS), captioner(copies, WORDS, own))
    torch.testing.assert_close(gradients(captioner, regions), gradients(captioner, copies, rows=own))


def test_a_caption_does_not_depend_on_its_neighbours_in_the_batch():
    captioner, regions = small_captioner(), random_regions()

    together, _ = captioner(regions, WORDS, ROWS)
    alone, _ = captioner(regions, WORDS[2:3], ROWS[2:3])

    torch.testing.assert_close(together[2:3], alone)


def test_selecting_sentences_moves_their_memory_and_never_copies_the_images():
    captioner, regions = small_captioner(), random_regions()
    _, _, state = captioner.step(torch.tensor([START, START, START]), captioner.begin(regions))

    moved = state.select(torch.tensor([2, 2, 0]))

    assert moved.features is state.features and moved.keys is state.keys
    assert moved.image_rows.tolist() == [2, 2, 0]
    for name in ("attention_hidden", "attention_cell", "language_hidden", "language_cell"):
        torch.testing.assert_close(getattr(moved, name), getattr(state, name)[[2, 2, 0]])


@pytest.mark.parametrize("count", [1, 100])
def test_any_number_of_regions_is_fine(count):
    features = torch.randn(1, count, 3, generator=torch.Generator().manual_seed(0))
    regions = RegionBatch(features, torch.zeros(1, count, 4), torch.ones(1, count, dtype=torch.bool))

    log_probs, weights = small_captioner()(regions, WORDS[:1], torch.tensor([0]))

    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(1, 4))
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 4))


def test_an_image_without_regions_is_described_from_language_alone():
    nothing = RegionBatch(torch.full((1, 2, 3), math.nan), torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.bool))

    log_probs, weights = small_captioner()(nothing, WORDS[:1], torch.tensor([0]))

    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(1, 4))
    assert (weights == 0).all()


def test_tiny_and_paper_size_have_the_same_state_dict_keys():
    tiny = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=130, feature_dim=192)
    with torch.device("meta"):
        paper = UpDownCaptioner(preset("paper").captioner, vocabulary_size=10_010, feature_dim=2048)

    assert list(tiny.state_dict()) == list(paper.state_dict())
    # Sec. 3.2: x1 = [h2, v_bar, W_e Pi] and h1 make 1000 + 2048 + 1000 + 1000 inputs; x2 = [v_hat, h1] and h2 4048
    inputs = paper.word_gates.in_features + paper.overview_gates.in_features + paper.hidden_gates.in_features
    assert (inputs, paper.language_gates.in_features) == (5048, 4048)


def test_the_forget_gate_starts_open():
    captioner = small_captioner()

    for bias in (captioner.overview_gates.bias, captioner.language_gates.bias):
        assert bias.tolist() == [0.0] * 7 + [1.0] * 7 + [0.0] * 14  # i, f, o, g


def test_lstm_update_forgets_adds_and_shows():
    gates = torch.tensor([[1.0, 2.0, 3.0, 4.0]])

    hidden, cell = lstm_update(gates, torch.tensor([[0.5]]))

    expected = sigmoid(2.0) * 0.5 + sigmoid(1.0) * math.tanh(4.0)
    torch.testing.assert_close(cell, torch.tensor([[expected]]))
    torch.testing.assert_close(hidden, torch.tensor([[sigmoid(3.0) * math.tanh(expected)]]))


def test_a_caption_cut_off_without_end_is_shifted_too():
    assert shift_right(torch.tensor([[4, 5, 6]])).tolist() == [[1, 4, 5]]


def test_features_of_another_size_are_refused():
    with pytest.raises(DataInvalid, match=r"D=4 .* D=3"):
        small_captioner()(random_regions(feature_dim=4), WORDS, ROWS)


@pytest.mark.parametrize(
    ("words", "rows", "message"),
    [
        (WORDS, ROWS[:2], "image_rows must name one image a caption"),
        (torch.zeros_like(WORDS), ROWS, "must begin with START"),
        (WORDS, ROWS + 1, "names image 3 but there are 3"),
    ],
)
def test_words_and_images_that_do_not_fit_are_refused(words, rows, message):
    with pytest.raises(ValueError, match=message):
        small_captioner()(random_regions(), words, rows)
