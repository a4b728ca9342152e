"""How a weight moves: optimisers, learning rates, number formats."""

import torch
from torch import nn

from updown_lab.config import TrainingConfig
from updown_lab.errors import ConfigError, UpdownError

# "fused" is one kernel for all weights, on processors and graphics cards: several times as fast.
OPTIMISERS = {
    "sgd": lambda p, c: torch.optim.SGD(
        p, c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay, fused=True
    ),
    "adam": lambda p, c: torch.optim.Adam(p, c.learning_rate, weight_decay=c.weight_decay, fused=True),
    "adamw": lambda p, c: torch.optim.AdamW(p, c.learning_rate, weight_decay=c.weight_decay, fused=True),
    "adamax": lambda p, c: torch.optim.Adamax(p, c.learning_rate, weight_decay=c.weight_decay),
    "adadelta": lambda p, c: torch.optim.Adadelta(p, c.learning_rate, weight_decay=c.weight_decay),
}
PRECISIONS = {"full": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def learning_rate(cfg: TrainingConfig, step: int) -> float:
    """The learning rate of a step under the configured schedule.

    >>> cfg = TrainingConfig(steps=100, learning_rate=1.0, schedule="linear", warmup=0.0)
    >>> learning_rate(cfg, 0), learning_rate(cfg, 50)
    (1.0, 0.5)
    >>> cfg = TrainingConfig(steps=100, learning_rate=1.0, schedule="step", milestones=(0.5, 80), warmup=10)
    >>> [round(learning_rate(cfg, step), 4) for step in (0, 5, 10, 50, 80)]
    [0.04, 0.52, 1.0, 0.1, 0.01]
    """
    done, warmup = step / max(1, cfg.steps), _part_of_steps(cfg.warmup, cfg)
    if done < warmup:
        return cfg.learning_rate * (0.04 + 0.96 * done / warmup)
    left = 1 - (done - warmup) / max(1e-9, 1 - warmup)
    shapes = {
        "constant": 1.0,
        "linear": left,
        "cosine": 0.5 - 0.5 * torch.cos(torch.tensor(torch.pi * left)).item(),
        "step": cfg.drop ** sum(done >= _part_of_steps(milestone, cfg) for milestone in cfg.milestones),
    }
    return cfg.learning_rate * shapes[cfg.schedule]


def _part_of_steps(value: float, cfg: TrainingConfig) -> float:
    """A setting that is a share of the steps, or from 1 on a number of steps, as a share."""
    return value if value < 1 else value / max(1, cfg.steps)


def mixed_precision(device: torch.device, precision: str = "auto") -> torch.dtype | None:
    """The short type that large products are computed in, or None for full precision.

    "auto" mixes where the machine has the units for it: bfloat16 on cards from compute capability 8.0, float16 on
    older ones, full precision elsewhere.

    >>> mixed_precision(torch.device("cpu")), mixed_precision(torch.device("cpu"), "bfloat16")
    (None, torch.bfloat16)
    """
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    if precision not in PRECISIONS:
        raise ConfigError(f"no precision {precision!r}; known: auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def parameter_groups(model: nn.Module, cfg: TrainingConfig) -> list[dict]:
    """What is trained, the biases apart if they learn at a rate of their own.

    >>> [len(group["params"]) for group in parameter_groups(nn.Linear(2, 1), TrainingConfig(bias_rate=2.0))]
    [1, 1]
    """
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    if not trained:
        raise UpdownError("there is nothing to train: every weight of the model is frozen")
    if cfg.bias_rate == 1:
        return [{"params": [value for _, value in trained], "factor": 1.0}]
    groups: dict[bool, list] = {False: [], True: []}
    for name, value in trained:
        groups[name.rpartition(".")[2].startswith("bias")].append(value)  # an LSTM has bias_ih_l0
    return [{"params": params, "factor": cfg.bias_rate if bias else 1.0} for bias, params in groups.items() if params]
