"""How many images mention each n-gram: what makes a word rare, and with that what CIDEr-D pays for."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from updown_lab.config import fingerprint
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import atomic_path
from updown_lab.metrics.ngrams import KEY_BITS, LAST, Directory, TokenRows, ngrams, rows_of
from updown_lab.progress import progress
from updown_lab.text import Vocabulary, tokenise

_SPARE = 63 - KEY_BITS  # bits behind the key that can hold the number of an image
_GROUP = 2**_SPARE  # images that are sorted together
_GROUPS_AT_ONCE = 256
_BUFFER = 2**21  # n-grams that wait before they are merged: 16 MB
_PROBE = "A man's dog, on the beach: 2 X-rays & a café!"


def source_of(vocabulary: Vocabulary, split: str, maximum_words: int | None = None) -> dict[str, str]:
    """What the frequencies were counted on, in a form that can be compared.

    The same id means another word in another vocabulary, and nothing would show it but a reward near zero.

    Args:
        vocabulary:    words to ids.
        split:         name of the data and its part, for instance "coco karpathy train+restval".
        maximum_words: where captions are cut, if they are.

    >>> source_of(Vocabulary(["cat"]), "train")["vocabulary"] == source_of(Vocabulary(["dog"]), "train")["vocabulary"]
    False
    """
    return {
        "vocabulary": fingerprint(vocabulary.words),
        "tokeniser": fingerprint(tokenise(_PROBE)),
        "split": split,
        "maximum words": str(maximum_words),
    }


class DocumentFrequencies:
    """For each n-gram of a corpus the number of images whose captions hold it.

    Rare n-grams say what is special: "a" stands with every image, "fire hydrant" with one in a hundred.

        idf(w) = log(|I| / max(1, images that mention w))          Vedantam et al. 2015, Eq. 1

    Two sorted arrays, 12 bytes an n-gram, and a register of their leading bits.

    Args:
        keys:      (N,) int64, mixed n-gram keys (``ngrams.mix``), sorted, each once.
        counts:    (N,) int32, images that mention each.
        images:    how many images the corpus has.
        end_token: the id that was counted behind each caption, or None.
        source:    what ``source_of`` says about the corpus; empty if nobody asked.

    >>> table = DocumentFrequencies.count([[[4, 5]], [[4, 6], [4, 5]]])
    >>> table.images, len(table.keys), table.counts.max().item()
    (2, 5, 2)
    """

    def __init__(self, keys: np.ndarray, counts: np.ndarray, images: int, end_token: int | None, source: dict):
        self._keys = np.append(keys, LAST)
        self._counts = np.append(counts, np.int32(0))  # the last one is for an n-gram that is not there
        self._directory = Directory(self._keys)
        self.images, self.end_token, self.source = images, end_token, source

    @classmethod
    def count(
        cls, references: Sequence[Sequence[Sequence[int]]], end_token: int | None = None, source: dict | None = None
    ) -> "DocumentFrequencies":
        """Count the captions of each image.

        Args:
            references: for each image, the ids of its captions, without padding or end.
            end_token:  counted as a word behind each caption, if given.
            source:     ``source_of`` this corpus, if it will be saved.

        Raises:
            ValueError: no image, or an id outside 1..32767.
        """
        rows = rows_of([caption for captions in references for caption in captions], end_token)
        sizes = np.fromiter(map(len, references), np.int64, len(references))
        return cls.count_rows(rows, sizes, end_token, source)

    @classmethod
    def count_rows(
        cls, rows: TokenRows, sizes: np.ndarray, end_token: int | None = None, source: dict | None = None
    ) -> "DocumentFrequencies":
        """The same from flat captions, of which ``sizes`` (images,) belong to each image; the end is in them."""
        if not len(sizes):
            raise ValueError("no image to count")
        edges = np.concatenate([[0], np.cumsum(sizes)])
        table, waiting = (np.zeros(0, np.int64), np.zeros(0, np.int32)), []
        step = _GROUP * _GROUPS_AT_ONCE
        for start in progress(range(0, len(sizes), step), "document frequencies"):
            stop = min(start + step, len(sizes))
            waiting.append(_keys_by_image(rows.part(edges[start], edges[stop]), sizes[start:stop]))
            if sum(map(len, waiting)) > _BUFFER:
                table = _merge(table, waiting)
        return cls(*_merge(table, waiting), len(sizes), end_token, source or {})

    @property
    def keys(self) -> np.ndarray:
        """(N,) mixed n-gram keys, sorted."""
        return self._keys[:-1]

    @property
    def counts(self) -> np.ndarray:
        """(N,) images that mention each."""
        return self._counts[:-1]

    def of(self, keys: np.ndarray) -> np.ndarray:
        """How many images mention these n-grams; 0 for one that nobody wrote."""
        return self._counts[self._directory.find(keys)]

    @cached_property
    def rarities(self) -> np.ndarray:
        """idf of an n-gram that 0, 1, 2, ... images mention; an unknown one is as rare as in a single image."""
        return np.log(self.images) - np.log(np.arange(self.counts.max(initial=0) + 1).clip(min=1))

    def save(self, path: Path | str) -> None:
        """Write everything into one npz file, in one atomic move."""
        about = {"images": self.images, "end_token": self.end_token, "source": self.source}
        with atomic_path(path) as draft, draft.open("wb") as file:
            np.savez(file, keys=self.keys, counts=self.counts, about=json.dumps(about))

    @classmethod
    def load(cls, path: Path | str, source: dict | None = None, end_token: int | None = None) -> "DocumentFrequencies":
        """Read what ``save`` wrote, if it was counted on what we expect.

        Args:
            path:      the file.
            source:    ``source_of`` the corpus that the run means; None takes any file as it is.
            end_token: whether the run's captions end in a word; looked at only together with ``source``.

        Raises:
            DataMissing: no such file.
            DataInvalid: another file, or frequencies of another vocabulary, tokeniser or split.
        """
        path = Path(path)
        try:
            with np.load(path) as held:
                about = json.loads(str(held["about"]))
                table = cls(held["keys"], held["counts"], about["images"], about["end_token"], about["source"])
        except FileNotFoundError:
            raise DataMissing(f"no file {path}; DocumentFrequencies.load_or_count makes it") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataInvalid(f"{path} holds no document frequencies ({error}); {_rebuild(path)}") from error
        if source is not None:
            table._expect(path, source, end_token)
        return table

    def _expect(self, path: Path, source: dict, end_token: int | None) -> None:
        mine = {**self.source, "end token": self.end_token}
        wanted = {**source, "end token": end_token}
        wrong = [f"{name} {mine.get(name)!r} (this run has {value!r})" for name, value in wanted.items()
                 if mine.get(name) != value]  # fmt: skip
        if wrong:
            raise DataInvalid(
                f"{path} was counted on another corpus: {', '.join(wrong)}. Rewards would be near zero or wrong; "
                f"{_rebuild(path)}"
            )

    @classmethod
    def load_or_count(
        cls, path: Path | str, references, source: dict, end_token: int | None = None
    ) -> "DocumentFrequencies":
        """The file if it is there, else count and save it.

        Raises:
            DataInvalid: the file is of another vocabulary, tokeniser or split.

        >>> import tempfile
        >>> path, source = f"{tempfile.mkdtemp()}/df.npz", source_of(Vocabulary(["cat"]), "train")
        >>> for _ in range(2):  # counts, then reads
        ...     table = DocumentFrequencies.load_or_count(path, [[[4]]], source)
        >>> DocumentFrequencies.load_or_count(path, [[[4]]], source_of(Vocabulary(["dog"]), "train"))
        Traceback (most recent call last):
        updown_lab.errors.DataInvalid: ...
        """
        if not Path(path).exists():
            cls.count(references, end_token, source).save(path)
        table = cls.load(path, source, end_token)
        if table.images != len(references):
            raise DataInvalid(
                f"{path} was counted on {table.images} images, but this split has {len(references)}; {_rebuild(path)}"
            )
        return table


def _rebuild(path: Path) -> str:
    return f"to rebuild, delete it (rm {path}) and run again: it is counted anew, in seconds even for all of COCO"


def _keys_by_image(rows: TokenRows, sizes: np.ndarray) -> np.ndarray:
    """Keys of all n-grams, each once for every image that holds it, unsorted.

    Eight images (three spare bits) are sorted together, in rows that fit into the processor's cache.
    """
    image_of = np.repeat(np.repeat(np.arange(len(sizes)), sizes), rows.lengths)
    found = [(key << _SPARE | image_of[where] % _GROUP, image_of[where] // _GROUP) for where, key in ngrams(rows)]
    groups = -(-len(sizes) // _GROUP)
    counts = [np.bincount(group, minlength=groups) for _, group in found]
    ends = np.cumsum(counts, axis=0)  # (orders, groups): the n-grams of a group stand order by order
    table = np.full((groups, ends[-1].max()), np.iinfo(np.int64).max)
    for (key, group), count, end in zip(found, counts, ends, strict=True):
        table[group, np.arange(len(key)) + (end - np.cumsum(count))[group]] = key
    table.sort(axis=1)
    fresh = np.arange(table.shape[1]) < ends[-1][:, None]
    fresh[:, 1:] &= table[:, 1:] != table[:, :-1]
    return table[fresh] >> _SPARE


def _merge(table: tuple[np.ndarray, np.ndarray], waiting: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Empty the waiting keys into the table."""
    if not waiting:
        return table
    keys = np.concatenate(waiting)
    waiting.clear()
    keys.sort()
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    times = np.diff(first, append=len(keys)).astype(np.int32)
    keys = keys[first]
    if not len(table[0]):
        return keys, times
    place = np.searchsorted(table[0], keys)  # quick, because both are sorted
    known = table[0][place.clip(max=len(table[0]) - 1)] == keys
    table[1][place[known]] += times[known]
    return _insert(table, keys[~known], times[~known])


def _insert(table: tuple[np.ndarray, np.ndarray], keys: np.ndarray, counts: np.ndarray):
    """Put new keys between the old ones."""
    place = np.searchsorted(table[0], keys)
    return np.insert(table[0], place, keys), np.insert(table[1], place, counts)
