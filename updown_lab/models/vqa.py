"""The Up-Down VQA model: read the question, look once, answer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from updown_lab.config import VqaConfig
from updown_lab.models.attention import blank_padding, masked_softmax, weighted_sum
from updown_lab.models.standardise import Standardise
from updown_lab.regions import RegionBatch
from updown_lab.text import PAD


class GatedTanh(nn.Module):
    """A layer with a door for each of its outputs: what to say, and how much of it to let through.

        f(x) = tanh(W x + b) * sigmoid(W' x + b')          Anderson et al. 2018, Eq. 10-12

    Args:
        input_size, output_size: of the layer; W and W' lie in one matrix, W above W'.

    >>> GatedTanh(3, 5)(torch.zeros(2, 3)).shape
    torch.Size([2, 5])
    """

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.both = nn.Linear(input_size, 2 * output_size)
        start_gated(self.both)

    def forward(self, x: Tensor) -> Tensor:
        return gate(self.both(x))


def start_gated(layer: nn.Linear) -> None:
    """Xavier with gain 1.6: a product of two numbers below one shrinks, and dies after a few layers without it."""
    nn.init.xavier_uniform_(layer.weight, gain=1.6)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def gate(both: Tensor) -> Tensor:
    """tanh of the first half times sigmoid of the second: (..., 2H) to (..., H).

    >>> gate(torch.tensor([9.0, 0.0]))
    tensor([0.5000])
    """
    value, door = both.chunk(2, dim=-1)
    return value.tanh() * door.sigmoid()


class UpDownVqa(nn.Module):
    """Answer a question about an image with a single glance, steered by the question.

        q = GRU(words)                                            Anderson et al. 2018, Sec. 3.3
        a_i = w^T f_a([v_i, q]),   v_hat = softmax(a) weighted sum of v_i
        h = f_q(q) * f_v(v_hat)
        s(y) = sigma(W_o f_o(h))                                  one sigmoid an answer

    With no region at all v_hat is zero and what is left is a question-only model:
    what a language prior alone can reach.

    Args:
        cfg:             sizes.
        vocabulary_size: V, with the special words.
        answers:         A, number of answers to choose from.
        feature_dim:     D, of the feature store.

    >>> from updown_lab.config import preset
    >>> model = UpDownVqa(preset("tiny").vqa, vocabulary_size=9, answers=4, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(1, 3, 5), torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool))
    >>> logits, weights = model(regions, torch.tensor([[4, 5], [6, 0]]), image_rows=torch.tensor([0, 0]))
    >>> logits.shape, weights.shape                                          # two questions, one image
    (torch.Size([2, 4]), torch.Size([2, 3]))
    """

    def __init__(self, cfg: VqaConfig, vocabulary_size: int, answers: int, feature_dim: int):
        super().__init__()
        hidden = cfg.hidden_size
        self.normalise = cfg.normalise
        self.standardise = Standardise(feature_dim)
        self.embedding = nn.Embedding(vocabulary_size, cfg.embedding_size, padding_idx=PAD)
        self.reader = nn.GRU(cfg.embedding_size, hidden, batch_first=True)
        # W [v, q] = W_v v + W_q q: the same f_a, with W_v v computed once an image for all its questions.
        self.region_gates = nn.Linear(feature_dim, 2 * hidden)
        self.question_gates = nn.Linear(hidden, 2 * hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.from_question = GatedTanh(hidden, hidden)
        self.from_image = GatedTanh(feature_dim, hidden)
        self.before_answer = GatedTanh(hidden, hidden)
        self.dropout = nn.Dropout(cfg.dropout)
        self.answer = nn.Linear(hidden, answers)
        start_gated(self.region_gates)
        start_gated(self.question_gates)

    def set_answer_prior(self, prior: Tensor) -> None:
        """Start from how often each answer is right, instead of from a coin for each.

            b_a = log( p_a / (1 - p_a) )

        Without it thousands of steps go into learning that most answers are mostly wrong.

        Args:
            prior: (A,) float in [0, 1], mean soft score of each answer over the training questions.

        Raises:
            ValueError: if ``prior`` is not (A,) numbers in [0, 1].
        """
        if prior.shape != self.answer.bias.shape or not ((prior >= 0) & (prior <= 1)).all():
            raise ValueError(
                f"prior must be {tuple(self.answer.bias.shape)} numbers in [0, 1], got {tuple(prior.shape)} "
                f"in [{prior.min().item():.3g}, {prior.max().item():.3g}]"
            )
        with torch.no_grad():
            self.answer.bias.copy_(prior.logit(eps=1e-5))  # an answer never seen stays possible

    def read(self, questions: Tensor) -> Tensor:
        """Questions (N, T) long, PAD behind, to (N, H): the GRU's state after the last real word.

        A question without words gives a zero row.
        """
        lengths = (questions != PAD).sum(1)
        padded = F.pad(questions, (0, 1), value=PAD)  # so that even a batch of empty questions has one step
        packed = pack_padded_sequence(
            self.embedding(padded), lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        return self.reader(packed)[1][0].masked_fill((lengths == 0)[:, None], 0.0)

    def forward(self, regions: RegionBatch, questions: Tensor, image_rows: Tensor) -> tuple[Tensor, Tensor]:
        """Score every answer to every question.

        Args:
            regions:    B images; padded rows may hold anything; K = 0 asks for the language prior.
            questions:  (N, T) long, PAD behind.
            image_rows: (N,) long, the image of each question.

        Returns:
            logits (N, A), attention weights (N, K).

        Raises:
            ValueError: ``image_rows`` does not name one image a question.
            DataInvalid: the features have another D than the model was built for.
        """
        if image_rows.shape != questions.shape[:1]:
            raise ValueError(
                f"image_rows must name one image a question, ({len(questions)},), got {tuple(image_rows.shape)}"
            )
        features = blank_padding(self.standardise(regions.features), regions.mask)
        if self.normalise:
            features = F.normalize(features, dim=-1)
        question = self.read(questions)
        weights = self._attend(question, features, regions.mask, image_rows)
        attended = weighted_sum(weights, features, image_rows)
        joint = self.dropout(self.from_question(question) * self.from_image(attended))
        return self.answer(self.before_answer(joint)), weights

    def _attend(self, question: Tensor, features: Tensor, mask: Tensor, image_rows: Tensor) -> Tensor:
        keys = self.region_gates(features).index_select(0, image_rows)  # (N, K, 2H)
        scores = self.score(gate(keys + self.question_gates(question)[:, None])).squeeze(-1)  # (N, K)
        return masked_softmax(scores, mask[image_rows])
