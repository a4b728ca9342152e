"""The streaming reader against ``json.loads``, the slower obvious method, and against every kind of damage."""

import gzip
import json
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from updown_lab.datasets import json_stream
from updown_lab.datasets.json_stream import need, need_numbers, stream_records
from updown_lab.errors import DataInvalid, DataMissing

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(st.text(max_size=5), values, max_size=3), max_size=5)


@example(before=[None, 0.5, 1e-7], wanted=[{"a": 1}], after=None, piece=1, indent=None)  # "0." is cut before its 5
@settings(deadline=None, max_examples=60)
@given(before=values, wanted=records, after=values, piece=st.integers(1, 40), indent=st.sampled_from([None, 2]))
def test_streaming_gives_what_json_loads_gives_wherever_the_pieces_end(before, wanted, after, piece, indent):
    whole = {"before": before, "wanted": wanted, "after": after}
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "PIECE", piece)
        path = Path(folder) / "file.json"
        path.write_text(json.dumps(whole, indent=indent, ensure_ascii=False), encoding="utf-8")

        got = list(stream_records(path, "wanted"))

        path.write_text(json.dumps(wanted, indent=indent), encoding="utf-8")
        assert got == wanted == list(stream_records(path))


def test_a_key_inside_a_skipped_value_is_not_taken_for_the_outer_one(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"info": {"images": [{"id": 1}]}, "licenses": [{"images": [{"id": 2}]}], "images": [{"id": 3}]}')

    assert list(stream_records(path, "images")) == [{"id": 3}]


def test_gzip_is_known_by_its_bytes_and_not_by_its_name(tmp_path):
    path = tmp_path / "questions.json"
    path.write_bytes(gzip.compress('[{"word": "café"}]'.encode()))

    assert list(stream_records(path)) == [{"word": "café"}]


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "large.json"
    row = json.dumps({"text": "x" * 1000})
    path.write_text('{"skipped": [' + ",".join([row] * 8000) + '], "wanted": [' + ",".join([row] * 8000) + "]}")

    tracemalloc.start()
    count = sum(1 for _ in stream_records(path, "wanted"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 8000
    assert peak < 1_000_000  # the file has 16 million characters


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('[{"a": 1}, {"a": 2', None, "entry 2: the file ends inside a value"),
        ('[{"a": 1}, {"a": "long', None, "entry 2: the file ends inside a value"),
        ('[{"a": 1}', None, "entry 2: the file ends where , or ]"),
        ('[{"a": 1},', None, "entry 2: the file ends inside a value"),
        ('[{"a": 1} {"a": 2}]', None, "entry 2: expected , or ]"),
        ('[{"a": 1}, {"a" 2}' + " " * 99 + "]", None, "entry 2: Expecting ':'"),
        ('[{"a": 1}, 7]', None, "entry 2: expected an object, found 7"),
        ('{"a": []}', None, "expected an array"),
        ('{"b": [1], "c": {}}', "a", "no key 'a', only 'b', 'c'"),
        ("{}", "a", "no key 'a', only an empty object"),
        ("[]", "a", "expected an object with the key 'a'"),
        ('{"a": 3}', "a", "expected an array"),
        ("", None, "expected an array"),
        ("", "a", "expected an object"),
        ('{"b": 1, "a', "a", "the file ends inside a value"),
        ('{"b" 1}', "a", "expected :"),
    ],
)
def test_broken_files_are_named_with_the_entry_that_is_wrong(tmp_path, text, key, message):
    path = tmp_path / "broken.json"
    path.write_text(text)

    with pytest.raises(DataInvalid) as caught:
        list(stream_records(path, key))

    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_damage_in_a_large_file_is_found_without_reading_the_rest(tmp_path):
    path = tmp_path / "broken.json"
    good = ",".join(['{"a": 1}'] * 400_000)
    path.write_text('[{"a" 1},' + good + "]")

    tracemalloc.start()
    with pytest.raises(DataInvalid, match="entry 1"):
        list(stream_records(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1_000_000  # the file has 3.6 million characters


@pytest.mark.parametrize("spoil", [lambda data: data[:-12], lambda data: data[:30] + b"\0\1\2\3" + data[34:]])
def test_a_spoilt_gzip_file_is_named(tmp_path, spoil):
    path = tmp_path / "questions.gzip"
    path.write_bytes(spoil(gzip.compress(json.dumps([{"number": i} for i in range(500)]).encode())))

    with pytest.raises(DataInvalid, match=r"questions\.gzip"):
        list(stream_records(path))


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "photo.json"
    path.write_bytes(b"\xff\xd8\xff\xe0")

    with pytest.raises(DataInvalid, match=r"photo\.json"):
        list(stream_records(path))


def test_a_missing_file_tells_what_to_do(tmp_path):
    with pytest.raises(DataMissing, match=r"none.json; run make data"):
        list(stream_records(tmp_path / "none.json", hint="run make data"))
    with pytest.raises(DataMissing):
        list(stream_records(tmp_path))  # a folder is no file either


@pytest.mark.parametrize(("value", "kind"), [("9", int), (True, int), (None, str), ({}, list), (True, (int, float))])
def test_a_field_of_another_type_is_refused_with_file_and_entry(value, kind):
    with pytest.raises(DataInvalid, match=r"a\.json, entry 3: 'id' should be of type (int|str|list|number), got"):
        need({"id": value}, "id", kind, "a.json, entry 3")


def test_a_missing_field_is_named_beside_those_that_are_there():
    with pytest.raises(DataInvalid, match=r"entry 3: no field 'id'; it has name, size"):
        need({"name": 1, "size": 2}, "id", int, "entry 3")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(value):
    with pytest.raises(DataInvalid, match="entry 3: x should be finite"):
        need_numbers({"x": value}, ("x",), "entry 3")
