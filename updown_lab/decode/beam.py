"""Greedy and beam search: the doors. How a beam grows stands in ``search.py``."""

from collections.abc import Iterable, Sequence

import torch

from updown_lab.config import DecodeConfig
from updown_lab.decode.captions import Caption, Speaker
from updown_lab.decode.rules import Rule, rules_of
from updown_lab.decode.search import Turn, begin, extend, retell, settle
from updown_lab.decode.together import together
from updown_lab.text import END, PAD, START, Vocabulary


def greedy(model: Speaker, regions, maximum_words: int, allow_unknown: bool = False) -> list[Caption]:
    """One caption an image: the most likely next word, again and again. A beam of one.

    Args:
        model:         the captioner.
        regions:       B images.
        maximum_words: longest caption in words, END counted as one.
        allow_unknown: whether the word "<unknown>" may be said.

    >>> from updown_lab.config import preset
    >>> from updown_lab.models.captioner import UpDownCaptioner
    >>> from updown_lab.regions import RegionBatch
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(2, 3, 5), torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    >>> len(greedy(captioner, regions, maximum_words=6))
    2
    """
    cfg = DecodeConfig(beam_size=1, maximum_words=maximum_words, no_repeat=False)
    return [captions[0] for captions in beam_search(model, regions, cfg, allow_unknown)]


@torch.no_grad()
def beam_search(
    model: Speaker,
    regions,
    cfg: DecodeConfig,
    allow_unknown: bool = False,
    vocabulary: Vocabulary | None = None,
    prefix: Sequence[int] = (),
    rules: Iterable[Rule] = (),
) -> list[list[Caption]]:
    """The best captions of each image, keeping ``beam_size`` half-sentences alive.

    All half-sentences of all images take a word in one step; sentences that are over, and images that are done,
    take no part. The score of a sentence is the sum of its words' log-probabilities (END's too), which can only
    fall; so an image is done as soon as no living half-sentence can come before what is already found.
    With the defaults this is the paper's search (Anderson et al. 2018, Sec. 4.2): a sentence that has ended keeps
    its place in the beam and competes with those that still grow. With ``finished="collect"`` it leaves, its place
    is free, and cut-off sentences are ranked like all others: the search of the best-known PyTorch code.
    With ``groups`` the beam falls into smaller ones that grow side by side, and a word loses ``diversity`` nats for
    each earlier group that says it at that place (Vijayakumar et al. 2018, Eq. 5; it counts for the choice, not for
    what a caption is worth).

    Args:
        model:         a captioner or an ``Ensemble``.
        regions:       B images; what ``model.begin`` takes.
        cfg:           all settings; ``maximum_words`` counts END as one.
        allow_unknown: whether the word "<unknown>" may be said.
        vocabulary:    needed by rules about certain words: ``content_once``, ``no_bad_endings``.
        prefix:        ids that every caption begins with, whatever the rules say.
        rules:         your own, see ``decode/rules.py``.

    Returns:
        For each image at most ``beam_size`` captions (or ``cfg.captions``), best first. There is always one:
        if none has ended, the unfinished ones are returned. While ended ones compete, cut-off ones come last.

    Raises:
        ConfigError: a setting that is about words, without ``vocabulary``.
        ValueError: ``prefix`` holds something that is no word, or is longer than a caption.
        DataInvalid: the captioner's log-probabilities are not numbers.

    >>> from updown_lab.config import preset
    >>> from updown_lab.models.captioner import UpDownCaptioner
    >>> from updown_lab.regions import RegionBatch
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(2, 3, 5), torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))
    >>> [len(captions) for captions in beam_search(captioner, regions, preset("tiny").decode)]
    [5, 5]
    >>> [found[0].words[:2] for found in beam_search(captioner, regions, DecodeConfig(), prefix=[4, 7])]
    [[4, 7], [4, 7]]
    """
    _check(cfg, prefix)
    model = together(model, cfg)
    beams = begin(model, regions, cfg)
    mask = beams.state.mask
    rules = [*rules_of(cfg, allow_unknown, vocabulary, mask.device), *rules]
    turns: list[Turn] = []
    found: list[list] = [[] for _ in range(len(mask))]
    while len(beams.speaking) and len(turns) < cfg.maximum_words:
        beams, turn = extend(model, beams, cfg, rules, prefix)
        turns.append(turn)
        beams = settle(beams, turn, cfg, found)
    return retell(beams, turns, found, mask, cfg)


def _check(cfg: DecodeConfig, prefix: Sequence[int]) -> None:
    if {PAD, START, END} & set(prefix):
        raise ValueError(f"a prefix holds words, without <pad>, <start> and <end>; got {list(prefix)}")
    if len(prefix) > cfg.maximum_words:
        raise ValueError(f"a prefix of {len(prefix)} words is longer than decode.maximum_words={cfg.maximum_words}")
