"""Find and open the files of a published detector, without trusting them: names to numbers, settings to values."""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.pickles import read_pickle

HUB_NAME = "unc-nlp/frcnn-vg-finetuned"
WEIGHTS = ("pytorch_model.bin", "model.safetensors", "*.bin", "*.pkl", "*.pth", "*.safetensors")
HELP = (
    "Download pytorch_model.bin (262 MB) and config.yaml from https://huggingface.co/unc-nlp/frcnn-vg-finetuned/tree/"
    "main into one folder, for instance data/frcnn-vg, and give that folder; objects_vocab.txt and "
    "attributes_vocab.txt beside them bring the names. detectron2's faster_rcnn_from_caffe_attr.pkl works too."
)


def find_published(source: Path | str) -> tuple[Path, Path | None]:
    """The files of a published detector.

    Args:
        source: a folder, a weights file, or a name on the Hugging Face hub like "unc-nlp/frcnn-vg-finetuned".

    Returns:
        (weights file, its config.yaml or None).

    Raises:
        DataMissing: nothing there, or the hub cannot be reached; the message says what to download and where to put it.
    """
    path = Path(source)
    if path.is_dir():
        found = [file for pattern in WEIGHTS for file in sorted(path.glob(pattern))]
        if not found:
            raise DataMissing(f"no weights in {path}: none of {', '.join(WEIGHTS)}. {HELP}")
        weights = found[0]
    elif path.is_file():
        weights = path
    elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(?<!\.bin)(?<!\.pkl)(?<!\.pth)", str(source)):
        return _from_hub(str(source))
    else:
        raise DataMissing(f"no file or folder {path}. {HELP}")
    settings = weights.with_name("config.yaml")
    return weights, settings if settings.is_file() else None


def _from_hub(name: str) -> tuple[Path, Path]:
    """Weights and settings from the hub's own cache, fetched if need be."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise DataMissing(
            f"there is no folder {name}, and fetching it from the Hugging Face hub needs: pip install huggingface_hub. "
            f"Without it: {HELP}"
        ) from None
    try:
        return tuple(Path(hf_hub_download(name, file)) for file in ("pytorch_model.bin", "config.yaml"))
    except Exception as error:  # the hub's client has many errors; all mean that the file is not here
        first = str(error).strip().splitlines()[:1]
        raise DataMissing(
            f"cannot fetch {name} from the Hugging Face hub ({type(error).__name__}: {' '.join(first)}). {HELP}"
        ) from None


def read_weights(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """All arrays of a checkpoint by name, as float32 where they are floats.

    A checkpoint is a pickle, and a pickle can run programs; so torch reads it with ``weights_only`` and detectron2's is
    read by ``pickles.read_pickle``.

    Args:
        path: ``.pkl`` (detectron2: {"model": {name: array}}), ``.safetensors``, or what ``torch.save`` wrote.

    Returns:
        ({name: tensor}, [what is wrong with an entry]): kind of number, or values that are not finite.

    Raises:
        DataInvalid: the file cannot be read safely, or holds something else than named arrays.
    """
    if path.suffix == ".pkl":
        content = read_pickle(path)
    else:
        content = _read_torch(path)
    if isinstance(content, dict):
        inner = [content[key] for key in ("model", "state_dict") if isinstance(content.get(key), dict)]
        content = inner[0] if inner else content
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        seen = f"the entries {', '.join(map(str, list(content)[:5]))}" if isinstance(content, dict) else type(content)
        raise DataInvalid(f'{path} should hold weights by name, or a part "model" with them; it holds {seen}. {HELP}')
    if path.suffix == ".pkl" and "blobs" in content:
        raise DataInvalid(f"{path} holds Caffe2 blobs, another format. {HELP}")
    weights, faults = {}, []
    for name, value in content.items():
        fault = _fault(name, value)
        if fault:
            faults.append(f"{name}: {fault}")
        value = (
            torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" else value
        )
        if isinstance(value, Tensor):
            weights[name] = value.detach().float() if value.is_floating_point() else value.detach()
    return weights, faults


def _read_torch(path: Path):
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file can raise anything
        first = str(error).strip().splitlines()[:1]
        raise DataInvalid(
            f"{path} cannot be read as plain weights ({type(error).__name__}: {' '.join(first)[:200]}); it is broken, "
            "or holds more than numbers and is not opened. Fetch it again"
        ) from None


def _fault(name: str, value) -> str:
    """What is wrong with one entry, or nothing."""
    if isinstance(value, np.ndarray):
        kind = value.dtype.kind
        if kind not in "fiu":
            return f"numbers expected, the file has {value.dtype}"
        numbers = np.isfinite(value).all() if kind == "f" else True
    elif isinstance(value, Tensor):
        kind = "f" if value.is_floating_point() else "i"
        if value.dtype == torch.bool or value.is_complex() or value.layout != torch.strided:
            return f"plain numbers expected, the file has {value.dtype}, {value.layout}"
        numbers = bool(torch.isfinite(value).all())
    else:
        return f"an array expected, the file has {type(value).__name__}"
    if kind == "f" or name.endswith("num_batches_tracked"):
        return "" if numbers else "holds values that are not finite"
    return f"floats expected, the file has {value.dtype}"


def read_settings(path: Path | None) -> dict[str, object]:
    """A detectron2-like config.yaml as upper-case dotted names to values; no file gives nothing.

    Raises:
        DataInvalid: the file is not plain YAML with names and values.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "config.yaml"
    >>> _ = file.write_text("model: {pixel_mean: [1, 2, 3]}")
    >>> read_settings(file)
    {'MODEL.PIXEL_MEAN': [1, 2, 3]}
    """
    if path is None:
        return {}
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataInvalid(f"{path} is not plain YAML: {' '.join(str(error).split())}; fetch it again") from None
    if not isinstance(content, dict):
        raise DataInvalid(f"{path} should hold names and values, got {type(content).__name__}; fetch it again")
    return dict(_flat(content))


def _flat(node: dict, prefix: str = ""):
    for name, value in node.items():
        full = f"{prefix}{name}".upper()
        if isinstance(value, dict):
            yield from _flat(value, f"{full}.")
        else:
            yield full, value


def read_names(path: Path, count: int) -> tuple[str, ...]:
    """Names of classes or attributes, one a line; of synonyms ("stop sign,stopsign") the first.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: it does not have ``count`` lines.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataMissing(f"no file of names {path}") from None
    except UnicodeDecodeError as error:
        raise DataInvalid(f"{path} is not UTF-8 text ({error})") from None
    names = tuple(line.split(",")[0].strip() for line in lines if line.strip())
    if len(names) != count:
        raise DataInvalid(f"{path} has {len(names)} names, but the weights have {count}; give the list they belong to")
    return names
