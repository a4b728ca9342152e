"""Writing without losing: a file is either whole or not there."""

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

from updown_lab.errors import DataInvalid, DataMissing, UpdownError


@contextmanager
def atomic_path(path: Path | str):
    """Give a temporary path beside ``path`` and move it there only when the block ends well.

    A crash or an interrupt leaves the old file (or none), never half a file.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "words.txt"
    >>> with atomic_path(target) as draft:
    ...     _ = draft.write_text("a red cat")
    >>> target.read_text()
    'a red cat'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path | str, value, indent: int | None = None) -> None:
    """Write ``value`` as JSON in one atomic move.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(target, {"boxes": 3}); read_json(target)
    {'boxes': 3}
    """
    with atomic_path(path) as draft:
        draft.write_text(json.dumps(value, indent=indent), encoding="utf-8")


def read_json(path: Path | str, hint: str = ""):
    """Read a JSON file, or say plainly which file is missing or broken.

    Args:
        path: the file.
        hint: what the reader can do if it is missing, for instance a command.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: the file is not JSON; the message names the line.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataMissing(f"no file {path}" + (f"; {hint}" if hint else "")) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataInvalid(f"{path} is not valid JSON: {error}; fetch or make the file again") from None


@contextmanager
def locked(folder: Path | str):
    """Hold a folder that a run works in; gives the lock's descriptor.

    Child processes inherit the lock, so what a killed run leaves behind is free when its last child has ended.

    Args:
        folder: made if it is missing.

    Raises:
        UpdownError: another process holds it, for more than ten seconds.

    >>> import tempfile
    >>> with locked(Path(tempfile.mkdtemp()) / "run") as lock:
    ...     os.get_inheritable(lock)
    True
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        _hold(descriptor, folder)
        os.set_inheritable(descriptor, True)
        yield descriptor
    finally:
        os.close(descriptor)


def _hold(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such lock; two runs in one folder are then the user's care
        return
    for _attempt in range(100):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
    raise UpdownError(f"another run is working in {folder}; wait for it, or give another folder with --out")
