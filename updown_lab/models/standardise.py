"""What happens to features before a model reads them: one scale, another size, the place of the box."""

import torch
from torch import Tensor, nn

from updown_lab.errors import DataInvalid


class Standardise(nn.Module):
    """Subtract the training set's mean and divide by its deviation, dimension by dimension.

    Pooled features are never negative, so all regions share one large common offset;
    without it the differences between regions are what is left to see.

        x' = (x - mean) / deviation

    Until ``fit`` is called this is the identity, and the state-dict keys are the same either way.

    Args:
        feature_dim: D.

    >>> scale = Standardise(2)
    >>> scale.fit(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0]))
    >>> scale(torch.tensor([[5.0, 7.0]]))
    tensor([[2., 7.]])
    """

    def __init__(self, feature_dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_dim))
        self.register_buffer("deviation", torch.ones(feature_dim))

    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Remember the statistics of the training images.

        Args:
            mean:      (D,) float.
            deviation: (D,) float; a dimension that never varies (0) is only shifted.

        Raises:
            ValueError: if a shape is not (D,), or a deviation is negative or not a number.
        """
        if mean.shape != self.mean.shape or deviation.shape != self.mean.shape:
            raise ValueError(
                f"mean and deviation must be {tuple(self.mean.shape)}, "
                f"got {tuple(mean.shape)} and {tuple(deviation.shape)}"
            )
        if not (deviation >= 0).all():
            raise ValueError("a deviation is negative or nan; compute it as store.deviation does")
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.masked_fill(deviation == 0, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Standardise (..., D) features of any float type; the result has the model's type.

        Raises:
            DataInvalid: the features have another D than the model was built for.
        """
        if features.shape[-1] != len(self.mean):
            raise DataInvalid(
                f"the regions carry D={features.shape[-1]} features but the model was built for "
                f"D={len(self.mean)}; rebuild it with feature_dim=store.feature_dim"
            )
        return (features.to(self.mean.dtype) - self.mean) / self.deviation


def box_geometry(boxes: Tensor, image_sizes: Tensor) -> Tensor:
    """Where each region lies and how large it is, in shares of its image.

        (x1 / w, y1 / h, x2 / w, y2 / h, area / (w h))

    Args:
        boxes:       (B, K, 4) float pixels; padded rows may hold anything.
        image_sizes: (B, 2) float pixels, width and height.

    Returns:
        (B, K, 5) float.

    >>> box_geometry(torch.tensor([[[0.0, 0.0, 2.0, 4.0]]]), torch.tensor([[4.0, 8.0]]))
    tensor([[[0.0000, 0.0000, 0.5000, 0.5000, 0.2500]]])
    """
    corners = boxes / image_sizes.repeat(1, 2)[:, None]  # (B, K, 4)
    x1, y1, x2, y2 = corners.unbind(-1)
    return torch.cat([corners, ((x2 - x1) * (y2 - y1))[..., None]], -1)


class Projection(nn.Module):
    """Give vectors another size before the model reads them: linear, ReLU, dropout, batch norm around it.

    Batch norm counts real regions only. If padding counted, the same image would look different
    beside an image with more regions.

    Args:
        feature_dim: D.
        size:        P; 0 leaves out all but the first batch norm.
        dropout:     share of the numbers that is zeroed in training.
        batch_norm:  0 none, 1 before, 2 before and after.

    >>> Projection(4, 3)(torch.zeros(1, 2, 4), torch.tensor([[True, False]])).shape
    torch.Size([1, 2, 3])
    """

    def __init__(self, feature_dim: int, size: int, dropout: float = 0.0, batch_norm: int = 0):
        super().__init__()
        self.before = nn.BatchNorm1d(feature_dim) if batch_norm else nn.Identity()
        self.linear = nn.Sequential(nn.Linear(feature_dim, size), nn.ReLU(), nn.Dropout(dropout)) if size else None
        self.after = nn.BatchNorm1d(size) if batch_norm == 2 else nn.Identity()
        self.size = size or feature_dim

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Project the real rows; padded ones become zero.

        Args:
            features: (..., D) float; padded rows may hold anything.
            mask:     (...) bool.

        Returns:
            (..., P) float.

        Raises:
            ValueError: batch norm in training, and fewer than two real rows to take a mean of.
        """
        real = features[mask]  # (M, D)
        if self.training and len(real) < 2 and isinstance(self.before, nn.BatchNorm1d):
            raise ValueError(f"batch norm learns from at least 2 regions a step, got {len(real)}; use larger batches")
        real = self.before(real)
        if self.linear is not None:
            real = self.after(self.linear(real))
        return real.new_zeros(*mask.shape, self.size).index_put((mask,), real)
