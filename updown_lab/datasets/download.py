"""Fetch what the catalogue names: resumed where it broke off, checked, unpacked, or not there at all."""

import errno
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pooch
import requests

from updown_lab.datasets.archives import unpack
from updown_lab.datasets.catalogue import Entry, Remote, in_words
from updown_lab.errors import DataInvalid, DataMissing, UpdownError
from updown_lab.files import read_json, write_json
from updown_lab.progress import progress

PIECE = 1 << 16  # bytes at once; so many may be lost when a connection breaks
ATTEMPTS = 5
PATIENCE = (10, 60)  # seconds for a connection, and between two pieces
PAUSE = 1.0  # seconds before the second attempt; doubles each time
MIRROR = "UPDOWN_MIRROR"


def download(name: str, entry: Entry, root: Path | str, keep: bool = False) -> list[Path]:
    """Fetch all files of a catalogue entry and unpack the archives among them.

    Run it again after an interruption: it goes on at the byte where it stopped, and does nothing for what is there.
    The environment variable UPDOWN_MIRROR names a folder or a server's address with the same file names; it is asked
    first.

    Args:
        name:  of the entry, for messages.
        entry: what to fetch.
        root:  data folder.
        keep:  keep the archives after unpacking.

    Returns:
        Files that are new.

    Raises:
        UpdownError: too little space; nothing was fetched.
        DataMissing: no server has it, or the connection broke too often; what was fetched stays for the next try.
        DataInvalid: the file is not the one that was expected, or its archive is broken.
    """
    root, folder, new = Path(root), Path(root) / entry.folder, []
    left = [file for file in entry.files if not _is_done(root, entry, file)]
    _need_space(name, replace(entry, files=tuple(left)), folder)
    for file in left:
        path = folder / file.name
        if not path.exists():
            _fetch_first(_places(file), path)
        _check(root, entry, file, path)
        if file.unpacked:
            new += unpack(path, folder, limit=3 * file.unpacked + 2**20)
            if not keep:
                path.unlink()
        else:
            new.append(path)
        _note(root, entry, file, unpacked=True)
    return new


def is_there(entry: Entry, root: Path | str) -> bool:
    """Whether all files of an entry were fetched into a data folder."""
    return all(_is_done(Path(root), entry, file) for file in entry.files)


def _places(file: Remote) -> list[str]:
    """Where to look for a file: the mirror, if there is one, then its home."""
    mirror = os.environ.get(MIRROR, "")
    return [*([mirror.rstrip("/") + "/" + file.name] if mirror else []), file.url]


def _need_space(name: str, entry: Entry, folder: Path) -> None:
    if not entry.files:
        return
    folder.mkdir(parents=True, exist_ok=True)
    begun = sum(part.stat().st_size for part in folder.glob("*.part") if part.is_file())
    free, needed = shutil.disk_usage(folder).free, entry.needed - begun
    print(f"{name}: about {in_words(needed)} needed on the disk of {folder}, {in_words(free)} free", flush=True)
    if free < needed:
        raise UpdownError(
            f"{name} needs about {in_words(needed)} but the disk of {folder} has {in_words(free)} free; "
            "make room, or choose another disk with --root"
        )


def _fetch_first(places: list[str], path: Path) -> None:
    """Fetch from the first place that has the file."""
    problems = []
    for place in places:
        try:
            return fetch(place, path)
        except DataMissing as error:
            problems.append(str(error))
    raise DataMissing("; ".join(problems) + f". Put the file at {path} by hand, or name a copy with {MIRROR}=FOLDER")


