"""Small captioners with opinions, and the slow, obvious ways that decoding is compared with."""

import itertools
import math
from collections import Counter
from functools import cache

import torch

from updown_lab.config import CaptionerConfig, DecodeConfig
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.regions import RegionBatch
from updown_lab.text import END, START, UNKNOWN, Vocabulary

WORDS = Vocabulary(["a", "cat", "dog"])  # "a" may return, and is a bad ending
VOCABULARY = len(WORDS)
REAL_WORDS = range(4, VOCABULARY)


def lively_captioner(vocabulary_size: int = VOCABULARY, seed: int = 0, feature_dim: int = 3) -> UpDownCaptioner:
    """Random, but with opinions: larger weights make words differ and captions end now and then."""
    torch.manual_seed(seed)
    cfg = CaptionerConfig(embedding_size=6, hidden_size=8, attention_size=5)
    captioner = UpDownCaptioner(cfg, vocabulary_size, feature_dim)
    with torch.no_grad():
        captioner.output.weight.mul_(8)
    return captioner


def never_ending(captioner: UpDownCaptioner) -> UpDownCaptioner:
    captioner.output.bias.data[END] = -1e4
    return captioner


def random_regions(images: int = 4, count: int = 5, feature_dim: int = 3) -> RegionBatch:
    """Images with fewer and fewer regions."""
    features = torch.randn(images, count, feature_dim, generator=torch.Generator().manual_seed(1)) * 2
    mask = torch.arange(count) < torch.arange(count, count - images, -1).clamp(min=1)[:, None]
    return RegionBatch(features, torch.zeros(images, count, 4), mask)


def picked(regions: RegionBatch, rows) -> RegionBatch:
    return RegionBatch(*(part[rows] for part in (regions.features, regions.boxes, regions.mask)))


def only(regions: RegionBatch, image: int) -> RegionBatch:
    return picked(regions, slice(image, image + 1))


@torch.no_grad()
def worth(captioner, regions, image: int, tokens: list[int]) -> torch.Tensor:
    """(T,) what teacher forcing says each of these tokens is worth."""
    targets = torch.tensor([tokens])
    log_probs, _ = captioner(regions, shift_right(targets), torch.tensor([image]))
    return log_probs[0].gather(1, targets.T)[:, 0]


def allowed(said: tuple[int, ...], word: int, cfg: DecodeConfig, prefix=(), allow_unknown: bool = False) -> bool:
    """The rules, one by one, in words."""
    if len(said) < len(prefix):
        return word == prefix[len(said)]
    if word == UNKNOWN:
        return allow_unknown
    if word == END:
        too_short = len(said) < cfg.minimum_words
        return not too_short and not (cfg.no_bad_endings and said and WORDS.words[said[-1]] == "a")
    if cfg.no_repeat and said and said[-1] == word:
        return False
    return not (cfg.content_once and word in said and WORDS.words[word] != "a")


def every_caption(cfg: DecodeConfig, prefix=()):
    """All that may be said over the real words and END; what has not ended is of full length, or can say no more."""
    for length in range(cfg.maximum_words + 1):
        for words in itertools.product(REAL_WORDS, repeat=length):
            if not all(allowed(words[:place], word, cfg, prefix) for place, word in enumerate(words)):
                continue
            if length < cfg.maximum_words and allowed(words, END, cfg, prefix):
                yield [*words, END]
            stuck = not any(allowed(words, word, cfg, prefix) for word in (END, *REAL_WORDS))
            if length == cfg.maximum_words or stuck:
                yield list(words)


def slow_rank(log_prob: float, tokens: int, cfg: DecodeConfig) -> float:
    divisors = {"none": 1.0, "average": max(tokens, 1), "gnmt": ((5 + max(tokens, 1)) / 6) ** cfg.length_power}
    return log_prob / divisors[cfg.length_norm]


def slow_search(captioner, regions, image: int, cfg: DecodeConfig, prefix=()) -> list[tuple[list[int], float]]:
    """Beam search of one image, word by word, group by group, with lists, without stopping early."""

    @cache
    @torch.no_grad()
    def next_log_probs(said: tuple[int, ...]) -> list[float]:
        words = torch.tensor([[START, *said]])
        return captioner(regions, words, torch.tensor([image]))[0][0, -1].tolist()

    def heirs(said: tuple[int, ...], log_prob: float, crowd: Counter):
        """(key, what is said, log p, is it over)"""
        found = []
        for word, value in enumerate(next_log_probs(said)):
            if value > -math.inf and allowed(said, word, cfg, prefix):
                key = slow_rank(log_prob + value - cfg.diversity * crowd[word], len(said) + 1, cfg)
                found.append((key, (*said, word), log_prob + value, word == END))
        return found or [(slow_rank(log_prob, len(said), cfg), said, log_prob, True)]

    width, found = cfg.beam_size // cfg.groups, []
    groups = [[(0.0, (), 0.0, False)] for _ in range(cfg.groups)]
    for place in range(cfg.maximum_words):
        crowd = Counter()
        for number, beam in enumerate(groups):
            options = [heir for _, said, log_prob, over in beam if not over for heir in heirs(said, log_prob, crowd)]
            kept = [(slow_rank(log_prob, len(said), cfg), said, log_prob, over)
                    for _, said, log_prob, over in beam if over]  # fmt: skip
            beam = sorted(options + kept, reverse=True)[:width]
            crowd.update(said[-1] for _, said, _, _ in beam if len(said) == place + 1)
            if cfg.finished == "collect":
                found += [item for item in beam if item[3]]
                beam = [item for item in beam if not item[3]]
            groups[number] = beam
    found += [item for beam in groups for item in beam]

    def order(item):
        _, said, log_prob, _ = item
        return (cfg.finished == "compete" and said[-1:] != (END,), -slow_rank(log_prob, len(said), cfg))

    best = sorted(found, key=order)[: cfg.captions or cfg.beam_size]
    return [(list(said), log_prob) for _, said, log_prob, _ in best]
