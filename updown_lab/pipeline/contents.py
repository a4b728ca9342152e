"""What a file holds, in a few digits: read once, then remembered until its size or its time changes."""

import hashlib
import json
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from updown_lab.files import write_json

SETTLED = 2_000_000_000  # ns: a file younger than that may change again without a new time


def content(path: Path | str) -> str:
    """Twelve digits that change when the bytes of a file change, wherever it lies.

    Gigabytes are read once: ``~/.cache/updown-lab/contents.json`` remembers size and time beside the digits.

    Args:
        path: of a file. If it is gone, the digits are those it had; "missing" if nobody has seen it.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, text in (("a", "dog"), ("b", "dog"), ("c", "cat")):
    ...     _ = (folder / name).write_text(text)
    >>> content(folder / "a") == content(folder / "b"), content(folder / "a") == content(folder / "c")
    (True, False)
    """
    place = str(Path(path).resolve())
    try:
        facts = os.stat(place)
    except FileNotFoundError:
        return _remembered().get(place, [0, 0, "missing"])[2]
    return _digits(place, facts.st_size, facts.st_mtime_ns)


@cache
def _digits(place: str, size: int, changed: int) -> str:
    known = _remembered().get(place)
    if known and known[:2] == [size, changed]:
        return known[2]
    with open(place, "rb") as stream:
        digits = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    if time.time_ns() - changed > SETTLED:
        with suppress(OSError):  # nowhere to write: it is read again next time
            write_json(_memory(), _remembered() | {place: [size, changed, digits]})
    return digits


def _memory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "updown-lab" / "contents.json"


def _remembered() -> dict[str, list]:
    try:
        return json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
