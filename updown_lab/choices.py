"""What a setting may be: said beside its default, checked wherever a configuration is made.

A dataclass of settings inherits from ``Checked`` and gives its fields by ``one_of``, ``number`` or ``file_or``.
"""

import importlib.util
import operator
import re
from collections.abc import Sequence
from dataclasses import Field, field, fields
from pathlib import Path

from updown_lab.errors import ConfigError, DataMissing

_LIMITS = {"at least": operator.ge, "at most": operator.le, "above": operator.gt, "below": operator.lt}


def one_of(*known):
    """A setting that knows these words (or numbers); the first is the default. "grid-N" means any number from 1 on.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class LampConfig(Checked):
    ...     colour: str = one_of("red", "green")
    ...     watts: float = number(5.0, above=0, most=60)
    >>> LampConfig(colour="blue")
    Traceback (most recent call last):
    updown_lab.errors.ConfigError: lamp.colour is one of red, green; got 'blue'
    >>> LampConfig(watts=99)
    Traceback (most recent call last):
    updown_lab.errors.ConfigError: lamp.watts is above 0 and at most 60; got 99
    """
    return field(default=known[0], metadata={"known": known})


def number(default, least=None, most=None, above=None, below=None):
    """A setting that is a number within limits, or a tuple of such numbers."""
    limits = {"at least": least, "above": above, "at most": most, "below": below}
    return field(default=default, metadata={"limits": {word: end for word, end in limits.items() if end is not None}})


def file_or(default: str = "", **packages: str):
    """A setting that names a file, nothing (""), or a word that stands for a file in a Python package."""
    return field(default=default, metadata={"packages": packages})


class Checked:
    """A frozen dataclass none of whose settings can be out of its limits."""

    def __post_init__(self):
        group = type(self).__name__.removesuffix("Config").lower()
        for item in fields(self):
            refuse(item, getattr(self, item.name), f"{group}.{item.name}".removeprefix("."))


def refuse(item: Field, value, name: str) -> None:
    """Raise if a setting may not have this value.

    Args:
        item:  the dataclass' field.
        value: what it should be.
        name:  for the message.

    Raises:
        ConfigError: the message says what is allowed.
    """
    known, limits = item.metadata.get("known"), item.metadata.get("limits", {})
    for one in value if isinstance(value, tuple) else (value,):
        if known and not fits(one, known):
            raise ConfigError(f"{name} is one of {', '.join(map(str, known))}; got {one!r}")
        if not all(_LIMITS[word](one, end) for word, end in limits.items()):
            allowed = " and ".join(f"{word} {end}" for word, end in limits.items())
            raise ConfigError(f"{name} is {allowed}; got {one!r}")


def refuse_missing(item: Field, value: str, name: str) -> None:
    """Raise if a setting that somebody gives now names a file that is not there.

    A run that was made with it long ago may still be opened: ``Checked`` does not ask.

    Raises:
        DataMissing: no such file, or the package behind the word is not installed.
    """
    packages = item.metadata.get("packages")
    if packages is None or not value or Path(value).is_file():
        return
    if value not in packages:
        raise DataMissing(f"{name} is a file{''.join(f' or {word}' for word in packages)}; there is no file {value!r}")
    if importlib.util.find_spec(packages[value]) is None:
        raise DataMissing(f"{name}={value} needs a package: pip install {packages[value].replace('_', '-')}")


def fits(value, known: Sequence) -> bool:
    """Whether a value is among the known ones.

    >>> fits("grid-7", ["red", "grid-N"]), fits("grid-07", ["red", "grid-N"])
    (True, False)
    """
    if value in known:
        return True
    stems = [word.removesuffix("N") for word in known if isinstance(word, str) and word.endswith("-N")]
    return any(re.fullmatch(re.escape(stem) + r"[1-9]\d*", str(value)) for stem in stems)


def choices(kind: type, name: str) -> tuple:
    """What a setting of a dataclass knows.

    >>> from updown_lab.settings import VqaConfig
    >>> choices(VqaConfig, "activation")
    ('gated_tanh', 'relu')
    """
    return next(item.metadata["known"] for item in fields(kind) if item.name == name)