def fetch(place: str, path: Path | str) -> None:
    """Fetch one file, resuming a part that is there; ``path`` appears when it is whole.

    Args:
        place: address (http, https) or path.
        path:  where it goes; the part lies beside it as ``path.part``.

    Raises:
        DataMissing: not there, or no connection after some attempts; the message says what helps.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if place.startswith(("http://", "https://")):
            _from_server(place, part)
        else:
            _from_folder(Path(place), part)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DataMissing(
            f"the disk of {part.parent} is full; make room and run the command again: it goes on after "
            f"{in_words(part.stat().st_size)}"
        ) from None
    os.replace(part, path)
    part.with_name(part.name + ".tag").unlink(missing_ok=True)


def _from_folder(source: Path, part: Path) -> None:
    if not source.is_file():
        raise DataMissing(f"{MIRROR} has no file {source}")
    bar = progress(None, source.name, total=source.stat().st_size, unit="B")
    with open(source, "rb") as reader, open(part, "wb") as writer, bar:
        while piece := reader.read(PIECE):
            writer.write(piece)
            bar.update(len(piece))


def _from_server(url: str, part: Path) -> None:
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            if _one_attempt(url, part):
                return
            problem = "the connection broke off"
        except requests.RequestException as error:
            problem = f"no connection ({type(error).__name__})"
        except _Busy as error:
            problem = str(error)
    have = part.stat().st_size if part.exists() else 0
    raise DataMissing(
        f"{url}: {problem}, {ATTEMPTS} times; {in_words(have)} are kept and the same command goes on there"
    )


class _Busy(Exception):
    """The server says that it cannot now."""


def _one_attempt(url: str, part: Path) -> bool:
    """Get what is missing of ``part``; False if the connection broke off before the end."""
    have = part.stat().st_size if part.exists() else 0
    tag_file = part.with_name(part.name + ".tag")
    tag = tag_file.read_text() if tag_file.exists() else ""
    # Without a tag nobody knows whether the server's file is still the one that was begun.
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have and tag else {}
    headers["Accept-Encoding"] = "identity"  # else a server may count other bytes than it sends
    with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise _Busy(f"the server answers {answer.status_code} {answer.reason}")
        if answer.status_code == 416:  # nothing after the part: it is too long, so begin again
            part.unlink()
            return False
        if answer.status_code not in (200, 206):
            raise DataMissing(f"{url} answers {answer.status_code} {answer.reason}")
        have = have if answer.status_code == 206 else 0
        tag_file.write_text(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            open(part, "ab" if have else "wb") as file,
            progress(None, part.name.removesuffix(".part"), total=total, unit="B", initial=have) as bar,
        ):
            try:
                for piece in answer.iter_content(PIECE):
                    file.write(piece)
                    bar.update(len(piece))
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                return False
    return total is None or part.stat().st_size == total


def _check(root: Path, entry: Entry, file: Remote, path: Path) -> None:
    """Compare with the publisher's checksum, else with the one of the first download."""
    kind, _, wanted = file.checksum.partition(":")
    seen = pooch.file_hash(path, alg=kind or "sha256")
    noted = _notes(root).get(f"{entry.folder}/{file.name}", {}).get("sha256", "")
    expected = wanted or noted
    if not seen.startswith(expected):
        path.unlink()
        rest = "…" if len(expected) < len(seen) else ""
        raise DataInvalid(
            f"{file.name} has {kind or 'sha256'} {seen}, expected {expected}{rest}; "
            "it was deleted. Download it again, or from another place; if the publisher changed it on purpose, remove "
            f"its line from {root / 'checksums.json'}"
        )
    if not expected:
        print(f"{file.name}: no checksum of its publisher is known here, so this first download is trusted; its sha256 "
              f"{seen[:16]}… is remembered in {root / 'checksums.json'}", flush=True)  # fmt: skip
    _note(root, entry, file, sha256=seen if not kind or kind == "sha256" else pooch.file_hash(path))


def _notes(root: Path) -> dict:
    path = root / "checksums.json"
    return read_json(path) if path.exists() else {}


def _note(root: Path, entry: Entry, file: Remote, **facts) -> None:
    notes = _notes(root)
    notes.setdefault(f"{entry.folder}/{file.name}", {}).update(facts)
    write_json(root / "checksums.json", notes, indent=1)


def _is_done(root: Path, entry: Entry, file: Remote) -> bool:
    noted = _notes(root).get(f"{entry.folder}/{file.name}", {}).get("unpacked", False)
    return noted and (bool(file.unpacked) or (root / entry.folder / file.name).exists())
