"""The CIDEr-D reward and its document frequencies beside strings and dictionaries, with equal values.

The reference does what the popular code of self-critical training does: ids become strings, strings become
dictionaries of n-grams, and the references of an image are counted again for each of its captions.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from math import log

import numpy as np

from bench.harness import Record, compare, record_of
from updown_lab.metrics.cider_d import CiderD
from updown_lab.metrics.document_frequencies import DocumentFrequencies
from updown_lab.text import END

VOCABULARY = 9487
CAPTIONS = 5
LENGTHS = np.arange(8, 17)
SHARES = np.array([0.09, 0.22, 0.25, 0.19, 0.11, 0.06, 0.04, 0.02, 0.02])  # mean 10.6 words, like COCO
TEMPLATES, FUNCTION_WORDS, TOPICS = 200, 60, 6


def corpus(images: int, seed: int = 0) -> np.ndarray:
    """Captions like COCO's in counts: (images, 5, 16) ids, padded with 0.

    An image has six things that its captions speak of, rare or common by Zipf's law; a caption fills a template of
    function words with some of them, and now and then says it in another word.
    """
    random = np.random.default_rng(seed)
    zipf = 1 / (np.arange(VOCABULARY - FUNCTION_WORDS) + 8.0)
    edges = np.cumsum(zipf / zipf.sum())

    def content(shape):
        return 4 + FUNCTION_WORDS + np.searchsorted(edges, random.random(shape), "right").clip(max=len(zipf) - 1)

    common = 1 / (np.arange(FUNCTION_WORDS) + 1.0)
    shape = (TEMPLATES, LENGTHS[-1])
    function = 4 + random.choice(FUNCTION_WORDS, shape, p=common / common.sum())
    templates = np.where(random.random(shape) < 0.6, function, -1 - random.integers(TOPICS, size=shape))
    topics = content((images, TOPICS))
    liked = random.integers(TEMPLATES, size=(images, 3))  # people say alike things alike
    chosen = np.take_along_axis(liked, random.integers(3, size=(images, CAPTIONS)), 1)
    captions = templates[chosen]  # (images, 5, 16)
    topic = np.take_along_axis(topics, (-1 - captions).clip(0).reshape(images, -1), 1).reshape(captions.shape)
    captions = np.where(captions < 0, topic, captions)
    captions = np.where(random.random(captions.shape) < 0.05, content(captions.shape), captions)
    lengths = random.choice(LENGTHS, (images, CAPTIONS), p=SHARES)
    return np.where(np.arange(LENGTHS[-1]) < lengths[..., None], captions, 0)


def as_lists(captions: np.ndarray) -> list[list[list[int]]]:
    """The same as nested lists without padding: what a reader of captions has."""
    lengths = (captions > 0).sum(-1)
    return [
        [row[:length] for row, length in zip(rows, many, strict=True)]
        for rows, many in zip(captions.tolist(), lengths.tolist(), strict=True)
    ]


def candidates(captions: np.ndarray, rows: np.ndarray, seed: int = 1) -> np.ndarray:
    """What a model might say of these images: a reference with errors; some never end, some are empty or stammer."""
    random = np.random.default_rng(seed)
    said = np.zeros((len(rows), 20), dtype=np.int64)
    said[:, : captions.shape[2]] = captions[rows, random.integers(CAPTIONS, size=len(rows))]
    wrong = (random.random(said.shape) < 0.25) & (said > 0)
    said[wrong] = captions[captions > 0][random.integers(100_000, size=wrong.sum())]
    lengths = (said > 0).sum(1)
    lengths[random.random(len(rows)) < 0.01] = 0
    said[np.arange(20) >= lengths[:, None]] = 0
    said[np.arange(len(rows)), lengths] = END
    endless = random.random(len(rows)) < 0.04
    said[endless] = np.where(said[endless] > END, said[endless], 4)
    return said


def count_words(sentence: str) -> dict:
    """How often a sentence holds each n-gram."""
    words = sentence.split()
    counts = defaultdict(int)
    for order in range(1, 5):
        for start in range(len(words) - order + 1):
            counts[tuple(words[start : start + order])] += 1
    return counts


def count_images(references: Sequence[Sequence[str]]) -> dict:
    """How many images mention each n-gram."""
    frequency = defaultdict(float)
    for sentences in references:
        for ngram in {ngram for sentence in sentences for ngram in count_words(sentence)}:
            frequency[ngram] += 1
    return frequency


class StringCiderD:
    """CIDEr-D with dictionaries of string n-grams."""

    def __init__(self, references: np.ndarray, frequency: dict, images: int):
        self.references, self.frequency, self.log_images = references, frequency, log(images)

    def vector(self, counts: dict):
        """tf-idf vectors of the four orders, their lengths, and how many bigrams."""
        vectors, squares, bigrams = [defaultdict(float) for _ in range(4)], [0.0] * 4, 0
        for ngram, times in counts.items():
            rarity = self.log_images - np.log(max(1.0, self.frequency.get(ngram, 0.0)))
            order = len(ngram) - 1
            vectors[order][ngram] = times * rarity
            squares[order] += (times * rarity) ** 2
            bigrams += times if order == 1 else 0
        return vectors, [np.sqrt(square) for square in squares], bigrams

    def similarity(self, said, reference) -> np.ndarray:
        """One number for each order."""
        (vectors, lengths, bigrams), (other_vectors, other_lengths, other_bigrams) = said, reference
        values = np.zeros(4)
        for order in range(4):
            for ngram, weight in vectors[order].items():
                other = other_vectors[order].get(ngram, 0.0)
                values[order] += min(weight, other) * other
            if lengths[order] != 0 and other_lengths[order] != 0:
                values[order] /= lengths[order] * other_lengths[order]
        return values * np.exp(-((bigrams - other_bigrams) ** 2) / 72)

    def score(self, rows, ids: np.ndarray) -> np.ndarray:
        """The reward of each caption, from arrays of ids to numbers."""
        texts = {row: [_text(caption) for caption in self.references[row]] for row in set(rows.tolist())}
        scores = []
        for row, said in zip(rows.tolist(), ids, strict=True):
            mine = self.vector(count_words(_text(said)))
            total = sum(self.similarity(mine, self.vector(count_words(text))) for text in texts[row])
            scores.append(10 * total.mean() / len(texts[row]))
        return np.array(scores)


def _text(ids: np.ndarray) -> str:
    """Ids as words up to the end, which is a word too."""
    words = []
    for number in ids.tolist():
        if number == 0:
            break
        words.append(str(number))
        if number == END:
            break
    return " ".join(words)


def with_end(captions: np.ndarray) -> np.ndarray:
    """The end behind each reference, as an array of labels has it."""
    ended = np.pad(captions, ((0, 0), (0, 0), (0, 1)))
    np.put_along_axis(ended, (captions > 0).sum(-1)[..., None], END, -1)
    return ended


def records(quick: bool) -> list[Record]:
    """``ciderd``, ``ciderd-10`` and ``document-frequencies``."""
    return [*_rewards(2000 if quick else 30_000, 3 if quick else 7), _frequencies(2000 if quick else 113_287, quick)]


def _rewards(images: int, rounds: int) -> list[Record]:
    captions = corpus(images)
    lists = as_lists(captions)
    frequency = count_images([[" ".join(map(str, [*ids, END])) for ids in image] for image in lists])
    popular, ours = StringCiderD(with_end(captions), frequency, images), CiderD(lists, END)
    found = []
    for name, count, batches, target in (("ciderd", 100, 3, 80), ("ciderd-10", 10, 20, 45)):
        work = [_batch(captions, count, seed) for seed in range(batches)]
        expected, got = (np.concatenate([side.score(*batch) for batch in work]) for side in (popular, ours))
        worst = np.abs(got - expected).max()
        assert worst < 1e-9, f"rewards differ by {worst}"
        note = (f"{batches} batches of {count} images x 6, of {images}; mean reward {got.mean():.2f}, "
                f"largest difference {worst:.0e}")  # fmt: skip
        sides = [lambda side=side, work=work: [side.score(*batch) for batch in work] for side in (popular, ours)]
        found.append(compare(name, *sides, target, rounds, note=note))
    return found


def _batch(captions: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Six candidates of each of some images: what one step of self-critical training rewards."""
    rows = np.random.default_rng(seed).choice(len(captions), count, replace=False).repeat(6)
    return rows, candidates(captions, rows, seed)


