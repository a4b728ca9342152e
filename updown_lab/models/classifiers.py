"""From question and image as one vector to a score for each answer: three ways to end a VQA model."""

import torch
from torch import Tensor, nn

from updown_lab.config import VqaConfig
from updown_lab.errors import DataInvalid
from updown_lab.models.layers import Layer, set_weight


class SingleClassifier(nn.Module):
    """The paper's: x = W_o f_o(h) + b.          Anderson et al. 2018, Sec. 3.3

    Args:
        cfg:         sizes.
        answers:     A.
        feature_dim: not used here.
    """

    def __init__(self, cfg: VqaConfig, answers: int, feature_dim: int):
        super().__init__()
        self.dropout = nn.Dropout(cfg.dropout)
        self.before_answer = Layer(cfg.hidden_size, cfg.hidden_size, cfg.activation)
        self.answer = nn.Linear(cfg.hidden_size, answers)

    @property
    def bias(self) -> Tensor:
        """(A,), where the prior of each answer goes."""
        return self.answer.bias

    def forward(self, joint: Tensor) -> Tensor:
        """(N, H) to logits (N, A)."""
        return self.answer(self.before_answer(self.dropout(joint)))


class HiddenClassifier(nn.Module):
    """hengyuan-hu's: twice as wide in between, ReLU, dropout behind it: x = W_2 max(0, W_1 h + b_1) + b_2."""

    def __init__(self, cfg: VqaConfig, answers: int, feature_dim: int):
        super().__init__()
        self.before_answer = Layer(cfg.hidden_size, 2 * cfg.hidden_size, "relu")
        self.dropout = nn.Dropout(cfg.dropout)
        self.answer = nn.Linear(2 * cfg.hidden_size, answers)

    @property
    def bias(self) -> Tensor:
        """(A,), where the prior of each answer goes."""
        return self.answer.bias

    def forward(self, joint: Tensor) -> Tensor:
        """(N, H) to logits (N, A)."""
        return self.answer(self.dropout(self.before_answer(joint)))


class TwoStreamClassifier(nn.Module):
    """Score an answer by what its words mean and by what it looks like.

        x = W_text f_text(h) + W_image f_image(h) + b          Teney et al. 2018, Sec. 3.8

    A row of W_text starts as the answer's word vector, a row of W_image as a picture of the answer, so that rare
    answers begin near those that are like them.

    Args:
        cfg:         ``embedding_size`` is the width of the word stream.
        answers:     A.
        feature_dim: D, width of the image stream.

    >>> from updown_lab.config import VqaConfig
    >>> ends = TwoStreamClassifier(VqaConfig(embedding_size=4, hidden_size=6), answers=3, feature_dim=5)
    >>> ends.start_from(torch.eye(3, 4), torch.zeros(3, 5))
    >>> ends(torch.zeros(2, 6)).shape, ends.text.weight.shape, ends.image.weight.shape
    (torch.Size([2, 3]), torch.Size([3, 4]), torch.Size([3, 5]))
    """

    def __init__(self, cfg: VqaConfig, answers: int, feature_dim: int):
        super().__init__()
        self.dropout = nn.Dropout(cfg.dropout)
        self.to_text = Layer(cfg.hidden_size, cfg.embedding_size, cfg.activation)
        self.to_image = Layer(cfg.hidden_size, feature_dim, cfg.activation)
        self.text = nn.Linear(cfg.embedding_size, answers, bias=False)
        self.image = nn.Linear(feature_dim, answers)

    @property
    def bias(self) -> Tensor:
        """(A,), where the prior of each answer goes."""
        return self.image.bias

    @torch.no_grad()
    def start_from(self, words: Tensor | None = None, pictures: Tensor | None = None) -> None:
        """Begin with what is known about the answers.

        Args:
            words:    (A, E) mean word vector of each answer, zero where none is known.
            pictures: (A, D) mean feature of pictures of each answer.
                      None, or nothing but zeros, leaves chance.

        Raises:
            DataInvalid: another shape.
        """
        for layer, given, what in ((self.text, words, "word vectors"), (self.image, pictures, "pictures")):
            if given is None:
                continue
            if given.shape != layer.weight.shape:
                raise DataInvalid(f"{what} of the answers must be {tuple(layer.weight.shape)}, got "
                                  f"{tuple(given.shape)}; vqa.embedding_size is the width of word vectors")  # fmt: skip
            if given.any():  # a matrix of zeros has no direction
                set_weight(layer, given)

    def forward(self, joint: Tensor) -> Tensor:
        """(N, H) to logits (N, A)."""
        joint = self.dropout(joint)
        return self.text(self.to_text(joint)) + self.image(self.to_image(joint))


CLASSIFIERS = {"single": SingleClassifier, "hidden": HiddenClassifier, "two-stream": TwoStreamClassifier}


def build_classifier(cfg: VqaConfig, answers: int, feature_dim: int) -> nn.Module:
    """The one that the settings name.

    >>> from updown_lab.config import VqaConfig
    >>> type(build_classifier(VqaConfig(classifier="hidden"), 3, 5)).__name__
    'HiddenClassifier'
    """
    return CLASSIFIERS[cfg.classifier](cfg, answers, feature_dim)
