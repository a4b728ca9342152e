"""The layers of the VQA model: gated tanh, or ReLU; each with a matrix that may be split into length and direction."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

GAIN = {"gated_tanh": 1.6, "relu": 2**0.5}


class Layer(nn.Module):
    """A linear layer and what bends it.

        gated tanh:  f(x) = tanh(W x + b) * sigmoid(W' x + b')          Anderson et al. 2018, Eq. 10-12
        ReLU:        f(x) = max(0, W x + b)                             what most later code has

    Args:
        input_size, output_size: of the layer; of a gated one W and W' lie in one matrix, W above W'.
        activation: "gated_tanh" or "relu".

    Raises:
        ConfigError: another activation.

    >>> Layer(3, 5, "gated_tanh")(torch.zeros(2, 3)).shape, Layer(3, 5, "relu").both.weight.shape
    (torch.Size([2, 5]), torch.Size([5, 3]))
    """

    def __init__(self, input_size: int, output_size: int, activation: str = "gated_tanh"):
        super().__init__()
        self.bend = bend_of(activation)
        self.both = nn.Linear(input_size, width_of(activation, output_size))
        start(self.both, activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.bend(self.both(x))


def width_of(activation: str, size: int) -> int:
    """Rows that a matrix needs for so many outputs: a gate needs two each.

    >>> width_of("gated_tanh", 5), width_of("relu", 5)
    (10, 5)
    """
    return size * (2 if activation == "gated_tanh" else 1)


def bend_of(activation: str):
    """The function after the matrix; it may write over its argument.

    >>> bend_of("gated_tanh").__name__
    'gate'
    """
    return {"gated_tanh": gate, "relu": torch.relu_}[activation]


def gate(both: Tensor) -> Tensor:
    """tanh of the first half times sigmoid of the second: (..., 2H) to (..., H).

    >>> gate(torch.tensor([9.0, 0.0]))
    tensor([0.5000])
    """
    value, door = both.chunk(2, dim=-1)
    return value.tanh() * door.sigmoid()


def start(layer: nn.Linear, activation: str) -> None:
    """Xavier with a gain: a product of two numbers below one shrinks, and dies after a few layers without it."""
    nn.init.xavier_uniform_(layer.weight, gain=GAIN[activation])
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def set_weight(layer: nn.Linear, weight: Tensor) -> None:
    """Give a layer this matrix, whether or not its length is learned apart."""
    if is_parametrized(layer):
        layer.weight = weight
    else:
        layer.weight.copy_(weight)


def norm_weights(model: nn.Module) -> None:
    """Let every linear layer learn the length of its matrix apart from its direction.

        W = g V / |V|_F,  g a single number          Salimans and Kingma 2016, with one length a matrix

    >>> layer = nn.Linear(3, 2)
    >>> before = layer.weight.detach().clone()
    >>> norm_weights(layer)
    >>> torch.testing.assert_close(layer.weight.detach(), before)
    """
    for module in [module for module in model.modules() if isinstance(module, nn.Linear)]:
        weight_norm(module, dim=None)
