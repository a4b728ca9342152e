"""Words to ids and back."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.errors import DataInvalid
from updown_lab.files import read_json, write_json

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unknown>")
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")

#: Words after which a sentence cannot be over.
BAD_ENDINGS = (
    *("a", "an", "the", "some", "that", "its", "his", "her", "their", "and", "or", "while", "is", "are", "very"),
    *("of", "on", "in", "with", "to", "at", "by", "for", "from", "into", "onto", "near", "next"),
)


def tokenise(sentence: str) -> list[str]:
    """Split a sentence into lower-case words, without punctuation.

    This feeds the training vocabulary. Scores use the PTB tokeniser of the
    official evaluation instead (``metrics.captions``): keep the two apart.

    >>> tokenise("A man's dog, on the beach.")
    ['a', "man's", 'dog', 'on', 'the', 'beach']
    """
    return _WORD.findall(sentence.lower())


class Vocabulary:
    """Words with ids; 0 is padding, 1 starts a sentence, 2 ends it, 3 stands for a word not listed.

    >>> words = Vocabulary(["a", "cat"])
    >>> words.encode("a red cat")
    [4, 3, 5]
    >>> words.decode([4, 5, 2, 0])
    'a cat'
    """

    def __init__(self, words: Iterable[str]):
        self.words = [*SPECIAL_WORDS, *words]
        self.ids = {word: number for number, word in enumerate(self.words)}
        if len(self.ids) != len(self.words):
            twice = [word for word, times in Counter(self.words).items() if times > 1]
            raise ValueError(f"a vocabulary lists each word once; listed again: {twice[:5]}")

    @classmethod
    def build(cls, sentences: Iterable[str], minimum_count: int = 5) -> "Vocabulary":
        """Keep the words that occur at least ``minimum_count`` times, most frequent first.

        >>> Vocabulary.build(["a cat", "a dog"], minimum_count=2).words[4:]
        ['a']
        """
        counts = Counter(word for sentence in sentences for word in tokenise(sentence))
        kept = [(-times, word) for word, times in counts.items() if times >= minimum_count]
        return cls(word for _, word in sorted(kept))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, sentence: str, maximum: int | None = None) -> list[int]:
        """Ids of the words of a sentence, at most ``maximum`` of them, without start and end."""
        return [self.ids.get(word, UNKNOWN) for word in tokenise(sentence)[:maximum]]

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """The sentence up to the first end; padding and start are left out."""
        words = []
        for number in torch.as_tensor(ids).tolist():
            if number == END:
                break
            if number not in (PAD, START):
                words.append(self.words[number])
        return " ".join(words)

    def save(self, path: Path | str) -> None:
        """Write the listed words (without the four special ones) as JSON."""
        write_json(path, self.words[len(SPECIAL_WORDS) :])

    @classmethod
    def load(cls, path: Path | str) -> "Vocabulary":
        """Read what ``save`` wrote."""
        words = read_json(path)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise DataInvalid(f"{path} should hold a JSON list of words")
        return cls(words)


def pad_ids(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids as one (B, T) long tensor, padded behind with 0.

    >>> pad_ids([[4, 5], [6]])
    tensor([[4, 5],
            [6, 0]])
    """
    table = torch.full((len(rows), max(map(len, rows), default=0)), PAD, dtype=torch.long)
    for number, row in enumerate(rows):
        table[number, : len(row)] = torch.as_tensor(row, dtype=torch.long)
    return table


class AnswerVocabulary:
    """The answers a VQA model may give, with ids from 0.

    >>> AnswerVocabulary.build([["yes", "yes"], ["no"]], minimum_count=1).answers
    ['yes', 'no']
    """

    def __init__(self, answers: Iterable[str]):
        self.answers = list(answers)
        self.ids = {answer: number for number, answer in enumerate(self.answers)}

    @classmethod
    def build(cls, answers: Iterable[Sequence[str]], minimum_count: int = 9) -> "AnswerVocabulary":
        """Keep the answers given at least ``minimum_count`` times over all questions, most frequent first."""
        counts = Counter(answer for group in answers for answer in group)
        return cls(word for times, word in sorted((-n, a) for a, n in counts.items() if n >= minimum_count))

    def __len__(self) -> int:
        return len(self.answers)

    def soft_scores(self, given: Sequence[str]) -> dict[int, float]:
        """Soft target of each listed answer: min(1, times given / 3).

            s(a) = min(1, #annotators who said a / 3)         Teney et al. 2018, Sec. 3.7

        Args:
            given: what the ten annotators said.

        Returns:
            {answer id: score in (0, 1]} for listed answers only.

        >>> AnswerVocabulary(["yes", "no"]).soft_scores(["yes"] * 9 + ["no"])
        {0: 1.0, 1: 0.3333333333333333}
        """
        counts = Counter(answer for answer in given if answer in self.ids)
        return {self.ids[answer]: min(1.0, times / 3) for answer, times in counts.items()}

    def save(self, path: Path | str) -> None:
        """Write the answers as a JSON list."""
        write_json(path, self.answers)

    @classmethod
    def load(cls, path: Path | str) -> "AnswerVocabulary":
        """Read what ``save`` wrote."""
        answers = read_json(path)
        if not isinstance(answers, list) or len(set(map(str, answers))) != len(answers):
            raise DataInvalid(f"{path} should hold a JSON list of answers, each once")
        return cls(answers)
