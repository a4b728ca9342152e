"""Top-down attention: score the regions, mask, softmax, weighted sum."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mean_region(features: Tensor, mask: Tensor) -> Tensor:
    """Average the real regions of each image and ignore padding.

    The captioner starts every sentence from this vector: the overview of the
    image before attention has looked anywhere.

        v_bar = (1/k) * sum_i v_i          Anderson et al. 2018, Sec. 3.2.1

    Args:
        features: (B, K, D) float, unit-free; padded rows may hold anything.
        mask:     (B, K) bool, True where a region is real.

    Returns:
        (B, D) float. An image with no real region gives a zero row.

    Raises:
        ValueError: if ``mask`` is not (B, K) bool.

    >>> mean_region(torch.tensor([[[2.], [4.], [99.]]]), torch.tensor([[True, True, False]]))
    tensor([[3.]])
    """
    kept = blank_padding(features, mask)  # (B, K, D)
    return kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)  # (B, D)


def blank_padding(features: Tensor, mask: Tensor) -> Tensor:
    """Write zeros over padded rows, so that nothing after can stumble over what they held.

    Filled, not multiplied: 0 * nan is nan, in the forward pass and again in the gradient.

    Args:
        features: (B, K, D) float; padded rows may hold anything.
        mask:     (B, K) bool, True where a region is real.

    Returns:
        (B, K, D) float.

    Raises:
        ValueError: if ``mask`` is not (B, K) bool.

    >>> blank_padding(torch.tensor([[[2.0], [float("nan")]]]), torch.tensor([[True, False]]))
    tensor([[[2.], [0.]]])
    """
    if mask.dtype != torch.bool or mask.shape != features.shape[:2]:
        raise ValueError(f"mask must be bool {tuple(features.shape[:2])}, got {mask.dtype} {tuple(mask.shape)}")
    return features.masked_fill(~mask[..., None], 0.0)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Turn scores into weights that sum to one over the real regions; padding gets exactly zero.

        alpha_i = exp(a_i) / sum_j exp(a_j)          Anderson et al. 2018, Eq. 2

    Args:
        scores: (N, K) float; padded entries may hold anything.
        mask:   (N, K) bool.

    Returns:
        (N, K) float. A row with no real region is all zero.

    >>> masked_softmax(torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([[0.5000, 0.5000, 0.0000]])
    """
    # The lowest number instead of -inf: a row that is all -inf would be nan, and its gradient too.
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)


def weighted_sum(weights: Tensor, features: Tensor, image_rows: Tensor) -> Tensor:
    """One summary of the regions a caption: each region as strong as its weight.

        v_hat = sum_i alpha_i * v_i          Anderson et al. 2018, Sec. 3.2.1

    Args:
        weights:    (N, K) float.
        features:   (B, K, D) float, finite.
        image_rows: (N,) long, which of the B images each row of weights is about.

    Returns:
        (N, D) float.

    >>> features = torch.tensor([[[1.0], [3.0]]])
    >>> weighted_sum(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), features, torch.tensor([0, 0]))
    tensor([[2.], [3.]])
    """
    count = features.shape[1]
    if count == 0:
        return weights.new_zeros(len(weights), features.shape[2])
    # A bag of regions a caption: reads each image's features in place instead of copying them for every caption.
    bags = image_rows[:, None] * count + torch.arange(count, device=image_rows.device)  # (N, K)
    weights = weights.to(features.dtype)  # under mixed precision softmax stays long where products are short
    return F.embedding_bag(bags, features.flatten(0, 1), per_sample_weights=weights, mode="sum")


class TopDownAttention(nn.Module):
    """Let a query choose among the regions of an image.

    The query (what the sentence needs next) and each region (what is there) meet in
    a small hidden space; regions that fit score high.

        a_i   = w^T tanh(W_v v_i + W_q q)          Anderson et al. 2018, Eq. 1, no biases
        alpha = softmax(a)                         Eq. 2
        v_hat = sum_i alpha_i v_i                  Sec. 3.2.1

    Other implementations add three biases. Two are in the same sum and so are one, which ``bias`` adds to W_v v_i;
    the third, of the score, moves all scores alike and changes nothing.

    Args:
        feature_dim:    D.
        query_dim:      H, size of the query.
        attention_size: A, size of the hidden space.
        bias:           of the hidden space; the paper has none.

    >>> attention = TopDownAttention(feature_dim=4, query_dim=3, attention_size=2)
    >>> features, mask = torch.randn(1, 5, 4), torch.ones(1, 5, dtype=torch.bool)
    >>> keys = attention.project(features)                                  # once an image
    >>> attended, weights = attention(torch.randn(1, 3), features, keys, mask)      # once a word
    >>> attended.shape, weights.shape
    (torch.Size([1, 4]), torch.Size([1, 5]))
    """

    def __init__(self, feature_dim: int, query_dim: int, attention_size: int, bias: bool = False):
        super().__init__()
        self.region = nn.Linear(feature_dim, attention_size, bias=bias)  # W_v
        self.query = nn.Linear(query_dim, attention_size, bias=False)  # W_q
        self.score = nn.Linear(attention_size, 1, bias=False)  # w

    def look_everywhere(self) -> None:
        """Give every region the same weight, for good: what an ablation compares attention with."""
        nn.init.zeros_(self.score.weight)
        self.score.requires_grad_(False)

    def project(self, features: Tensor) -> Tensor:
        """The part of Eq. 1 that no query changes, for (B, K, D) features: (B, K, A) keys, 2 W_v v_i.

        Doubled because ``attend`` writes tanh as a sigmoid of twice its argument.
        """
        return 2 * self.region(features)

    def forward(
        self, query: Tensor, features: Tensor, keys: Tensor, mask: Tensor, image_rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend, whatever the padded rows hold.

        Args:
            query:      (N, H) float.
            features:   (B, K, D) float; padded rows may hold anything.
            keys:       (B, K, A) float, ``project(features)``.
            mask:       (B, K) bool, True where a region is real.
            image_rows: (N,) long, the image of each query; None where query n asks image n.

        Returns:
            attended (N, D), weights (N, K). An image with no region gives zeros in both.
        """
        if image_rows is None:
            image_rows = torch.arange(len(query), device=query.device)
        return self.attend(query, blank_padding(features, mask), blank_padding(keys, mask), mask, image_rows)

    def attend(
        self, query: Tensor, features: Tensor, keys: Tensor, mask: Tensor, image_rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``forward`` for features that ``blank_padding`` has cleaned: models clean once an image, not once a word."""
        # tanh(x) = 2 sigmoid(2x) - 1, and softmax ignores the -1, which moves all scores alike.
        # Sigmoid is several times faster on a CPU; in place, because these (N, K, A) numbers are the bulk of a step.
        hidden = keys.index_select(0, image_rows).add_(2 * self.query(query)[:, None]).sigmoid_()
        scores = hidden @ (2 * self.score.weight[0])  # (N, K)
        weights = masked_softmax(scores, mask[image_rows])
        return weighted_sum(weights, features, image_rows), weights
