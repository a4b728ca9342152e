"""Word vectors of others: three forms of file, and what is wrong with one."""

import numpy as np
import pytest
import torch

from updown_lab.datasets.word_vectors import word_vectors
from updown_lab.errors import DataInvalid, DataMissing

VECTORS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def test_text_npz_and_words_beside_give_the_same(tmp_path):
    (tmp_path / "a.txt").write_text("cat 1 2\ndog 3 4\n' 5 6\n")
    np.savez(tmp_path / "b.npz", words=np.array(["cat", "dog", "'"]), vectors=VECTORS)
    np.savez(tmp_path / "c.npz", vectors=VECTORS)
    (tmp_path / "c.words.txt").write_text("cat\ndog\n'\n")

    for name in ("a.txt", "b.npz", "c.npz"):
        table, found = word_vectors(tmp_path / name, ["dog", "unheard", "cat"])
        assert found == 2
        torch.testing.assert_close(table, torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 2.0]]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("a.txt", "cat 1 2\ndog 3\n", "line 2: 1 numbers instead of 2"), ("a.txt", "cat one two\n", "line 1"),
     ("a.txt", "", "is empty"), ("a.npz", "no zip", "is no npz")],
)  # fmt: skip
def test_a_broken_file_is_named_with_its_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)

    with pytest.raises(DataInvalid, match=message):
        word_vectors(tmp_path / name, ["cat", "dog"])


def test_a_pickle_inside_an_npz_never_runs(tmp_path):
    np.savez(tmp_path / "a.npz", words=np.array(["cat"], dtype=object), vectors=VECTORS[:1])

    with pytest.raises(DataInvalid):
        word_vectors(tmp_path / "a.npz", ["cat"])


def test_a_missing_file_names_the_ways_to_get_one():
    with pytest.raises(DataMissing, match="pypi"):
        word_vectors("no/glove.txt", ["cat"])
