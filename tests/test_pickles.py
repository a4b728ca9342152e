"""Old pickles: plain data comes through, everything else is refused before it runs."""

import argparse
import io
import os
import pickle
import pickletools
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.pickles import read_pickle


def load(value, protocol=4, **options):
    return read_pickle(io.BytesIO(pickle.dumps(value, protocol=protocol)), **options)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_and_arrays_come_through_every_protocol(protocol):
    value = {"words": ["a", "b"], "matrix": np.arange(6.0, dtype="<f4").reshape(2, 3), "count": np.int64(7),
             "raw": b"\xff\x00", "pair": (1, 2.5, None), "set": {3},
             "fortran": np.asfortranarray(np.eye(2))}  # fmt: skip

    got = load(value, protocol)

    assert got["words"] == ["a", "b"] and got["count"] == 7 and got["raw"] == b"\xff\x00" and got["set"] == {3}
    np.testing.assert_array_equal(got["matrix"], value["matrix"])
    np.testing.assert_array_equal(got["fortran"], np.eye(2))
    assert got["matrix"].dtype == np.float32


def test_names_of_numpy_1_are_understood():
    text = pickle.dumps({"weights": np.arange(3)}, protocol=2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )

    np.testing.assert_array_equal(read_pickle(io.BytesIO(text))["weights"], [0, 1, 2])


def test_a_python_2_file_is_read_with_latin_text():
    # what Python 2 wrote for {'mot': 'caf\xe9', 'n': 3L}
    text = b"(dp0\nS'mot'\np1\nS'caf\\xe9'\np2\nsS'n'\np3\nL3L\ns."

    assert read_pickle(io.BytesIO(text)) == {"mot": "café", "n": 3}


def test_ordered_and_default_dictionaries_become_dictionaries():
    counts = defaultdict(float)
    counts[("1", "2")] = 4.0

    assert load({"order": OrderedDict(b=1, a=2), "counts": counts}) == {
        "order": {"b": 1, "a": 2},
        "counts": {("1", "2"): 4.0},
    }


def test_a_named_class_becomes_a_bag_and_an_unnamed_one_is_refused():
    options = argparse.Namespace(rnn_size=1000, caption_model="updown")

    assert load({"opt": options}, classes=("argparse.Namespace",)) == {
        "opt": {"rnn_size": 1000, "caption_model": "updown"}
    }
    with pytest.raises(DataInvalid, match=r"argparse\.Namespace"):
        load({"opt": options})


class Payload:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


class Hidden:
    """numpy's own scalar maker would unpickle these bytes."""

    def __reduce__(self):
        return np.float64(0).__reduce__()[0], (np.dtype("O"), pickle.dumps(Payload()))


@pytest.mark.parametrize(
    "bad", [Payload(), {"model": [Payload()]}, Hidden(), np.array([Payload()], dtype=object), eval]
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_of_a_stranger_is_run(bad, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataInvalid):
        load(bad, protocol)

    assert not (tmp_path / "hacked").exists()


def test_an_array_of_plain_objects_is_refused_too():
    with pytest.raises(DataInvalid, match="array of objects"):
        load({"deep": [np.array([1, "a"], dtype=object)]})


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps([1, 2])[:-3], b"\x80\x04Pabc\n."])
def test_broken_files_are_said_to_be_broken(data, tmp_path):
    file = tmp_path / "broken.pkl"
    file.write_bytes(data)

    with pytest.raises(DataInvalid, match=r"broken\.pkl"):
        read_pickle(file)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(DataMissing, match=r"nowhere\.pkl"):
        read_pickle(tmp_path / "nowhere.pkl")


def test_the_payload_of_these_tests_would_really_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickletools.dis(pickle.dumps(Payload()), io.StringIO())

    pickle.loads(pickle.dumps(Payload()))

    assert (tmp_path / "hacked").exists()
