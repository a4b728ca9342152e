"""CIDEr-D as it is usually written for self-critical training: strings, tuples and dictionaries, counted each time."""

import math
from collections import defaultdict

LONGEST = 4
SIGMA = 6.0


def count_ngrams(text: str) -> dict:
    """How often each n-gram of 1 to 4 words occurs."""
    words, counts = text.split(), defaultdict(int)
    for size in range(1, LONGEST + 1):
        for start in range(len(words) - size + 1):
            counts[tuple(words[start : start + size])] += 1
    return counts


def to_text(ids) -> str:
    """Ids up to and with the end (2), as the popular code feeds them: numbers as words."""
    words = []
    for number in ids:
        words.append(str(int(number)))
        if number == 2:
            break
    return " ".join(words)


class PopularCider:
    """References of a split as lists of ids; the reward counts those of a batch again at every call."""

    def __init__(self, references: list[list[list[int]]]):
        self.references = references
        self.document_frequency = defaultdict(float)
        for captions in references:
            for ngram in {ngram for caption in captions for ngram in count_ngrams(to_text([*caption, 2]))}:
                self.document_frequency[ngram] += 1
        self.log_images = math.log(float(len(references)))

    def _weigh(self, counts: dict):
        vector, norm, length = [defaultdict(float) for _ in range(LONGEST)], [0.0] * LONGEST, 0
        for ngram, frequency in counts.items():
            rare = self.log_images - math.log(max(1.0, self.document_frequency.get(ngram, 0.0)))
            size = len(ngram) - 1
            vector[size][ngram] = frequency * rare
            norm[size] += vector[size][ngram] ** 2
            if size == 1:
                length += frequency
        return vector, [math.sqrt(value) for value in norm], length

    def _similarity(self, mine, theirs) -> list[float]:
        (vector, norm, length), (other, other_norm, other_length) = mine, theirs
        values = [0.0] * LONGEST
        for size in range(LONGEST):
            for ngram, weight in vector[size].items():
                values[size] += min(weight, other[size][ngram]) * other[size][ngram]
            if norm[size] and other_norm[size]:
                values[size] /= norm[size] * other_norm[size]
            values[size] *= math.exp(-((length - other_length) ** 2) / (2 * SIGMA**2))
        return values

    def score(self, rows, ids) -> list[float]:
        """CIDEr-D, 0 to 10, of each sentence."""
        scores = []
        for row, sentence in zip(rows, ids, strict=True):
            mine = self._weigh(count_ngrams(to_text(sentence)))
            references = [self._weigh(count_ngrams(to_text([*caption, 2]))) for caption in self.references[row]]
            total = [
                sum(values) for values in zip(*(self._similarity(mine, other) for other in references), strict=True)
            ]
            scores.append(10 * sum(total) / LONGEST / len(references))
        return scores
