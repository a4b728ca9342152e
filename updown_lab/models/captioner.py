"""The Up-Down captioner: one LSTM decides where to look, a second one decides what to say."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from updown_lab.config import CaptionerConfig
from updown_lab.errors import DataInvalid
from updown_lab.models.attention import TopDownAttention, blank_padding, mean_region
from updown_lab.models.standardise import Projection, Standardise, box_geometry
from updown_lab.regions import RegionBatch
from updown_lab.text import PAD, START

GEOMETRY = 5  # numbers a box


def shift_right(targets: Tensor) -> Tensor:
    """The words a captioner reads while it is asked for ``targets``: each word, one place later.

    Args:
        targets: (N, T) long, words then END then PAD.

    Returns:
        (N, T) long, START then the words; PAD where nothing is asked for.

    >>> shift_right(torch.tensor([[7, 8, 2], [9, 2, 0]]))                  # 2 is END, 0 is PAD
    tensor([[1, 7, 8],
            [1, 9, 0]])
    """
    words = F.pad(targets[:, :-1], (1, 0), value=START)
    return words.masked_fill(targets == PAD, PAD)


def lstm_update(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """What an LSTM does with its four gates: forget some, add some, show some.

        c' = sigmoid(f) c + sigmoid(i) tanh(g),    h' = sigmoid(o) tanh(c')

    Args:
        gates: (N, 4H) float in the order input, forget, output, candidate (i, f, o, g).
        cell:  (N, H) float.

    Returns:
        h' (N, H), c' (N, H).

    >>> wide_open = torch.tensor([[99.0, 99.0, 99.0, 0.0]])
    >>> lstm_update(wide_open, torch.tensor([[0.5]]))[1]
    tensor([[0.5000]])
    """
    size = cell.shape[1]
    doors, candidate = gates.split([3 * size, size], dim=1)
    let_in, keep, show = doors.sigmoid().chunk(3, dim=1)
    cell = torch.addcmul(let_in * candidate.tanh(), keep, cell)
    return show * cell.tanh(), cell


class WordEmbedding(nn.Embedding):
    """A vector for each word; other implementations rectify it and drop parts of it in training.

    Args:
        count, size: V words of E numbers.
        relu:    leave out negative numbers.
        dropout: share of the numbers that is zeroed in training.
    """

    def __init__(self, count: int, size: int, relu: bool = False, dropout: float = 0.0):
        super().__init__(count, size)
        self.relu, self.dropout = relu, dropout

    def forward(self, words: Tensor) -> Tensor:
        vectors = super().forward(words)
        return F.dropout(vectors.relu() if self.relu else vectors, self.dropout, self.training)


@dataclass(frozen=True)
class DecodeState:
    """Everything a sentence in the making knows. N sentences share B images.

    Attributes:
        features:   (B, K, D) float, as attention reads them: standardised, perhaps projected; zero where padded.
        keys:       (B, K, A) float, the regions as attention reads them.
        mask:       (B, K) bool.
        overview:   (B, 4H) float, what the mean region adds to the attention LSTM's gates.
        image_rows: (N,) long, which image each sentence is about.
        attention_hidden, attention_cell: (N, H) float, h1 and c1.
        language_hidden, language_cell:   (N, H) float, h2 and c2.
    """

    features: Tensor
    keys: Tensor
    mask: Tensor
    overview: Tensor
    image_rows: Tensor
    attention_hidden: Tensor
    attention_cell: Tensor
    language_hidden: Tensor
    language_cell: Tensor

    def select(self, rows: Tensor | slice) -> "DecodeState":
        """Keep, repeat or reorder sentences. The images stay where they are and are never copied.

        Args:
            rows: (M,) long numbers of sentences, (N,) bool, or a slice.
        """
        return replace(
            self,
            image_rows=self.image_rows[rows],
            attention_hidden=self.attention_hidden[rows],
            attention_cell=self.attention_cell[rows],
            language_hidden=self.language_hidden[rows],
            language_cell=self.language_cell[rows],
        )

    def __len__(self) -> int:
        return len(self.image_rows)


class UpDownCaptioner(nn.Module):
    """Describe an image word by word, looking again before each word.

        h1 = LSTM([h2, v_bar, W_e Pi])             attention LSTM,  Anderson et al. 2018, Sec. 3.2.1
        v_hat = attend(h1, regions)                Eq. 1-2
        h2 = LSTM([v_hat, h1])                     language LSTM,   Sec. 3.2.2
        p(y | before) = softmax(W_p h2 + b_p)

    A matrix times stacked vectors is a sum of matrices times each, so the attention LSTM's
    gates are three terms, and each is computed as rarely as it changes: ``overview_gates``
    once an image, ``word_gates`` for all words at once, ``hidden_gates`` at every step.

    The defaults of ``cfg`` are the paper. Its other values are variants that people use: they change what v_i and v_bar
    are before the first word (``begin``), the word vectors, and dropout, but never the recurrence.

    Args:
        cfg:             sizes and variants.
        vocabulary_size: V, with the four special words.
        feature_dim:     D, of the feature store.

    >>> from updown_lab.config import preset
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(2, 3, 5), torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    >>> words = torch.tensor([[1, 4, 5], [1, 6, 0], [1, 7, 8]])              # three captions of two images
    >>> log_probs, weights = captioner(regions, words, image_rows=torch.tensor([0, 0, 1]))
    >>> log_probs.shape, weights.shape
    (torch.Size([3, 3, 9]), torch.Size([3, 3, 3]))
    """

    def __init__(self, cfg: CaptionerConfig, vocabulary_size: int, feature_dim: int):
        super().__init__()
        hidden, given = cfg.hidden_size, feature_dim + GEOMETRY * cfg.geometry
        seen = cfg.projection_size or given
        self.cfg = cfg
        self.hidden_size = hidden
        self.standardise = Standardise(feature_dim)
        self.embedding = WordEmbedding(vocabulary_size, cfg.embedding_size, cfg.word_relu, cfg.dropout)
        self.word_gates = nn.Linear(cfg.embedding_size, 4 * hidden, bias=False)
        self.overview_gates = nn.Linear(seen, 4 * hidden)  # holds the bias, so that it too is added once
        self.hidden_gates = nn.Linear(2 * hidden, 4 * hidden, bias=False)  # of [h1, h2]
        self.attention = TopDownAttention(seen, hidden, cfg.attention_size, cfg.attention_bias)
        self.language_gates = nn.Linear(seen + 2 * hidden, 4 * hidden)  # of [v_hat, h1, h2]
        self.output = nn.Linear(hidden, vocabulary_size)
        self.dropout = nn.Dropout(cfg.dropout)
        self.region_projection = self.overview_projection = None
        if cfg.projection_size:
            self.overview_projection = Projection(given, cfg.projection_size, cfg.dropout)
        if cfg.projection_size or cfg.batch_norm:
            self.region_projection = Projection(given, cfg.projection_size, cfg.dropout, cfg.batch_norm)
        self._start_well()

    def _start_well(self) -> None:
        """Uniform gates as in torch's LSTM; forget bias 1, so that memory lasts before anything is learned."""
        gates = (self.word_gates, self.overview_gates, self.hidden_gates, self.language_gates)
        for layer in gates:
            nn.init.uniform_(layer.weight, -(self.hidden_size**-0.5), self.hidden_size**-0.5)
        if self.cfg.initialisation == "normal":
            for layer in self.modules():
                if isinstance(layer, nn.Linear | nn.Embedding):
                    nn.init.normal_(layer.weight, std=0.01)
                    if getattr(layer, "bias", None) is not None:
                        nn.init.zeros_(layer.bias)
        for layer in gates:
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
                nn.init.ones_(layer.bias[self.hidden_size : 2 * self.hidden_size])
        if self.cfg.attention != "soft":
            self.attention.look_everywhere()

    def begin(self, regions: RegionBatch) -> DecodeState:
        """Look at each image once: one empty sentence an image, and all that no word will change.

        Args:
            regions: B images; padded rows may hold anything.

        Raises:
            DataInvalid: the features have another D than the model was built for, or geometry is read and
                the batch does not know how large its images are.
        """
        features, overview = self._read_regions(regions)
        empty = features.new_zeros(len(features), self.hidden_size)
        return DecodeState(
            features=features,
            keys=self.attention.project(features),
            mask=regions.mask,
            overview=self.overview_gates(overview),
            image_rows=torch.arange(len(features), device=features.device),
            attention_hidden=empty,
            attention_cell=empty,
            language_hidden=empty,
            language_cell=empty,
        )

    def _read_regions(self, regions: RegionBatch) -> tuple[Tensor, Tensor]:
        """v_i as attention reads them, (B, K, P), and v_bar, (B, P): in the paper the features and their mean."""
        cfg, mask = self.cfg, regions.mask
        given = blank_padding(self.standardise(regions.features), mask)
        attended = given if cfg.normalise == "none" else F.normalize(given, dim=-1)
        if cfg.normalise == "all":
            given = attended
        if cfg.geometry:
            if regions.image_sizes is None:
                raise DataInvalid("captioner.geometry=true reads boxes in shares of their image, but this RegionBatch "
                                  "has no image_sizes; make it with collate_regions")  # fmt: skip
            places = blank_padding(box_geometry(regions.boxes, regions.image_sizes).to(given.dtype), mask)
            given, attended = (torch.cat([part, places], -1) for part in (given, attended))
        overview = mean_region(given, mask)
        if self.overview_projection is not None:
            overview = self.overview_projection(overview, mask.new_ones(len(mask)))
        if self.region_projection is not None:
            attended = self.region_projection(attended, mask)
        return torch.zeros_like(attended) if cfg.attention == "none" else attended, overview

    def step(self, words: Tensor, state: DecodeState) -> tuple[Tensor, Tensor, DecodeState]:
        """Read one word a sentence and predict the next.

        Args:
            words: (N,) long, the words just said (START at first).
            state: of N sentences.

        Returns:
            log-probabilities (N, V), attention weights (N, K), the state after.
        """
        gates = self.word_gates(self.embedding(words)) + state.overview.index_select(0, state.image_rows)
        weights, state = self._think(gates, state)
        return self._log_probs(state.language_hidden), weights, state

    def forward(self, regions: RegionBatch, words: Tensor, image_rows: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: predict every next word of captions that are known.

        Captions run longest first and leave when they end, so no step is spent on padding.

        Args:
            regions:    B images.
            words:      (N, T) long, START then words, PAD behind (``shift_right`` of the targets).
            image_rows: (N,) long, the image of each caption.

        Returns:
            log-probabilities (N, T, V) and attention weights (N, T, K), both zero where ``words`` is PAD.

        Raises:
            ValueError: a caption is all padding, or ``image_rows`` does not name an image a caption.
        """
        self._check(regions, words, image_rows)
        packed = pack_padded_sequence(words, (words != PAD).sum(1).cpu(), batch_first=True, enforce_sorted=False)
        state = self.begin(regions).select(image_rows[packed.sorted_indices])
        sizes = packed.batch_sizes.tolist()  # captions still running at each step
        images = torch.cat([state.image_rows[:size] for size in sizes])
        gates = self.word_gates(self.embedding(packed.data)) + state.overview.index_select(0, images)
        hidden, weights = [], []
        for step_gates in gates.split(sizes):
            if len(step_gates) < len(state):
                state = state.select(slice(len(step_gates)))
            step_weights, state = self._think(step_gates, state)
            hidden.append(state.language_hidden)
            weights.append(step_weights)
        log_probs = self._log_probs(torch.cat(hidden))  # the widest layer, once for all steps
        return _unpack(log_probs, packed, words.shape[1]), _unpack(torch.cat(weights), packed, words.shape[1])

    def _think(self, gates: Tensor, state: DecodeState) -> tuple[Tensor, DecodeState]:
        """One step of both LSTMs, from the part of the attention LSTM's gates that is already known (N, 4H)."""
        h1, h2 = state.attention_hidden, state.language_hidden
        gates = gates + self.hidden_gates(torch.cat([h1, h2], 1))
        h1, c1 = lstm_update(gates, state.attention_cell)
        attended, weights = self.attention.attend(h1, state.features, state.keys, state.mask, state.image_rows)
        h2, c2 = lstm_update(self.language_gates(torch.cat([attended, h1, h2], 1)), state.language_cell)
        state = replace(state, attention_hidden=h1, attention_cell=c1, language_hidden=h2, language_cell=c2)
        return weights, state

    def _log_probs(self, hidden: Tensor) -> Tensor:
        """(M, H) to (M, V). Padding and START get -inf: no sentence can say them."""
        never = torch.tensor([PAD, START], device=hidden.device)
        bias = self.output.bias.index_fill(0, never, float("-inf"))
        logits = F.linear(self.dropout(hidden), self.output.weight, bias)
        return logits.to(self.output.weight.dtype).log_softmax(-1)  # mixed precision would be too coarse here

    @staticmethod
    def _check(regions: RegionBatch, words: Tensor, image_rows: Tensor) -> None:
        if image_rows.shape != words.shape[:1]:
            raise ValueError(
                f"image_rows must name one image a caption, ({len(words)},), got {tuple(image_rows.shape)}"
            )
        if not (words[:, :1] == START).all():
            raise ValueError("each caption must begin with START; make words with shift_right(targets)")
        if len(image_rows) and int(image_rows.max()) >= len(regions):
            raise ValueError(f"image_rows names image {int(image_rows.max())} but there are {len(regions)}")


def _unpack(data: Tensor, packed: PackedSequence, total: int) -> Tensor:
    """Packed rows back to (N, T, ...) in the order in which the captions came."""
    return pad_packed_sequence(PackedSequence(data, *packed[1:]), batch_first=True, total_length=total)[0]
