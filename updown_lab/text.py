"""Words to ids and back."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.errors import DataInvalid
from updown_lab.files import read_json, write_json

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unknown>")
_WORD = re.compile("[a-z0-9\x80-\U0010ffff]+(?:'[a-z\x80-\U0010ffff]+)?")  # beyond ASCII only letters are left

#: Words after which a sentence cannot be over.
BAD_ENDINGS = (
    *("a", "an", "the", "some", "that", "its", "his", "her", "their", "and", "or", "while", "is", "are", "very"),
    *("of", "on", "in", "with", "to", "at", "by", "for", "from", "into", "onto", "near", "next"),
)


def tokenise(sentence: str) -> list[str]:
    """Split a sentence into lower-case words of any script, without punctuation.

    This feeds the training vocabulary. Scores use the PTB tokeniser of the
    official evaluation instead (``metrics.captions``): keep the two apart.

    >>> tokenise("A man's dog, on the beach.")
    ['a', "man's", 'dog', 'on', 'the', 'beach']
    >>> tokenise("Where is the café – naïve?")
    ['where', 'is', 'the', 'café', 'naïve']
    """
    sentence = sentence.lower()
    if not sentence.isascii():
        sentence = unicodedata.normalize("NFC", sentence)
        sentence = "".join(sign if sign.isascii() or _is_letter(sign) else " " for sign in sentence)
    return _WORD.findall(sentence)


def _is_letter(sign: str) -> bool:
    """Letters, digits, and the marks that some scripts write above, below or beside them."""
    kind = unicodedata.category(sign)
    return kind[0] in "LM" or kind == "Nd"


def split_at_blanks(sentence: str) -> list[str]:
    """The words as hengyuan-hu's VQA code splits them: commas and question marks go, "'s" is a word of its own.

    All other signs stay where they are; its dictionary was made so.

    >>> split_at_blanks("Is the man's T-shirt red, or U.S. blue?")
    ['is', 'the', 'man', "'s", 't-shirt', 'red', 'or', 'u.s.', 'blue']
    """
    return sentence.lower().replace(",", "").replace("?", "").replace("'s", " 's").split()


@dataclass(frozen=True)
class Tokeniser:
    """How a vocabulary cuts sentences.

    Attributes:
        split:        sentence to words.
        says_unknown: a word that is not listed becomes ``<unknown>``; else it is left out.
    """

    split: Callable[[str], list[str]]
    says_unknown: bool = True


#: By the name that is saved with a vocabulary. hengyuan-hu's code stops at a word that it does not know (KeyError).
TOKENISERS = {"words": Tokeniser(tokenise), "blanks": Tokeniser(split_at_blanks, says_unknown=False)}


class Vocabulary:
    """Words with ids; 0 is padding, 1 starts a sentence, 2 ends it, 3 stands for a word not listed.

    Args:
        words:     the listed ones, from id 4 on.
        tokeniser: a name of ``TOKENISERS``: how sentences fell into these words.

    Raises:
        ValueError: a word listed twice, or an unknown tokeniser.

    >>> words = Vocabulary(["a", "cat"])
    >>> words.encode("a red cat")
    [4, 3, 5]
    >>> words.decode([4, 5, 2, 0])
    'a cat'
    """

    def __init__(self, words: Iterable[str], tokeniser: str = "words"):
        if tokeniser not in TOKENISERS:
            raise ValueError(f"no tokeniser {tokeniser!r}; known: {', '.join(TOKENISERS)}")
        self.tokeniser = tokeniser
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
        """Ids of the first ``maximum`` words of a sentence, without start and end."""
        words = self.split(sentence, maximum)
        if not TOKENISERS[self.tokeniser].says_unknown:
            words = [word for word in words if word in self.ids]
        return [self.ids.get(word, UNKNOWN) for word in words]

    def split(self, sentence: str, maximum: int | None = None) -> list[str]:
        """The first ``maximum`` words of a sentence, listed or not."""
        return TOKENISERS[self.tokeniser].split(sentence)[:maximum]

    def unknown(self, sentence: str, maximum: int | None = None) -> list[str]:
        """Those of the first ``maximum`` words that are not listed, each once.

        >>> Vocabulary(["cat"]).unknown("red cat, red dog", 3)
        ['red']
        """
        return [word for word in dict.fromkeys(self.split(sentence, maximum)) if word not in self.ids]

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
        """Write the listed words (without the four special ones) as JSON, with a tokeniser that is not the house's."""
        words = self.words[len(SPECIAL_WORDS) :]
        write_json(path, words if self.tokeniser == "words" else {"tokeniser": self.tokeniser, "words": words})

    @classmethod
    def load(cls, path: Path | str) -> "Vocabulary":
        """Read what ``save`` wrote."""
        held = read_json(path)
        words, tokeniser = (held.get("words"), held.get("tokeniser")) if isinstance(held, dict) else (held, "words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise DataInvalid(f"{path} should hold a JSON list of words")
        if tokeniser not in TOKENISERS:
            raise DataInvalid(f"{path} names the tokeniser {tokeniser!r}; known: {', '.join(TOKENISERS)}")
        return cls(words, tokeniser)


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
        """Read what ``save`` wrote, or others' ``label2ans.json`` or ``ans2label.json`` ({answer: number})."""
        answers = read_json(path)
        if isinstance(answers, dict) and sorted(answers.values(), key=str) == sorted(range(len(answers)), key=str):
            answers = sorted(answers, key=answers.__getitem__)
        if not isinstance(answers, list) or len(set(map(str, answers))) != len(answers):
            raise DataInvalid(f"{path} should hold a JSON list of answers, each once")
        return cls(answers)
