"""What a caption may not say. A rule is a function that takes words away before the best one is chosen.

Write your own: ``def rule(log_probs, words)`` with the (N, V) log-probabilities of the next word and the (N, 1 + t)
words said so far, START first. It writes -inf, in place, where a word is forbidden. Nothing is scaled up again:
a caption stays worth what the model says it is worth.

    def no_men(log_probs, words):
        log_probs[:, vocabulary.ids["man"]] = float("-inf")

    beam_search(model, regions, cfg, rules=[no_men])
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from updown_lab.config import DecodeConfig
from updown_lab.errors import ConfigError
from updown_lab.text import BAD_ENDINGS, END, PAD, UNKNOWN, Vocabulary

NEVER = float("-inf")
Rule = Callable[[Tensor, Tensor], None]

#: Words that a caption of the authors' code may say more than once; all others are content.
FUNCTION_WORDS = (
    *("a", "an", "the", "some", "that", "it", "and", "is", "are"),
    *("of", "on", "in", "with", "to", "at", "by", "'", '"'),
)


def forbid_unknown(log_probs: Tensor, words: Tensor) -> None:
    """The word "<unknown>" is not said.

    >>> log_probs = torch.zeros(1, 5)
    >>> forbid_unknown(log_probs, torch.tensor([[1]]))
    >>> log_probs
    tensor([[0., 0., 0., -inf, 0.]])
    """
    log_probs[:, UNKNOWN] = NEVER


def forbid_repeat(log_probs: Tensor, words: Tensor) -> None:
    """No word twice in a row; Anderson et al. 2018, Sec. 4.2."""
    log_probs.scatter_(1, words[:, -1:], NEVER)


def content_once(may_return: Tensor) -> Rule:
    """Each word at most once a caption, except those that may return: what the authors' CUDA code does.

    Args:
        may_return: (V,) bool.

    >>> log_probs, may_return = torch.zeros(1, 6), torch.tensor([True] * 5 + [False])
    >>> content_once(may_return)(log_probs, torch.tensor([[1, 4, 5, 4]]))
    >>> log_probs[0, 4:]
    tensor([0., -inf])
    """

    def rule(log_probs: Tensor, words: Tensor) -> None:
        log_probs.scatter_(1, words.masked_fill(may_return[words], PAD), NEVER)  # PAD has no chance as it is

    return rule


def no_end_after(words_before: Tensor) -> Rule:
    """No END right after some words, for instance "a" or "with".

    Args:
        words_before: (V,) bool, True for those words.
    """

    def rule(log_probs: Tensor, words: Tensor) -> None:
        log_probs[:, END] = log_probs[:, END].masked_fill(words_before[words[:, -1]], NEVER)

    return rule


def at_least(minimum: int) -> Rule:
    """No END before ``minimum`` words."""

    def rule(log_probs: Tensor, words: Tensor) -> None:
        if words.shape[1] - 1 < minimum:
            log_probs[:, END] = NEVER

    return rule


def rules_of(cfg: DecodeConfig, allow_unknown: bool, vocabulary: Vocabulary | None, device) -> list[Rule]:
    """The rules that a configuration asks for.

    Args:
        cfg:           see its fields.
        allow_unknown: whether the word "<unknown>" may be said.
        vocabulary:    which ids are function words; needed by ``content_once`` and ``no_bad_endings`` only.
        device:        where log-probabilities live.

    Raises:
        ConfigError: a rule about words, and no vocabulary to find them in.

    >>> [rule.__name__ for rule in rules_of(DecodeConfig(), False, None, "cpu")]
    ['forbid_unknown', 'forbid_repeat']
    """
    if vocabulary is None and (cfg.content_once or cfg.no_bad_endings):
        name = "content_once" if cfg.content_once else "no_bad_endings"
        raise ConfigError(f"decode.{name} is about words; call beam_search(..., vocabulary=vocabulary)")
    rules = [] if allow_unknown else [forbid_unknown]
    if cfg.no_repeat:
        rules.append(forbid_repeat)
    if cfg.content_once:
        rules.append(content_once(_marks(vocabulary, FUNCTION_WORDS).to(device)))
    if cfg.no_bad_endings:
        rules.append(no_end_after(_marks(vocabulary, BAD_ENDINGS).to(device)))
    if cfg.minimum_words:
        rules.append(at_least(cfg.minimum_words))
    return rules


def obey(log_probs: Tensor, words: Tensor, rules: Iterable[Rule], prefix: Sequence[int] = ()) -> None:
    """Take away, in place, what may not come next. A forced prefix stands above all rules.

    Args:
        log_probs: (N, V) float, of the next word.
        words:     (N, 1 + t) long, START and the words so far.
        rules:     what is forbidden once the prefix is over.
        prefix:    ids that each caption begins with.

    Raises:
        ValueError: the prefix holds a number that is no word's.

    >>> log_probs = torch.zeros(1, 5)
    >>> obey(log_probs, torch.tensor([[1]]), [forbid_unknown], prefix=[4])
    >>> log_probs
    tensor([[-inf, -inf, -inf, -inf, 0.]])
    """
    said = words.shape[1] - 1
    if said < len(prefix):
        if not 0 <= prefix[said] < log_probs.shape[1]:
            raise ValueError(f"prefix names word {prefix[said]}, but there are {log_probs.shape[1]} words")
        kept = log_probs[:, prefix[said]].clone()
        log_probs.fill_(NEVER)[:, prefix[said]] = kept
        return
    for rule in rules:
        rule(log_probs, words)


def _marks(vocabulary: Vocabulary, words: Iterable[str]) -> Tensor:
    marks = torch.zeros(len(vocabulary), dtype=torch.bool)
    marks[[vocabulary.ids[word] for word in words if word in vocabulary.ids]] = True
    return marks
