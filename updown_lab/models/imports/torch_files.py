"""Torch files of strangers: their tensors by name, and nothing that runs."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.errors import DataInvalid


def tensors_of(file: Path) -> dict[str, Tensor]:
    """The tensors of a torch file by name, without wrappers: a "model" entry, names that begin with "module."."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataInvalid(f"{file} is neither HDF5 nor a torch file of plain tensors ({reason})") from None
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]
    if not isinstance(state, Mapping):
        raise DataInvalid(f"{file} holds a {type(state).__name__} instead of a state dict")
    return {str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}
