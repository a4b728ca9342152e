"""Weights in safetensors, with what is needed to build the model again beside them."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import atomic_path, read_json, write_json

_STEP = ":step"  # beside a matrix of whole numbers: what 1 is worth in each of its rows


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


def pack(weights: dict[str, torch.Tensor], bits: int = 16) -> dict[str, torch.Tensor]:
    """The same weights in a half or a quarter of the bytes; ``load_weights`` reads them as float32.

    16 bits: float16. 8 bits: whole numbers from -127 to 127 and, for each row, what one step is worth. Vectors
    (biases, statistics) weigh next to nothing and stay as they are.

        w ~ step * round(w / step),   step = max |row| / 127          symmetric, nothing is cut off

    Args:
        weights: a state dict.
        bits:    16 or 8.

    Raises:
        ValueError: another number of bits.

    >>> packed = pack({"w": torch.tensor([[1.27, -0.64]])}, bits=8)
    >>> packed["w"], packed["w:step"].dtype
    (tensor([[127, -64]], dtype=torch.int8), torch.float32)
    """
    if bits not in (8, 16):
        raise ValueError(f"weights are packed into 16 or 8 bits, got {bits}")
    packed = {}
    for name, value in weights.items():
        if not value.is_floating_point() or value.dim() < 2:
            packed[name] = value
        elif bits == 16:
            half = value.half()
            packed[name] = half if half.isfinite().all() else value
        else:
            step = value.float().flatten(1).abs().amax(1).clamp(min=1e-30) / 127
            packed[name] = (value.float() / step.view(-1, *[1] * (value.dim() - 1))).round().to(torch.int8)
            packed[name + _STEP] = step
    return packed


def unpack(packed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Undo ``pack``: float32 again, less what was rounded away. Weights that were not packed come back as they are.

    >>> unpack(pack({"w": torch.tensor([[1.27, -0.64]])}, bits=8))["w"]
    tensor([[ 1.2700, -0.6400]])
    """
    weights = {}
    for name, value in packed.items():
        if name.endswith(_STEP) and name.removesuffix(_STEP) in packed:
            continue
        if name + _STEP in packed:
            value = value.float() * packed[name + _STEP].view(-1, *[1] * (value.dim() - 1))
        weights[name] = value.float() if value.dtype == torch.float16 else value
    return weights


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
    saved, wanted = unpack(load_file(path)), model.state_dict()
    names = sorted(saved.keys() | wanted.keys())
    wrong = [f"{name}: the file has {_shape(saved, name)}, the model {_shape(wanted, name)}"
             for name in names if _shape(saved, name) != _shape(wanted, name)]  # fmt: skip
    if wrong:
        raise DataInvalid(f"{path} does not fit the model built for it:\n  " + "\n  ".join(wrong))
    model.load_state_dict(saved)
    return model.eval()


def _shape(weights: dict[str, torch.Tensor], name: str):
    return tuple(weights[name].shape) if name in weights else "nothing"
