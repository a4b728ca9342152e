"""Downloads from a server on this machine that breaks off, lies and falls silent."""

import errno
import hashlib
import io
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from updown_lab.cli import main
from updown_lab.datasets import catalogue
from updown_lab.datasets import download as module
from updown_lab.datasets.catalogue import CATALOGUE, Entry, Remote, find_entry, in_words
from updown_lab.datasets.download import download, fetch
from updown_lab.errors import ConfigError, DataInvalid, DataMissing, UpdownError

DATA = bytes(range(256)) * 4096  # 1 MB
CUT = 6 * 65_536  # where the connection breaks
SHA = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``script`` holds what to do with the next requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.script, self.seen, self.ranges, self.tag = {"data.bin": DATA}, [], [], True, '"one"'

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, name = self.server, self.path.rsplit("/", 1)[1]
        server.seen.append((name, self.headers.get("Range")))
        action = server.script.pop(0) if server.script else ""
        if isinstance(action, int):
            return self._answer(action, b"sorry")
        if action.startswith("/"):
            return self._answer(302, b"", Location=server.url + action)
        if name not in server.files:
            return self._answer(404, b"no such file")
        data, start, headers = server.files[name], 0, {"ETag": server.tag}
        if server.ranges and self.headers.get("Range") and self.headers.get("If-Range") == server.tag:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                return self._answer(416, b"")
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._answer(206 if start else 200, data[start:], cut=CUT if action == "cut" else None, **headers)

    def _answer(self, code, body, cut=None, **headers):
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut:
            self.wfile.flush()
            self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.delenv("UPDOWN_MIRROR", raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def entry(server, checksum="", name="data.bin", size=2**20, unpacked=0):
    return Entry("set", "CC0", "tests", (Remote(f"{server.url}/{name}", size, unpacked, checksum),))


def left_over(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path, capsys):
    new = download("set", entry(server, f"sha256:{SHA}"), tmp_path)
    again = download("set", entry(server, f"sha256:{SHA}"), tmp_path)

    assert new == [tmp_path / "set/data.bin"] and again == []
    assert new[0].read_bytes() == DATA and len(server.seen) == 1
    assert left_over(tmp_path) == ["checksums.json", "data.bin"]
    assert "about 2 MB needed" in capsys.readouterr().out  # the file, and room while it is checked


def test_a_broken_connection_is_taken_up_at_the_byte_where_it_broke(server, tmp_path):
    server.script = ["cut", "cut"]

    download("set", entry(server, f"sha256:{SHA}"), tmp_path)

    assert (tmp_path / "set/data.bin").read_bytes() == DATA
    first, second, third = (span for _, span in server.seen)
    assert first is None and second == f"bytes={CUT}-" and third == f"bytes={2 * CUT}-"


def test_a_connection_that_always_breaks_keeps_the_part_and_a_later_run_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    server.script = ["cut", "cut"]

    with pytest.raises(DataMissing, match="broke off, 2 times; 786 kB are kept"):
        download("set", entry(server), tmp_path)
    assert left_over(tmp_path) == ["data.bin.part", "data.bin.part.tag"]
    download("set", entry(server), tmp_path)

    assert server.seen[-1] == ("data.bin", f"bytes={2 * CUT}-")
    assert (tmp_path / "set/data.bin").read_bytes() == DATA


def test_a_server_without_ranges_is_read_from_the_start(server, tmp_path):
    server.ranges, server.script = False, ["cut"]

    fetch(f"{server.url}/data.bin", tmp_path / "data.bin")

    assert (tmp_path / "data.bin").read_bytes() == DATA


def test_a_file_that_changed_on_the_server_is_not_glued_to_the_old_beginning(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    server.script = ["cut"]
    with pytest.raises(DataMissing):
        fetch(f"{server.url}/data.bin", tmp_path / "data.bin")
    server.files["data.bin"], server.tag = DATA[::-1], '"two"'

    fetch(f"{server.url}/data.bin", tmp_path / "data.bin")

    assert (tmp_path / "data.bin").read_bytes() == DATA[::-1]


def test_a_server_that_is_busy_is_asked_again_and_a_redirect_is_followed(server, tmp_path):
    server.files["moved.bin"] = DATA
    server.script = [503, 500, "/moved.bin"]

    fetch(f"{server.url}/data.bin", tmp_path / "data.bin")

    assert (tmp_path / "data.bin").read_bytes() == DATA and server.seen[-1][0] == "moved.bin"


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_file_that_is_gone_is_said_to_be_gone_with_what_to_do(code, server, tmp_path):
    server.script = [code]

    with pytest.raises(DataMissing, match=rf"data\.bin answers {code}.*Put the file at .*UPDOWN_MIRROR=FOLDER"):
        download("set", entry(server), tmp_path)

    assert left_over(tmp_path) == [] and len(server.seen) == 1


def test_no_server_at_all_is_said_plainly(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)

    with pytest.raises(DataMissing, match=r"no connection \(ConnectionError\), 5 times"):
        fetch("http://127.0.0.1:9/data.bin", tmp_path / "data.bin")


@pytest.mark.parametrize("checksum", [f"sha256:{'0' * 64}", "sha256:00000000", "md5:ffff0000"])
def test_a_wrong_checksum_deletes_the_file_and_says_what_was_seen(checksum, server, tmp_path):
    with pytest.raises(DataInvalid, match=rf"expected {checksum.partition(':')[2]}.*it was deleted"):
        download("set", entry(server, checksum), tmp_path)

    assert left_over(tmp_path) == []


@pytest.mark.parametrize("checksum", [f"sha256:{SHA}", f"sha256:{SHA[:8]}", f"md5:{hashlib.md5(DATA).hexdigest()[:8]}"])
def test_a_publishers_first_digits_are_enough(checksum, server, tmp_path):
    download("set", entry(server, checksum), tmp_path)

    assert (tmp_path / "set/data.bin").exists()


def test_without_a_publishers_checksum_the_first_download_is_remembered(server, tmp_path, capsys):
    download("set", entry(server), tmp_path)
    assert f"{SHA[:16]}… is remembered" in capsys.readouterr().out
    (tmp_path / "set/data.bin").unlink()
    server.files["data.bin"] = DATA[:-1] + b"!"

    with pytest.raises(DataInvalid, match=rf"expected {SHA}.*checksums\.json"):
        download("set", entry(server), tmp_path)


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.json", data)
    return file.getvalue()


def test_an_archive_is_unpacked_and_dropped_unless_it_should_be_kept(server, tmp_path):
    server.files["a.zip"] = zipped(objects="[]", attributes="{}")

    new = download("set", entry(server, name="a.zip", size=300, unpacked=4), tmp_path)
    again = download("set", entry(server, name="a.zip", size=300, unpacked=4), tmp_path)
    download("set", entry(server, name="a.zip", size=300, unpacked=4), tmp_path / "other", keep=True)

    assert [path.name for path in new] == ["attributes.json", "objects.json"] and again == []
    assert left_over(tmp_path / "set") == ["attributes.json", "objects.json"]
    assert "a.zip" in left_over(tmp_path / "other")


def test_an_archive_that_would_leave_its_folder_is_kept_for_a_look_and_unpacks_nothing(server, tmp_path):
    server.files["a.zip"] = zipped(**{"../../evil": "1"})

    with pytest.raises(DataInvalid, match="would leave its folder"):
        download("set", entry(server, name="a.zip", size=300, unpacked=4), tmp_path / "root")

    assert not list(tmp_path.rglob("evil*"))


def test_too_little_space_is_said_before_anything_is_fetched(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))

    with pytest.raises(UpdownError, match=r"needs about 3\.0 GB but the disk of .* has 2 MB free.*--root"):
        download("set", entry(server, size=1_000_000_000, unpacked=2_000_000_000), tmp_path)

    assert server.seen == []


def test_a_disk_that_fills_up_on_the_way_keeps_the_part(server, tmp_path, monkeypatch):
    class Full:
        def __init__(self, *_, **__):
            self.written = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, count):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "progress", Full)

    with pytest.raises(DataMissing, match="is full; make room and run the command again: it goes on after 66 kB"):
        download("set", entry(server), tmp_path)

    assert not (tmp_path / "set/data.bin").exists() and (tmp_path / "set/data.bin.part").exists()


