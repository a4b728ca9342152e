"""Weights in safetensors, with what is needed to build the model again beside them."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import atomic_path, read_json, write_json


def save_model(folder: Path | str, model: nn.Module, **facts) -> None:
    """Write ``model.safetensors`` and, beside it, ``model.json`` with the facts needed to build it.

    Args:
        folder: made if needed.
        model:  any module; buffers that are persistent are saved.
        facts:  JSON types: sizes, names, configuration.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> save_model(folder, nn.Linear(2, 1), inputs=2)
    >>> read_facts(folder)["inputs"]
    2
    """
    folder = Path(folder)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors") as draft:
        save_file(weights, draft)
    write_json(folder / "model.json", facts, indent=1)


def read_facts(folder: Path | str) -> dict:
    """The facts that ``save_model`` was given."""
    return read_json(Path(folder) / "model.json", "train the model first")


def load_weights(folder: Path | str, model: nn.Module) -> nn.Module:
    """Fill a model with saved weights and set it to evaluation.

    Raises:
        DataMissing: there are no weights in the folder.
        DataInvalid: names or shapes differ; all of them are listed.
    """
    path = Path(folder) / "model.safetensors"
    if not path.exists():
        raise DataMissing(f"no weights at {path}; train the model first")
    saved, wanted = load_file(path), model.state_dict()
    names = sorted(saved.keys() | wanted.keys())
    wrong = [f"{name}: the file has {_shape(saved, name)}, the model {_shape(wanted, name)}"
             for name in names if _shape(saved, name) != _shape(wanted, name)]  # fmt: skip
    if wrong:
        raise DataInvalid(f"{path} does not fit the model built for it:\n  " + "\n  ".join(wrong))
    model.load_state_dict(saved)
    return model.eval()


def _shape(weights: dict[str, torch.Tensor], name: str):
    return tuple(weights[name].shape) if name in weights else "nothing"
