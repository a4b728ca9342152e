"""Strangers' archives: what is whole comes out, what is wicked changes nothing."""

import io
import tarfile
import zipfile

import pytest

from updown_lab.datasets.archives import unpack
from updown_lab.errors import DataInvalid


def make_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def make_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_everything_comes_out_where_it_belongs(make, tmp_path):
    members = {"train2014/1.jpg": b"photo", "annotations/deep/a.json": b"{}", "empty": b""}

    files = unpack(make(tmp_path / "archive", members), tmp_path / "out")

    assert contents(tmp_path / "out") == members
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == sorted(members)


def test_a_second_archive_adds_to_the_folder_and_replaces_what_it_names(tmp_path):
    unpack(make_zip(tmp_path / "a.zip", {"x/1": b"old", "x/2": b"stays"}), tmp_path / "out")

    unpack(make_zip(tmp_path / "b.zip", {"x/1": b"new", "y/3": b"more"}), tmp_path / "out")

    assert contents(tmp_path / "out") == {"x/1": b"new", "x/2": b"stays", "y/3": b"more"}


WICKED = ["../evil", "/tmp/evil", "x/../../evil", "..\\evil", "C:\\evil", "C:/evil"]


@pytest.mark.parametrize("name", WICKED)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_name_that_leaves_the_folder_is_refused_before_anything_is_written(make, name, tmp_path):
    archive = make(tmp_path / "archive", {"good": b"1", name: b"evil"})

    with pytest.raises(DataInvalid, match="would leave its folder"):
        unpack(archive, tmp_path / "out")

    assert contents(tmp_path / "out") == {} and not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        info = tarfile.TarInfo("inner")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)

    with pytest.raises(DataInvalid, match="'inner', a link or device"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("inner")
    info.external_attr = 0o120777 << 16  # a symbolic link, as Unix writes it
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")

    with pytest.raises(DataInvalid, match="'inner', a link or device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_bomb_is_refused_by_what_it_says(tmp_path):
    archive = make_zip(tmp_path / "bomb.zip", {"zeros": bytes(8_000_000)})  # 8 kB on the disk

    with pytest.raises(DataInvalid, match="8,000,000 bytes, more than"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(DataInvalid, match="more than 10"):
        unpack(make_zip(tmp_path / "small.zip", {"a": b"eleven byte"}), tmp_path / "out", limit=10)

    assert contents(tmp_path / "out") == {}
    unpack(archive, tmp_path / "out", limit=8_000_000)  # whoever expects so much gets it


def test_a_broken_archive_leaves_what_was_there(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"one": b"1" * 1000, "two": bytes(range(256)) * 40})
    data = bytearray(archive.read_bytes())
    data[data.index(b"two") + 40] ^= 0xFF  # inside the second file's data
    archive.write_bytes(data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one").write_bytes(b"before")

    with pytest.raises(DataInvalid, match=r"a\.zip is broken"):
        unpack(archive, tmp_path / "out")

    assert contents(tmp_path / "out") == {"one": b"before"}


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_said_to_be_none(data, tmp_path):
    (tmp_path / "page.zip").write_bytes(data)

    with pytest.raises(DataInvalid, match="neither a zip nor a tar"):
        unpack(tmp_path / "page.zip", tmp_path / "out")
