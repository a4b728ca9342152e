"""Read old pickles without running what strangers put in them.

A pickle is a program: opening one may do anything. This reader knows only numbers, text, lists, dictionaries and numpy
arrays, and refuses every other word.
"""

import pickle
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import numpy as np

from updown_lab.errors import DataInvalid, DataMissing


class Bag(dict):
    """Attributes of an object whose class is not trusted: read like a dictionary, and does nothing.

    >>> bag = Bag(); bag.__setstate__({"rnn_size": 1000}); bag
    {'rnn_size': 1000}
    """

    def __setstate__(self, state: dict) -> None:
        self.update(state)


def read_pickle(source: Path | str | BinaryIO, classes: Collection[str] = ()) -> object:
    """What a pickle holds, if that is plain data.

    Python 2 files are read with Latin-1 text, as numpy needs it.

    Args:
        source:  a file, or something open for reading bytes.
        classes: names like "argparse.Namespace" that become a harmless ``Bag`` of their attributes.

    Returns:
        Numbers, text, bytes, lists, tuples, sets, dictionaries, numpy arrays and ``Bag``.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: the file asks for anything else, or is no pickle; the message names what it asked for.

    >>> import io
    >>> read_pickle(io.BytesIO(pickle.dumps({"features": np.ones(2), "ids": [3]})))
    {'features': array([1., 1.]), 'ids': [3]}
    >>> read_pickle(io.BytesIO(pickle.dumps(print)))                          # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    DataInvalid: the pickle asks for builtins.print …
    """
    if not isinstance(source, str | Path):
        return _load(source, "the pickle", classes)
    try:
        with open(source, "rb") as file:
            return _load(file, str(source), classes)
    except FileNotFoundError:
        raise DataMissing(f"no file {source}") from None


def _load(file: BinaryIO, name: str, classes: Collection[str]) -> object:
    try:
        value = _Reader(file, frozenset(classes)).load()
    except DataInvalid as error:
        raise DataInvalid(f"{name} {error}") from None
    except Exception as error:  # a broken pickle can raise anything
        raise DataInvalid(f"{name} is not a readable pickle ({type(error).__name__}: {error})") from None
    _refuse_objects(value, name)
    return value


class _Reader(pickle.Unpickler):
    def __init__(self, file: BinaryIO, classes: frozenset[str]):
        super().__init__(file, encoding="latin1")
        self.classes = classes

    def find_class(self, module: str, name: str):
        full = f"{module}.{name}"
        if full in self.classes:
            return Bag
        if full in _KNOWN:
            return _KNOWN[full]
        raise DataInvalid(
            f"asks for {full}, which is more than numbers, text and arrays: it is not opened. If you trust the file, "
            "save its contents as npz or safetensors where it was made"
        )

    def persistent_load(self, key):
        raise DataInvalid("points outside itself (persistent id): it is a torch file or worse; it is not opened")


def _latin_bytes(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes into old protocols: as text with its encoding."""
    if encoding.replace("-", "").lower() not in ("latin1", "iso88591"):
        raise DataInvalid(f"holds bytes encoded as {encoding!r}; only latin1 is known")
    return text.encode("latin1")


def _default_dictionary(factory=None, *items) -> dict:
    """A defaultdict without its factory: plain."""
    return dict(*items)


def _rebuilt_scalar(dtype: np.dtype, data=None):
    """A numpy number; numpy's own function would unpickle objects."""
    if dtype.hasobject:
        raise DataInvalid("holds a number of type object")
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype)[0]


def _known() -> dict:
    rebuild = np.ndarray(0).__reduce__()[0]
    table = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype, "_codecs.encode": _latin_bytes,
             "collections.OrderedDict": OrderedDict, "collections.defaultdict": _default_dictionary}  # fmt: skip
    for room in ("numpy.core", "numpy._core"):
        table[f"{room}.multiarray._reconstruct"] = rebuild
        table[f"{room}.multiarray.scalar"] = _rebuilt_scalar
        table[f"{room}.numeric._frombuffer"] = _from_buffer
    for name, kind in _PLAIN.items():
        table[f"builtins.{name}"] = table[f"__builtin__.{name}"] = kind
    return table


def _from_buffer(buffer, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    """An array of pickle protocol 5."""
    if dtype.hasobject:
        raise DataInvalid("holds an array of objects")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order).copy()


_PLAIN = {kind.__name__: kind for kind in (int, float, complex, list, dict, set, bytearray)} | {"long": int}
_KNOWN = _known()


def _refuse_objects(value, name: str) -> None:
    """Arrays of Python objects pass the reader; nobody here has a use for them."""
    pile = [value]
    seen: set[int] = set()
    while pile:
        item = pile.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray) and item.dtype.hasobject:
            raise DataInvalid(f"{name} holds an array of objects instead of numbers")
        if isinstance(item, dict):
            pile.extend(item.keys())
            pile.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            pile.extend(item)