def _frequencies(images: int, quick: bool) -> Record:
    """Both ways in fresh processes, so that the memory of one is not the other's."""
    pairs, memory = [], []
    for _ in range(1 if quick else 3):
        dictionary, table = _child("dictionary", images), _child("table", images)
        assert dictionary["ngrams"] == table["ngrams"] and dictionary["mentions"] == table["mentions"]
        pairs.append(((dictionary["wall"], dictionary["cpu"]), (table["wall"], table["cpu"])))
        memory.append((dictionary["peak"], dictionary["kept"], table["peak"], table["kept"]))
    peak, kept, our_peak, our_kept = np.median(memory, 0)
    note = (f"{images} images x 5, {table['ngrams']} n-grams; peak memory {peak:.0f} -> {our_peak:.0f} MB "
            f"({peak / our_peak:.1f}x), kept {kept:.0f} -> {our_kept:.0f} MB ({kept / our_kept:.1f}x)")  # fmt: skip
    return record_of("document-frequencies", pairs, 3, note)


def _child(way: str, images: int) -> dict:
    command = [sys.executable, "-m", "bench.ciderd", way, str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"TQDM_DISABLE": "1"})
    return json.loads(done.stdout)


def _resident(peak: bool = False) -> float:
    """MB of this process, now or at its highest."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM" if peak else "VmRSS")) / 1024


def _measure(way: str, images: int) -> dict:
    """Seconds and MB of one way, beyond its input: strings for the dictionary, lists of ids for the table."""
    lists = as_lists(corpus(images))
    if way == "dictionary":
        lists = [[" ".join(map(str, ids)) for ids in image] for image in lists]
        work = count_images
    else:
        work = DocumentFrequencies.count
        work(lists[:10])  # the first call of anything loads code
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest mark starts from here
    before, wall, processor = _resident(), time.perf_counter(), time.process_time()
    result = work(lists)
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}
    counts = list(result.values()) if way == "dictionary" else result.counts
    return seconds | {"peak": _resident(peak=True) - before, "kept": _resident() - before,
                      "ngrams": len(counts), "mentions": int(sum(counts))}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