def test_a_mirror_is_asked_first_be_it_a_folder_or_a_server(server, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/data.bin").write_bytes(DATA)
    away = replace(entry(server), files=(Remote("http://127.0.0.1:9/data.bin", len(DATA), 0, f"sha256:{SHA}"),))

    for number, mirror in enumerate((tmp_path / "mirror", server.url)):
        monkeypatch.setenv("UPDOWN_MIRROR", str(mirror))
        download("set", away, tmp_path / str(number))
        assert (tmp_path / str(number) / "set/data.bin").read_bytes() == DATA


def test_what_the_mirror_lacks_comes_from_its_home(server, tmp_path, monkeypatch):
    monkeypatch.setenv("UPDOWN_MIRROR", str(tmp_path / "nothing"))

    download("set", entry(server), tmp_path)

    assert (tmp_path / "set/data.bin").read_bytes() == DATA


# -------------------------------------------------------------------------------------------------- the catalogue


def test_every_entry_says_where_how_large_and_under_which_licence():
    for name, item in CATALOGUE.items():
        assert item.folder and item.licence and item.purpose and item.files, name
        for file in item.files:
            assert file.url.startswith(("http://", "https://")) and file.size > 0
            assert bool(file.unpacked) == file.name.endswith((".zip", ".tar.gz"))
            assert file.checksum == "" or file.checksum.startswith(("sha256:", "md5:"))
    files = [file.name for item in CATALOGUE.values() for file in item.files]
    assert len(files) == len(set(files))  # a mirror is one folder


def test_a_typo_names_what_there_is():
    with pytest.raises(ConfigError, match="nothing called 'coco' to download; known: coco-images"):
        find_entry("coco")


def test_sizes_as_people_say_them():
    assert [in_words(size) for size in (1, 999_600_000, 5_500_000_000)] == ["1 kB", "1000 MB", "5.5 GB"]


def test_the_command_lists_plans_and_fetches(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(catalogue.CATALOGUE, "tests", entry(server))
    root = ["--root", str(tmp_path)]

    assert main(["download", "tests", "--dry-run", *root]) == 0
    assert "data.bin  1 MB" in capsys.readouterr().out and server.seen == []
    assert main(["download", "tests", *root]) == 0
    assert "tests: 1 new files" in capsys.readouterr().out
    assert main(["download", "tests", *root]) == 0
    assert "everything is there" in capsys.readouterr().out
    assert main(["download", "--list", *root]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == len(CATALOGUE) and "there" in next(line for line in listed if line.startswith("tests "))
    assert main(["download", *root]) == 1 and "--list" in capsys.readouterr().err
    assert main(["download", "tests", "typo", *root]) == 1
