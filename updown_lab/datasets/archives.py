"""Unpack a stranger's archive: whole or not at all, and never outside its folder."""

import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from updown_lab.errors import DataInvalid
from updown_lab.progress import progress

PIECE = 1 << 20  # bytes copied at once
LARGEST_RATIO = 300  # an archive that says it grows more than this is a bomb, or broken


class Member(NamedTuple):
    """One entry of an archive: its name, whether it is a folder, its size in bytes, and how to open it."""

    name: str
    is_folder: bool
    size: int
    open: object


def unpack(archive: Path | str, folder: Path | str, limit: int | None = None) -> list[Path]:
    """Unpack a zip or tar (also compressed) into a folder.

    All names are looked at before the first byte is written; the files are made beside the folder's own and moved there
    when all are whole, so that an interrupted unpacking leaves nothing that looks finished.

    Args:
        archive: the file.
        folder:  made if need be; files of the same name are replaced, others stay.
        limit:   the most bytes that the contents may have; by default 300 times the archive.

    Returns:
        The files, sorted.

    Raises:
        DataInvalid: not an archive, a broken one, or one with a name that leaves the folder, a link, a device, a
            password, or more bytes than the limit. Nothing was changed then.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as file:
    ...     file.writestr("inner/words.txt", "a red cat")
    >>> [path.relative_to(folder).as_posix() for path in unpack(folder / "a.zip", folder / "out")]
    ['out/inner/words.txt']
    """
    archive, folder = Path(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{archive.name}.", suffix=".part", dir=folder))
    try:
        with _opened(archive) as members:
            listed = list(members)
            _check(archive, listed, limit or LARGEST_RATIO * archive.stat().st_size + PIECE)
            with progress(None, f"unpacking {archive.name}", total=sum(item.size for item in listed), unit="B") as bar:
                for member in listed:
                    _write(archive, member, draft / member.name, bar)
        return _move(draft, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError, NotImplementedError) as error:
        raise DataInvalid(f"{archive} is broken ({error}); delete it and download it again") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _opened:
    """The members of an archive, while it is open."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> Iterator[Member]:
        if zipfile.is_zipfile(self.path):
            self.file = zipfile.ZipFile(self.path)
            return self._zip()
        if tarfile.is_tarfile(self.path):
            self.file = tarfile.open(self.path)
            return self._tar()
        raise DataInvalid(f"{self.path} is neither a zip nor a tar; delete it and download it again")

    def __exit__(self, *_) -> None:
        self.file.close()

    def _zip(self) -> Iterator[Member]:
        for item in self.file.infolist():
            kind = stat.S_IFMT(item.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataInvalid(f"{self.path} holds {item.filename!r}, a link or device: it is not unpacked")
            if item.flag_bits & 1:
                raise DataInvalid(f"{self.path}: {item.filename!r} wants a password; unpack it by hand")
            yield Member(item.filename, item.is_dir(), item.file_size, lambda item=item: self.file.open(item))

    def _tar(self) -> Iterator[Member]:
        for item in self.file.getmembers():
            if not (item.isreg() or item.isdir()):
                raise DataInvalid(f"{self.path} holds {item.name!r}, a link or device: it is not unpacked")
            yield Member(item.name, item.isdir(), item.size, lambda item=item: self.file.extractfile(item))


def _check(archive: Path, members: list[Member], limit: int) -> None:
    for member in members:
        path = PurePosixPath(member.name.replace("\\", "/"))
        strange = not member.name or "\0" in member.name or any(":" in part for part in path.parts[:1])
        if path.is_absolute() or ".." in path.parts or strange:
            raise DataInvalid(f"{archive} holds {member.name!r}, which would leave its folder: it is not unpacked")
    total = sum(member.size for member in members)
    if total > limit:
        raise DataInvalid(f"{archive} would unpack to {total:,} bytes, more than {limit:,}: it is not unpacked")


def _write(archive: Path, member: Member, target: Path, bar) -> None:
    if member.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    source: BinaryIO
    with member.open() as source, open(target, "wb") as file:
        while piece := source.read(min(PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                raise DataInvalid(f"{archive}: {member.name!r} is larger than it says: it is not unpacked")
            file.write(piece)
            bar.update(len(piece))
    if left:
        raise DataInvalid(f"{archive}: {member.name!r} is cut off; delete the archive and download it again")


def _move(draft: Path, folder: Path) -> list[Path]:
    moved = []
    for path in sorted(item for item in draft.rglob("*") if item.is_file()):
        target = folder / path.relative_to(draft)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        moved.append(target)
    return moved
