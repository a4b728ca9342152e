"""Put every feature dimension on the same scale."""

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
