"""What decoding needs from a captioner, and what it gives back."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from updown_lab.text import END, PAD


class Sentences(Protocol):
    """The state of N sentences in the making about B images; ``models.captioner.DecodeState`` is one.

    Attributes:
        mask:       (B, K) bool, which regions are real.
        image_rows: (N,) long, the image of each sentence.
    """

    mask: Tensor
    image_rows: Tensor

    def select(self, rows: Tensor) -> "Sentences":
        """Keep, repeat or reorder sentences by their numbers (M,) long."""

    def __len__(self) -> int: ...


class Speaker(Protocol):
    """Whatever can say one word after the other: a captioner, or several (``Ensemble``)."""

    def begin(self, regions) -> Sentences:
        """One empty sentence an image, with all that no word will change."""

    def step(self, words: Tensor, state: Sentences) -> tuple[Tensor, Tensor, Sentences]:
        """From the words just said (N,): log-probabilities (N, V), attention weights (N, K), the state after."""


@dataclass(frozen=True)
class Caption:
    """A sentence and why. All tensors are on the CPU.

    Attributes:
        words:          ids of the T words, without START and END.
        log_prob:       of the whole sentence in nats; includes its END when it has one.
        word_log_probs: (T,) float, of each word given those before.
        weights:        (T, K) float, where the model looked before each word; K are the image's own regions.
        ended:          False if the sentence was cut off at the longest length.
        alternatives:   (T, M) long, the M words that the model liked best at each place, before any rule.
        alternative_log_probs: (T, M) float, theirs.
    """

    words: list[int]
    log_prob: float
    word_log_probs: Tensor
    weights: Tensor
    ended: bool
    alternatives: Tensor
    alternative_log_probs: Tensor

    @property
    def tokens(self) -> list[int]:
        """The words, and END if the sentence has one: what teacher forcing takes as target."""
        return [*self.words, END] if self.ended else list(self.words)


@dataclass(frozen=True)
class Tape:
    """All that was seen while M sentences were said, padded to the longest.

    Attributes:
        ids:            (M, T) long, words, END, then PAD.
        word_log_probs: (M, T) float.
        weights:        (M, T, K) float.
        alternatives:   (M, T, A) long.
        alternative_log_probs: (M, T, A) float.
    """

    ids: Tensor
    word_log_probs: Tensor
    weights: Tensor
    alternatives: Tensor
    alternative_log_probs: Tensor

    def captions(self, images: list[int], mask: Tensor, log_probs: list[float]) -> list[Caption]:
        """Cut the tape into captions.

        Args:
            images:    the image of each of the M sentences.
            mask:      (B, K) bool, each image's real regions.
            log_probs: of each sentence with its END.

        >>> import torch
        >>> tape = Tape(torch.tensor([[5, 2, 0]]), *torch.ones(4, 1, 3, 1).unbind())
        >>> caption = Tape.captions(tape, [0], torch.tensor([[True]]), [-1.5])[0]
        >>> caption.words, caption.ended, caption.log_prob
        ([5], True, -1.5)
        """
        parts = (self.word_log_probs, self.weights, self.alternatives, self.alternative_log_probs)
        values, weights, others, their_values = (part.cpu() for part in parts)
        ids, mask = self.ids.cpu(), mask.cpu()
        lengths = ((ids != PAD) & (ids != END)).sum(1).tolist()
        ended = (ids == END).any(1).tolist()
        return [
            Caption(
                words=ids[row, :length].tolist(),
                log_prob=log_probs[row],
                word_log_probs=values[row, :length],
                weights=weights[row, :length][:, mask[image]],
                ended=ended[row],
                alternatives=others[row, :length],
                alternative_log_probs=their_values[row, :length],
            )
            for row, (image, length) in enumerate(zip(images, lengths))
        ]


def top_words(log_probs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` best words of each row, or all if there are fewer: log-probabilities and ids, both (N, count).

    >>> import torch
    >>> top_words(torch.tensor([[-3.0, -1.0, -2.0]]), 2)[1]
    tensor([[1, 2]])
    """
    return log_probs.topk(min(count, log_probs.shape[1]))
