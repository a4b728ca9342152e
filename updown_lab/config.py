"""All numbers of one run, and how to name, change, save and fingerprint them. Presets change numbers, never paths.

The defaults are the paper's, on torchvision's networks; ``preset("paper")`` gives the detector the published layout
besides. ``preset("tiny")`` gives the same house in the size of a doll.
"""

import dataclasses
import difflib
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from updown_lab.choices import Checked, fits, number, one_of, refuse, refuse_missing
from updown_lab.errors import ConfigError
from updown_lab.files import read_json, write_json
from updown_lab.settings import (
    CaptionerConfig,
    DecodeConfig,
    DetectorConfig,
    GridConfig,
    ScstConfig,
    SelectionConfig,
    TeachingConfig,
    TrainingConfig,
    TrunkConfig,
    VqaConfig,
    WorldConfig,
)

#: Kinds of features that a run can learn on; N is a number, for N x N cells. ``vision/encoders.py`` makes them.
FEATURES = ("regions", "grid-pretrained-N", "grid-detector-N", "oracle", "symbolic")


@dataclass(frozen=True)
class Config(Checked):
    """All numbers of one run."""

    name: str = "paper"
    seed: int = 1
    eyes_seed: int = 0  # of world, trunk and detector, where runs of many seeds share them; 0 takes ``seed``
    data: str = ""  # folder of real data; empty means the generated world
    minimum_boxes: int = number(1, least=0)  # classes and attributes with fewer training boxes are left out
    encoders: tuple[str, ...] = ("regions", "grid-pretrained-10", "grid-detector-10")
    stores: tuple[str, ...] = ()  # KIND=FOLDER: features that are there already, so that nobody has to look again
    feature_dtype: str = one_of("float16", "float32")
    world: WorldConfig = WorldConfig()
    trunk: TrunkConfig = TrunkConfig()
    pretraining: TrainingConfig = TrainingConfig(steps=1, batch_size=64)
    detector: DetectorConfig = DetectorConfig()
    detector_training: TrainingConfig = TrainingConfig(
        steps=380_000,
        batch_size=8,
        learning_rate=0.001,
        bias_rate=2.0,
        schedule="step",
        milestones=(350_000.0,),
        clip_norm=0.0,
        workers=4,
        evaluate_every=10_000,
    )
    selection: SelectionConfig = SelectionConfig()
    grid: GridConfig = GridConfig()
    captioner: CaptionerConfig = CaptionerConfig()
    cross_entropy: TrainingConfig = TrainingConfig()
    teaching: TeachingConfig = TeachingConfig()
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
        patience=3,
    )
    decode: DecodeConfig = DecodeConfig()

    def __post_init__(self):
        super().__post_init__()
        given = {pair.partition("=")[0] for pair in self.stores}  # nobody has to make those: any name will do
        wrong = [kind for kind in self.encoders if not fits(kind, FEATURES) and kind not in given]
        if wrong:
            raise ConfigError(f"features are some of {', '.join(FEATURES)} with N a number like 7; got {wrong[0]!r}")
        if len(set(self.encoders)) < len(self.encoders):
            raise ConfigError(f"encoders names a kind of features twice: {', '.join(self.encoders)}")
        truth = [kind for kind in self.encoders if kind in ("oracle", "symbolic") and kind not in given]
        if truth and self.data:
            raise ConfigError(f"features {truth[0]!r} are made from true boxes, and COCO's photos have none in the "
                              "names of Visual Genome: they are for the generated world")  # fmt: skip


def preset(name: str) -> Config:
    """The numbers of a named size: "paper", "tiny", "photos" or another of ``presets.PRESETS``.

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
        ConfigError: an unknown name (the closest ones are listed), a value of the wrong type, or one that the setting
            does not know: ``choices.py`` says how they are checked.
        DataMissing: a file that is not there.

    >>> override(preset("paper"), **{"captioner.hidden_size": "64"}).captioner.hidden_size
    64
    """
    return _changed(config, changes, "")


def _changed(node, changes: Mapping[str, object], before: str):
    """All changes of one group at once, so that two numbers that must fit each other may change together."""
    own, deeper = {}, {}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        item = _setting(node, name, before + path)
        current = getattr(node, name)
        if dataclasses.is_dataclass(current):
            if not rest:
                raise ConfigError(f"{before + path!r} is a group; set one of its members, for instance "
                                  f"{before}{path}.{dataclasses.fields(current)[0].name}")  # fmt: skip
            deeper.setdefault(name, {})[rest] = value
        elif rest:
            raise ConfigError(f"{before + path!r}: {name!r} is a single value and has no members")
        else:
            own[name] = _convert(value, current, before + name)
            refuse(item, own[name], before + name)
            refuse_missing(item, own[name], before + name)
    groups = {name: _changed(getattr(node, name), inner, f"{before}{name}.") for name, inner in deeper.items()}
    return dataclasses.replace(node, **own, **groups)


def _setting(node, name: str, path: str) -> dataclasses.Field:
    items = {item.name: item for item in dataclasses.fields(node)}
    if name not in items:
        close = difflib.get_close_matches(name, items, n=3, cutoff=0.4) or items
        raise ConfigError(f"no setting {path!r}; {type(node).__name__} knows: {', '.join(close)}")
    return items[name]


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
