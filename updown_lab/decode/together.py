"""Half-sentences of one beam have much in common: do once what they share.

The numbers are those of ``UpDownCaptioner.step``, up to rounding; only the order of the work differs.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from updown_lab.config import DecodeConfig
from updown_lab.decode.captions import Speaker
from updown_lab.decode.ensemble import Ensemble
from updown_lab.models.captioner import DecodeState, UpDownCaptioner, lstm_update


@dataclass(frozen=True)
class SharedState:
    """N sentences that share M memories of B images.

    Attributes:
        memory:     M states, M <= N after the first step.
        own:        (N,) long, which memory each sentence goes on from.
        image_rows: (N,) long, the image of each sentence.
        table:      (B, K, C): what attention sums up, W v_i if that was worth its price, else v_i.
    """

    memory: DecodeState
    own: Tensor
    image_rows: Tensor
    table: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, K) bool."""
        return self.memory.mask

    def select(self, rows: Tensor | slice) -> "SharedState":
        """Keep, repeat or reorder sentences; no memory is copied."""
        return replace(self, own=self.own[rows], image_rows=self.image_rows[rows])

    def __len__(self) -> int:
        return len(self.own)


class Together:
    """A captioner that speaks for many half-sentences at once.

    A matrix times stacked vectors is a sum of matrices times each, so both LSTMs' gates fall into parts, and each is
    computed as rarely as it differs:

        word           once for each different word that was just said: a beam's sentences often say the same
        h1, h2 before  once for each sentence of the step before: its heirs share them
        v_hat          sum_i alpha_i (W v_i) instead of W (sum_i alpha_i v_i): once for each region, if that is less

    Args:
        model: its parameters are used, never changed.
        rows:  half-sentences that an image may come to, for the choice on v_hat.

    >>> from updown_lab.config import preset
    >>> from updown_lab.regions import RegionBatch
    >>> model = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(1, 3, 5), torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool))
    >>> plain, shared = (side.step(torch.tensor([1]), side.begin(regions)) for side in (model, Together(model, 100)))
    >>> torch.allclose(plain[0], shared[0], atol=1e-5)
    True
    """

    def __init__(self, model: UpDownCaptioner, rows: int):
        self.model, self.rows = model, rows

    def begin(self, regions) -> SharedState:
        """One empty sentence an image, as the captioner itself does it."""
        memory = self.model.begin(regions)
        count = memory.mask.shape[1]
        table = F.linear(memory.features, self._seen()) if count < self.rows else memory.features
        return SharedState(memory, torch.arange(len(memory), device=table.device), memory.image_rows, table)

    def step(self, words: Tensor, state: SharedState) -> tuple[Tensor, Tensor, SharedState]:
        """One word a sentence, as the captioner's own ``step``."""
        model, size = self.model, self.model.hidden_size
        kept, own = state.own.unique(return_inverse=True)
        before = state.memory.select(kept)
        said, which = words.unique(return_inverse=True)
        recalled = model.hidden_gates(torch.cat([before.attention_hidden, before.language_hidden], 1))
        recalled += before.overview.index_select(0, before.image_rows)
        gates = model.word_gates(model.embedding(said))[which] + recalled[own]
        h1, c1 = lstm_update(gates, before.attention_cell[own])

        seen, weights = model.attention.attend(h1, state.table, before.keys, before.mask, state.image_rows)
        if state.table is before.features:
            seen = F.linear(seen, self._seen())
        language, bias = model.language_gates.weight, model.language_gates.bias
        h1_part, h2_part = language[:, -2 * size : -size], language[:, -size:]
        gates = seen.add_(F.linear(before.language_hidden, h2_part, bias)[own]).add_(F.linear(h1, h1_part))
        h2, c2 = lstm_update(gates, before.language_cell[own])

        memory = replace(before, image_rows=state.image_rows, attention_hidden=h1, attention_cell=c1,
                         language_hidden=h2, language_cell=c2)  # fmt: skip
        after = replace(state, memory=memory, own=torch.arange(len(own), device=own.device))
        return model._log_probs(h2), weights, after

    def _seen(self) -> Tensor:
        """The part of the language LSTM's matrix that reads v_hat, (4H, P)."""
        return self.model.language_gates.weight[:, : -2 * self.model.hidden_size]


def together(model: Speaker, cfg: DecodeConfig) -> Speaker:
    """The same voice, faster, if it is one that we know and there is something to share."""
    if cfg.beam_size == 1:
        return model
    if isinstance(model, Ensemble):
        return Ensemble([together(member, cfg) for member in model.members])
    if isinstance(model, UpDownCaptioner):
        return Together(model, cfg.beam_size * cfg.maximum_words // 2)
    return model
