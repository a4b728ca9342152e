"""A3, CIDEr-D and the self-critical loss: what is right, and the slips that many make."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from updown_lab.coursework.hints import Slip, try_out
from updown_lab.training.losses import self_critical_loss

SIGMA = 6.0
TOGETHER = ((1, 2, 3, 4),)
ONE_VECTOR = ("all n-grams were put into one vector. Each length n has a vector and norms of its own; the mean of "
              "the four is asked.")  # fmt: skip
TOO_STRONG = "the damping is too strong: it is divided by 2 sigma^2, so by 72."
CORPUS = [
    [["a", "red", "cat", "sits", "on", "the", "grass"], ["a", "cat", "on", "the", "grass"]],
    [["a", "blue", "dog", "on", "the", "road"], ["the", "dog", "is", "blue"]],
    [["a", "tree"], ["a", "green", "tree", "on", "the", "grass"]],
    [["two", "red", "cars"]],
]  # fmt: skip


def check_ngram_counts(function: Callable[[Sequence[str]], Mapping]) -> None:
    """Try ``ngram_counts(words) -> Counter``: how often each run of 1, 2, 3 or 4 words stands in a caption, as a tuple.

    Raises:
        Hint: it is not right yet.

    >>> check_ngram_counts(_counts)
    ngram_counts: right (two words, a word twice, six words, no word).
    """
    cases = {
        "two words": (["red", "cat"],),
        "a word twice": (["red", "red", "cat"],),
        "six words": (["a", "red", "cat", "on", "the", "grass"],),
        "no word": ([],),
    }
    slips = (
        Slip(lambda words: _counts(words, orders=(1, 2, 3)), "the runs of four words are missing."),
        Slip(lambda words: _counts(words, orders=(4,)), "all of 1, 2, 3 and 4 are asked for, not only 4."),
        Slip(lambda words: _counts(words, early=1), "the last run of each length is missing: how many runs of n words "
             "does a caption of T words have?"),
        Slip(lambda words: Counter(set(_counts(words))), "something stands there twice and is counted once."),
        Slip(lambda words: Counter({" ".join(run): times for run, times in _counts(words).items()}), "keep the words "
             "of a run apart, as a tuple: ('red', 'cat')."),
    )  # fmt: skip
    try_out(function, "ngram_counts", _counts, cases, slips)


def check_document_frequencies(function: Callable[..., Mapping]) -> None:
    """Try ``document_frequencies(corpus, ngram_counts) -> Counter``: in how many images each n-gram is mentioned.

    Raises:
        Hint: it is not right yet.

    >>> check_document_frequencies(_frequencies)
    document_frequencies: right (one image, two captions of one image, four images).
    """
    cases = {
        "one image": ([[["red", "cat"]]], _counts),
        "two captions of one image": ([[["red", "cat"], ["a", "red", "red", "cat"]]], _counts),
        "four images": (CORPUS, _counts),
    }
    slips = (
        Slip(lambda corpus, counts: Counter(run for image in corpus for words in image for run in counts(words)), "two "
             "captions of one image are one image."),
        Slip(lambda corpus, counts: sum((counts(words) for image in corpus for words in image), Counter()), "these are "
             "all mentions. Count images: however often an n-gram stands in the captions of one, that is 1."),
    )  # fmt: skip
    try_out(function, "document_frequencies", _frequencies, cases, slips)


def check_cider_d(function: Callable[..., float]) -> None:
    """Try ``cider_d(candidate, references, frequencies, images, ngram_counts) -> float``.

        10/4 sum_n mean_j exp(-(l_c - l_j)^2 / 2 sigma^2) min(g_c, g_j) . g_j / (|g_c| |g_j|)
                                                          Vedantam et al. 2015, on gameability; sigma = 6

    Raises:
        Hint: it is not right yet.

    >>> check_cider_d(cider_d_by_hand)                                          # doctest: +ELLIPSIS
    cider_d: right (word for word, half of it, a word again and again, too short, two references, nothing in common...
    """
    frequencies, images = _frequencies(CORPUS, _counts), len(CORPUS)
    cases = {
        name: (candidate.split(), references, frequencies, images, _counts)
        for name, candidate, references in (
            ("word for word", "a red cat sits on the grass", CORPUS[0][:1]),
            ("half of it", "a blue cat sits on the grass", CORPUS[0][:1]),
            ("a word again and again", "red red red cat cat on grass", CORPUS[0][:1]),
            ("too short", "sits on the grass", CORPUS[0][:1]),
            ("two references", "a red cat on the grass", CORPUS[0]),
            ("nothing in common", "green and new", CORPUS[1]),
            ("an n-gram that no reference has", "a zebra on the grass", CORPUS[0]),
        )
    }
    slips = (
        Slip(lambda *asked: cider_d_by_hand(*asked) / 10, "it is 10 times as much: CIDEr-D goes from 0 to 10."),
        Slip(lambda *asked: cider_d_by_hand(*asked) * 4, "the four lengths are summed; their mean is asked."),
        Slip(lambda *asked: cider_d_by_hand(*asked, clip=False), "a word that is said again and again earns too much: "
             "no more than the reference has of it should count. That is the first half of the D."),
        Slip(lambda *asked: cider_d_by_hand(*asked, damp=False), "a caption of another length is not damped. That is "
             "the second half of the D."),
        Slip(lambda *asked: cider_d_by_hand(*asked, width=1.0), TOO_STRONG),
        Slip(lambda *asked: cider_d_by_hand(*asked, width=2 / SIGMA), TOO_STRONG),
        Slip(lambda c, r, *others: cider_d_by_hand(c, r, *others) * len(r), "the references are summed; their mean is "
             "asked."),
        Slip(lambda *asked: cider_d_by_hand(*asked, runs=TOGETHER), ONE_VECTOR),
        Slip(lambda *asked: cider_d_by_hand(*asked, runs=TOGETHER) * 4, ONE_VECTOR),
        Slip(lambda *asked: cider_d_by_hand(*asked, rarity=lambda images, found: math.log(images / (1 + found))),
             "every n-gram weighs too little: images are divided by max(1, frequency), not by 1 + frequency."),
        Slip(lambda *asked: cider_d_by_hand(*asked, rarity=lambda images, found: 1.0), "every n-gram weighs the same "
             "here: `a` as much as `zebra`. The logarithm of images / frequency is missing."),
        Slip(lambda *asked: cider_d_by_hand(*asked, clip_own=True), "the length of the candidate's own vector |g_c| is "
             "taken after the min; it belongs to all that was said."),
    )  # fmt: skip
    try_out(function, "cider_d", cider_d_by_hand, cases, slips)


def check_self_critical_loss(function: Callable[..., Tensor]) -> None:
    """Try ``self_critical_loss(log_probs (N, T), mask (N, T) bool, rewards (N,), baseline (N,)) -> ()``.

        mean over sentences of -(r - b) sum_t log p(w_t)          Rennie et al. 2017; Anderson et al. 2018, Sec. 3.2.3

    Raises:
        Hint: it is not right yet.

    >>> check_self_critical_loss(_loss)
    self_critical_loss: right (better than greedy, worse than greedy, two sentences, nan where it is padded).
    """
    one, two = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.0, -2, -3], [-2, -0.5, -9]])
    every, ended = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[True] * 3, [True, True, False]])
    cases = {
        "better than greedy": (one, every, torch.tensor([1.5]), torch.tensor([1.0])),
        "worse than greedy": (one, every, torch.tensor([0.5]), torch.tensor([1.0])),
        "two sentences": (two, ended, torch.tensor([2.0, 0.5]), torch.tensor([0.5, 1.5])),
        "nan where it is padded": (two.masked_fill(~ended, float("nan")), ended, torch.tensor([2.0, 0.5]),
                                   torch.tensor([0.5, 1.5])),
    }  # fmt: skip
    slips = (
        Slip(lambda p, m, r, b: -_loss(p, m, r, b), "the sign: a step against the gradient of this loss makes a good "
             "sentence less likely."),
        Slip(lambda p, m, r, b: _loss(p, m, r, b * 0), "the baseline is missing: better than what?"),
        Slip(lambda p, m, r, b: _loss(p, m | True, r, b), "padding counts as words."),
        Slip(lambda p, m, r, b: _loss(p, m, r, b) * len(p), "sentences are summed; their mean is asked."),
        Slip(lambda p, m, r, b: -((r - b) * (p * m).sum(1) / m.sum(1)).mean(), "the log-probability of a sentence is "
             "the sum over its words. With the mean, long sentences would be pushed less."),
        Slip(lambda p, m, r, b: -((r - b) * (p * m).sum(1)).mean(), "0 * nan is nan: fill padding, do not multiply."),
    )  # fmt: skip
    try_out(function, "self_critical_loss", _loss, cases, slips)


def _rarity(images: int, found: int) -> float:
    return math.log(images / max(1, found))


def cider_d_by_hand(
    candidate, references, frequencies, images, ngram_counts, clip=True, damp=True, width=2.0, rarity=_rarity,
    clip_own=False, runs=((1,), (2,), (3,), (4,)),
) -> float:  # fmt: skip
    """CIDEr-D with dictionaries, slowly; ``metrics.cider_d`` is the fast one. The settings make the known mistakes.

    Args:
        candidate:    words.
        references:   captions, each a list of words.
        frequencies:  in how many images each n-gram is mentioned.
        images:       how many there are.
        ngram_counts: words to counts of n-grams.

    >>> round(cider_d_by_hand(["red", "cat"], [["red", "cat"]], {("red",): 1}, 2, _counts), 6)      # 1- and 2-grams
    5.0
    """

    def weights(words: Sequence[str]) -> dict:
        return {run: times * rarity(images, frequencies.get(run, 0)) for run, times in ngram_counts(words).items()}

    mine, total = weights(candidate), 0.0
    for reference in references:
        theirs = weights(reference)
        shared = {run: min(mine[run], theirs[run]) if clip else mine[run] for run in mine.keys() & theirs.keys()}
        gap = len(candidate) - len(reference)
        closeness = math.exp(-(gap**2) / (width * SIGMA**2)) if damp else 1.0
        for lengths in runs:
            norms = _norm(shared if clip_own else mine, lengths) * _norm(theirs, lengths)
            if norms:
                total += closeness * sum(shared[run] * theirs[run] for run in shared if len(run) in lengths) / norms
    return 10 * total / 4 / len(references)


def _norm(weights: Mapping, lengths: Sequence[int]) -> float:
    return math.sqrt(sum(value**2 for run, value in weights.items() if len(run) in lengths))


def _counts(words: Sequence[str], orders=(1, 2, 3, 4), early: int = 0) -> Counter:
    return Counter(tuple(words[place : place + order]) for order in orders
                   for place in range(len(words) - order + 1 - early))  # fmt: skip


def _frequencies(corpus, ngram_counts) -> Counter:
    return Counter(run for image in corpus for run in set().union(*(ngram_counts(words) for words in image)))


def _loss(log_probs: Tensor, mask: Tensor, rewards: Tensor, baseline: Tensor) -> Tensor:
    return self_critical_loss(log_probs, mask, rewards - baseline)
