"""A file is whole or not there, and a broken one is named."""

import json

import pytest

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import atomic_path, read_json, write_json


def test_a_crash_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("old")

    with pytest.raises(KeyboardInterrupt), atomic_path(path) as draft:
        draft.write_text("half of the ne")
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ValueError), atomic_path(tmp_path / "words.txt") as draft:
        draft.write_text("half")
        raise ValueError

    assert list(tmp_path.iterdir()) == []


def test_the_new_file_appears_at_the_end_alone_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "words.txt"

    with atomic_path(str(path)) as draft:
        draft.write_text("new")
        assert not path.exists() and draft.parent == path.parent  # a move within a folder cannot tear

    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_two_writers_of_one_folder_do_not_share_a_draft(tmp_path):
    with atomic_path(tmp_path / "a.json") as one, atomic_path(tmp_path / "b.json") as other:
        one.write_text("1"), other.write_text("2")

    assert [(tmp_path / name).read_text() for name in ("a.json", "b.json")] == ["1", "2"]


def test_a_value_that_is_not_json_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"boxes": 3})

    with pytest.raises(TypeError):
        write_json(path, {"boxes": {1, 2}})

    assert read_json(path) == {"boxes": 3} and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("indent", [None, 1])
def test_json_comes_back_as_it_went(tmp_path, indent):
    value = {"ärger": [1, 2.5, None, True, "猫"], "nested": {"a": []}}

    write_json(tmp_path / "a.json", value, indent)

    assert read_json(tmp_path / "a.json") == value
    assert json.loads((tmp_path / "a.json").read_bytes()) == value


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(DataMissing, match=r"no file .*gone\.json; train the model first"):
        read_json(tmp_path / "gone.json", "train the model first")
    with pytest.raises(FileNotFoundError, match=r"gone\.json$"):
        read_json(tmp_path / "gone.json")


def test_broken_json_is_named_with_its_line(tmp_path):
    (tmp_path / "a.json").write_text('{\n"a": 1,\n"b": }')

    with pytest.raises(DataInvalid, match=r"a\.json is not valid JSON.*line 3"):
        read_json(tmp_path / "a.json")


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xd8\xff\xe0 a photo")

    with pytest.raises(DataInvalid, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
