"""Reading large JSON files one record at a time.

Visual Genome's ``attributes.json`` is half a gigabyte of text and several more as Python objects.
A reader needs one entry at a time, so no more than that (and a small piece of text) is ever in memory.
"""

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from updown_lab.errors import DataInvalid, DataMissing

HINT = "data/README.md names the command that fetches it"
PIECE = 1 << 16  # characters read at once
LONGEST_MARK = 16  # a number, literal or escape cut by the end of a piece is shorter than this
_GZIP = b"\x1f\x8b"
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = (int, float)


def stream_records(path: Path | str, key: str | None = None, hint: str = HINT) -> Iterator[dict]:
    """Give the objects of a JSON array one after the other, from a plain or a gzipped file.

    It walks the text like a reader with a ruler: one object under the ruler, the rest of the file still closed.
    Being an iterator, it raises when the first record is asked for, not when it is called.

    Args:
        path: the file; gzip is recognised by its first two bytes, whatever the name.
        key:  None if the file is an array; otherwise the array stands under this key of the outermost object.
        hint: what the reader can do if the file is missing, for instance a command.

    Returns:
        An iterator over the array's objects.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: broken or cut JSON, no such key, or an entry that is not an object.
            The message names the file and the number of the entry, from 1.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "questions.json"
    >>> _ = path.write_text('{"info": {"year": 2017}, "questions": [{"question_id": 1}, {"question_id": 2}]}')
    >>> [record["question_id"] for record in stream_records(path, "questions")]
    [1, 2]
    """
    path = Path(path)
    number = 0
    try:
        with _open(path) as file:
            text = _Text(file)
            if key is not None:
                _go_to_key(text, key)
            if text.peek() != "[":
                raise _BrokenJson(f"expected an array, found {text.peek()!r}")
            number = 1
            for record in _items(text):
                if not isinstance(record, dict):
                    raise _BrokenJson(f"expected an object, found {record!r:.60}")
                yield record
                number += 1
    except (FileNotFoundError, IsADirectoryError):
        raise DataMissing(f"no file {path}; {hint}") from None
    except (_BrokenJson, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        entry = f", entry {number}" if number else ""
        raise DataInvalid(f"{path}{entry}: {error}; fetch or make the file again") from None


class _BrokenJson(Exception):
    """The text does not go on as JSON should; ``stream_records`` adds file and entry."""


def _open(path: Path):
    with open(path, "rb") as file:
        zipped = file.read(len(_GZIP)) == _GZIP
    return gzip.open(path, "rt", encoding="utf-8") if zipped else open(path, encoding="utf-8")


class _Text:
    """A window on a JSON text: it slides forward, and grows only while one value is longer than it."""

    def __init__(self, file):
        self.file, self.window, self.start, self.ended = file, "", 0, False
        self.decode = json.JSONDecoder().raw_decode

    def more(self, size: int) -> None:
        """Drop what was read and append the next piece."""
        piece = self.file.read(size)
        self.window, self.start, self.ended = self.window[self.start :] + piece, 0, not piece

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end of the file."""
        while True:
            self.start = _SPACE.match(self.window, self.start).end()
            if self.start < len(self.window) or self.ended:
                return self.window[self.start : self.start + 1]
            self.more(PIECE)

    def take(self, expected: str) -> str:
        """Step over the next character, which must be one of ``expected``."""
        character = self.peek()
        if not character:
            raise _BrokenJson(f"the file ends where {' or '.join(expected)} should come")
        if character not in expected:
            raise _BrokenJson(f"expected {' or '.join(expected)}, found {self.window[self.start :][:30]!r}")
        self.start += 1
        return character

    def value(self):
        """Step over the next whole value and return it."""
        self.peek()
        while True:
            try:
                value, end = self.decode(self.window, self.start)
                if end < len(self.window) - LONGEST_MARK or self.ended:  # near the edge, "0." may be the start of 0.5
                    self.start = end
                    return value
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self.window) - LONGEST_MARK
                if self.ended or not cut:
                    wrong = (
                        "the file ends inside a value" if cut else f"{error.msg} at {self.window[error.pos :][:30]!r}"
                    )
                    raise _BrokenJson(wrong) from None
            self.more(max(PIECE, len(self.window) - self.start))  # doubling keeps the total work linear in a long value


def _items(text: _Text) -> Iterator:
    """The values of the array that starts here, one at a time."""
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    yield text.value()
    while text.take(",]") == ",":
        yield text.value()


def _go_to_key(text: _Text, key: str) -> None:
    """Step over the members of the outermost object until the value of ``key``; arrays are skipped item by item."""
    if text.peek() != "{":
        raise _BrokenJson(f"expected an object with the key {key!r}, found {text.peek()!r}")
    text.take("{")
    seen = []
    while text.peek() == '"':
        name = text.value()
        text.take(":")
        if name == key:
            return
        seen.append(name)
        if text.peek() == "[":
            for _ in _items(text):
                pass
        else:
            text.value()
        if text.take(",}") == "}":
            break
    raise _BrokenJson(f"no key {key!r}, only {', '.join(map(repr, seen)) or 'an empty object'}")


def need(record: dict, name: str, kind: type | tuple[type, ...], place: str):
    """The field ``name`` of a record, if it is there and of the right type.

    Args:
        record: one JSON object.
        name:   the field.
        kind:   ``int``, ``str``, ``list``, ``dict``, or ``(int, float)`` for any number; a bool is no number.
        place:  file and entry, for the message.

    Raises:
        DataInvalid: the field is missing or of another type.

    >>> need({"image_id": 9}, "image_id", int, "captions.json, annotation 3")
    9
    """
    if name not in record:
        raise DataInvalid(f"{place}: no field {name!r}; it has {', '.join(record) or 'no field'}")
    value = record[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = "number" if kind == _NUMBER else kind.__name__
        raise DataInvalid(f"{place}: {name!r} should be of type {wanted}, got {value!r:.60}")
    return value


def need_numbers(record: dict, names: tuple[str, ...], place: str) -> tuple[float, ...]:
    """Several number fields at once, as finite floats.

    >>> need_numbers({"x": 3, "y": 4.5}, ("x", "y"), "objects.json, object 7")
    (3.0, 4.5)
    """
    numbers = tuple(float(need(record, name, _NUMBER, place)) for name in names)
    if not all(map(math.isfinite, numbers)):
        raise DataInvalid(f"{place}: {', '.join(names)} should be finite, got {numbers}")
    return numbers
