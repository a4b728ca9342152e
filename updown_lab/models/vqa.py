"""The Up-Down VQA model: read the question, look once, answer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from updown_lab.config import VqaConfig
from updown_lab.errors import DataInvalid
from updown_lab.models.attention import blank_padding, masked_softmax, weighted_sum
from updown_lab.models.classifiers import TwoStreamClassifier, build_classifier
from updown_lab.models.layers import Layer, bend_of, norm_weights, start, width_of
from updown_lab.models.standardise import Standardise
from updown_lab.regions import RegionBatch
from updown_lab.text import PAD, UNKNOWN

READERS = {"gru": nn.GRU, "lstm": nn.LSTM}


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
        hidden, width = cfg.hidden_size, width_of(cfg.activation, cfg.hidden_size)
        self.cfg, self.answers, self.feature_dim = cfg, answers, feature_dim
        self.bend = bend_of(cfg.activation)
        self.standardise = Standardise(feature_dim)
        self.embedding = nn.Embedding(vocabulary_size, cfg.embedding_size, padding_idx=PAD)
        nn.init.zeros_(self.embedding.weight.data[UNKNOWN])  # if training never shows one, it must say nothing
        self.reader = READERS[cfg.reader](cfg.embedding_size, hidden, batch_first=True)
        # W [v, q] = W_v v + W_q q: the same f_a, with W_v v computed once an image for all its questions.
        self.region_gates = nn.Linear(feature_dim, width)
        self.question_gates = nn.Linear(hidden, width, bias=cfg.attention == "product")
        self.score = nn.Linear(hidden, 1, bias=False)
        self.attention_dropout = nn.Dropout(cfg.attention_dropout)
        self.from_question = Layer(hidden, hidden, cfg.activation)
        self.from_image = Layer(feature_dim, hidden, cfg.activation)
        self.classifier = build_classifier(cfg, answers, feature_dim)
        start(self.region_gates, cfg.activation)
        start(self.question_gates, cfg.activation)
        if cfg.weight_norm:
            norm_weights(self)

    def start_from(self, words: Tensor | None, answer_words: Tensor | None, answer_pictures: Tensor | None) -> None:
        """Begin with word vectors and pictures instead of chance; words that have none begin at zero.

        Args:
            words:           (V, E) of the question's words, or None.
            answer_words:    (A, E) mean over each answer's words, or None; for the two-stream classifier.
            answer_pictures: (A, D), or None; for the two-stream classifier.

        Raises:
            DataInvalid: another shape.
        """
        if words is not None:
            if words.shape != self.embedding.weight.shape:
                raise DataInvalid(f"word vectors must be {tuple(self.embedding.weight.shape)}, got "
                                  f"{tuple(words.shape)}; set vqa.embedding_size={words.shape[1]}")  # fmt: skip
            with torch.no_grad():
                self.embedding.weight.copy_(words)
                self.embedding.weight[UNKNOWN] = 0.0
        if isinstance(self.classifier, TwoStreamClassifier):
            self.classifier.start_from(answer_words, answer_pictures)

    def set_answer_prior(self, prior: Tensor) -> None:
        """Start from how often each answer is right, instead of from a coin for each.

            b_a = log( p_a / (1 - p_a) )

        Without it thousands of steps go into learning that most answers are mostly wrong.

        Args:
            prior: (A,) float in [0, 1], mean soft score of each answer over the training questions.

        Raises:
            ValueError: if ``prior`` is not (A,) numbers in [0, 1].
        """
        if prior.shape != self.classifier.bias.shape or not ((prior >= 0) & (prior <= 1)).all():
            raise ValueError(
                f"prior must be {tuple(self.classifier.bias.shape)} numbers in [0, 1], got {tuple(prior.shape)} "
                f"in [{prior.min().item():.3g}, {prior.max().item():.3g}]"
            )
        with torch.no_grad():
            self.classifier.bias.copy_(prior.logit(eps=1e-5))  # an answer never seen stays possible

    def read(self, questions: Tensor) -> Tensor:
        """Questions (N, T) long, PAD behind, to (N, H): the reader's state after the last real word.

        A question without words gives a zero row; with ``front_padding`` it is as many blanks as there is room for.
        """
        lengths = (questions != PAD).sum(1)
        questions = F.pad(questions, (0, 1), value=PAD)  # so that even a batch of empty questions has one step
        packed = pack_padded_sequence(
            self.embedding(questions), lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        if not self.cfg.front_padding:
            return self._last(self.reader(packed)).masked_fill((lengths == 0)[:, None], 0.0)
        blanks = self._after_blanks()
        room = (self.cfg.maximum_words - lengths).clamp(min=0)
        read = self._last(self.reader(packed, self._begun(blanks[:, room])))
        return torch.where((lengths == 0)[:, None], blanks[0, -1], read)

    def _after_blanks(self) -> Tensor:
        """The reader's states after 0, 1, ... blanks, (state, 1 + maximum_words, H).

        They are the same for all questions, so blanks are read once and not in front of each.
        """
        blank = self.embedding.weight[PAD][None, None]
        state, states = None, []
        for _ in range(self.cfg.maximum_words):
            state = self.reader(blank, state)[1]
            states.append(torch.cat(state if isinstance(state, tuple) else (state,)))
        after = torch.cat(states, 1)
        return F.pad(after, (0, 0, 1, 0))

    def _begun(self, states: Tensor):
        """States (state, N, H) as the reader takes them."""
        return tuple(states.split(1)) if self.cfg.reader == "lstm" else states

    def _last(self, read) -> Tensor:
        state = read[1][0] if self.cfg.reader == "lstm" else read[1]
        return state[0]

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
        if self.cfg.normalise:
            features = F.normalize(features, dim=-1)
        question = self.read(questions)
        weights = self._attend(question, features, regions.mask, image_rows)
        attended = weighted_sum(weights, features, image_rows)
        return self.classifier(self.from_question(question) * self.from_image(attended)), weights

    def _attend(self, question: Tensor, features: Tensor, mask: Tensor, image_rows: Tensor) -> Tensor:
        how = self.cfg.attention
        if how in ("uniform", "none"):
            real = mask[image_rows].to(features.dtype)
            return real / real.sum(1, keepdim=True).clamp(min=1) if how == "uniform" else torch.zeros_like(real)
        keys, asked = self.region_gates(features), self.question_gates(question)[:, None]
        if how == "product":
            fit = self.bend(keys).index_select(0, image_rows) * self.bend(asked)  # (N, K, H)
        else:
            fit = self.bend(keys.index_select(0, image_rows).add_(asked))  # in place: the bulk of a step
        return masked_softmax(self.score(self.attention_dropout(fit)).squeeze(-1), mask[image_rows])


def nothing_seen(images: int) -> RegionBatch:
    """Regions of a model with its eyes shut: none.

    >>> nothing_seen(2).mask.shape
    torch.Size([2, 0])
    """
    return RegionBatch(torch.zeros(images, 0, 1), torch.zeros(images, 0, 4), torch.zeros(images, 0, dtype=torch.bool))
