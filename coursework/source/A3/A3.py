# %% [markdown]
# # A3 · CIDEr-D and the self-critical loss
#
# **The question.** A model that imitates captions word by word is never asked whether the *whole* sentence was any
# good. How do you reward a sentence, and how does a reward become a gradient when choosing a word has none?
#
# *20 points, about three and a half hours.* You write four functions; each is marked for itself. Below each is a check
# that answers with a hint. When your work is graded, further tests run.
#
# Words are strings, captions are lists of words. Plain Python is fast enough for the first three. The library's own
# metric (`updown_lab.metrics`) is what you are building: do not call it.

# %% locked="imports"
import math
from collections import Counter

import torch

# %% [markdown]
# ## 1 · Runs of words
#
# Count every run of 1, 2, 3 and 4 words of a caption, as tuples: `("red", "cat")`.
#
# **Predict first:** how many runs do six different words have, all lengths together? *(about 15 minutes)*


# %% solution="ngram_counts"
def ngram_counts(words):
    """How often each run of 1 to 4 words stands in a caption: list of words -> Counter of tuples."""
    ### BEGIN SOLUTION
    counts = Counter()
    for length in (1, 2, 3, 4):
        for start in range(len(words) - length + 1):
            counts[tuple(words[start : start + length])] += 1
    return counts
    ### END SOLUTION


# %% check="ngram_counts-seen" points=2
from updown_lab.coursework import check_ngram_counts

check_ngram_counts(ngram_counts)

# %% check="ngram_counts-hidden" points=1
# Further tests of `ngram_counts` run here when your work is graded.
### BEGIN HIDDEN TESTS
for size in range(9):
    found = ngram_counts(["cat"] * size)
    assert dict(found) == {("cat",) * n: size - n + 1 for n in (1, 2, 3, 4) if size >= n}, f"{size} times the same word"
assert len(ngram_counts(list("abcdef"))) == 6 + 5 + 4 + 3, "six different words"
assert ngram_counts(["a b", "c"]) == {("a b",): 1, ("c",): 1, ("a b", "c"): 1}, "a word may hold a blank"
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · What everybody says
#
# An n-gram that stands under every picture says nothing about this one. Count in how many **images** each is mentioned.
# `corpus[i]` are the captions of image i. `ngram_counts` is given. *(about 20 minutes)*


# %% solution="document_frequencies"
def document_frequencies(corpus, ngram_counts):
    """In how many images each n-gram is mentioned: list (images) of lists (captions) of words -> Counter."""
    ### BEGIN SOLUTION
    frequencies = Counter()
    for captions in corpus:
        mentioned = set()
        for words in captions:
            mentioned |= set(ngram_counts(words))
        frequencies.update(mentioned)
    return frequencies
    ### END SOLUTION


# %% check="document_frequencies-seen" points=2
from updown_lab.coursework import check_document_frequencies

check_document_frequencies(document_frequencies)

# %% check="document_frequencies-hidden" points=1
# Further tests of `document_frequencies` run here when your work is graded.
### BEGIN HIDDEN TESTS
import itertools


def pairs(words):
    return Counter(itertools.pairwise(words))


found = document_frequencies([[list("abab"), list("ba")], [list("ab")], [[]], []], pairs)
assert dict(found) == {("a", "b"): 2, ("b", "a"): 1}, "the given ngram_counts decides what is counted"
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · CIDEr-D
#
# The weight of an n-gram in a caption is its count times how rare it is:
#
# $$g(\omega) = \mathrm{count}(\omega) \cdot \log \frac{\mathrm{images}}{\max(1, \mathrm{frequency}(\omega))}$$
#
# A candidate $c$ of $l_c$ words is compared with each reference $j$, for each length $n$ alone:
#
# $$\mathrm{CIDEr\text{-}D}(c) = \frac{10}{4} \sum_{n=1}^{4} \operatorname*{mean}_j\;
# e^{-(l_c - l_j)^2 / 2\sigma^2}\;
# \frac{\sum_\omega \min(g_c(\omega), g_j(\omega))\, g_j(\omega)}{\lVert g_c \rVert\, \lVert g_j \rVert},
# \qquad \sigma = 6$$
#
# Sums and norms run over the n-grams of that length. Where a norm is 0, the term is 0.
#
# **Predict first:** `red red red cat` for *a red cat*: which part of the formula stops it from scoring well?
# *(about 75 minutes)*


# %% solution="cider_d"
def cider_d(candidate, references, frequencies, images, ngram_counts):
    """How much a caption says what people said, from 0 to 10.

    candidate: words; references: lists of words; frequencies: a Counter over images; images: how many there are.
    """

    ### BEGIN SOLUTION
    def tf_idf(words, length):
        counts = ngram_counts(words)
        return {
            gram: times * math.log(images / max(1, frequencies[gram]))
            for gram, times in counts.items()
            if len(gram) == length
        }

    total = 0.0
    for reference in references:
        damping = math.exp(-((len(candidate) - len(reference)) ** 2) / (2 * 6.0**2))
        for length in (1, 2, 3, 4):
            ours, theirs = tf_idf(candidate, length), tf_idf(reference, length)
            dot = sum(min(ours[gram], theirs[gram]) * theirs[gram] for gram in ours if gram in theirs)
            norms = math.hypot(*ours.values()) * math.hypot(*theirs.values())
            if norms > 0:
                total += damping * dot / norms
    return 10 / 4 * total / len(references)
    ### END SOLUTION


# %% check="cider_d-seen" points=4
from updown_lab.coursework import check_cider_d

check_cider_d(cider_d)

# %% check="cider_d-hidden" points=3
# Further tests of `cider_d` run here when your work is graded.
### BEGIN HIDDEN TESTS
import random
from collections import Counter as Counted

from updown_lab.metrics.cider_d import CiderD

draw = random.Random(8)


def ids(least, most):
    return draw.choices(range(4, 20), range(16, 0, -1), k=draw.randint(least, most))


def grams(row):
    return Counted(tuple(row[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(row) - n + 1))


corpus = [[ids(1, 12) for _ in range(draw.randint(1, 5))] for _ in range(25)]
mentioned = Counted(gram for image in corpus for gram in {gram for row in image for gram in grams(row)})
library = CiderD(corpus)
for image in range(25):
    said = ids(1, 14)
    words = [f"word{number}" for number in said]
    references = [[f"word{number}" for number in row] for row in corpus[image]]
    seen = Counted({tuple(f"word{number}" for number in gram): times for gram, times in mentioned.items()})
    wanted = float(library.score([image], [[*said, 2]])[0])
    got = float(cider_d(words, references, seen, 25, grams))
    assert abs(got - wanted) < 1e-6, f"{' '.join(words)}: {got:.6f}, not {wanted:.6f}"
assert cider_d(["new"], [["cat"]], Counted({("cat",): 1}), 2, grams) == 0, "nothing in common"
assert cider_d(["cat"], [["cat"]], Counted({("cat",): 1}), 1, grams) == 0, "one image: every logarithm is 0"
### END HIDDEN TESTS

# %% [markdown]
# ## 4 · From a reward to a gradient
#
# Draw a sentence from the model. Was it better than the model's own best guess (the greedy sentence)? Then make all its
# words more likely, else less:
#
# $$L = \operatorname*{mean}_{\text{sentences}} \; -(r - b) \sum_t \log p(w_t)$$
#
# `log_probs` are those of the drawn words; where `mask` is False the sentence is over and `log_probs` may hold
# anything, `nan` too. Reward and baseline are judgements, not something to be learned: **no gradient goes through
# them**.
#
# **Predict first:** the drawn sentence *is* the greedy one. What does the model learn from it? *(about 30 minutes)*


# %% solution="self_critical_loss"
def self_critical_loss(log_probs, mask, rewards, baseline):
    """What self-critical training makes small: log_probs, mask (N, T), rewards, baseline (N,) -> one number."""
    ### BEGIN SOLUTION
    advantage = (rewards - baseline).detach()
    sentences = log_probs.masked_fill(~mask, 0.0).sum(dim=1)
    return -(advantage * sentences).mean()
    ### END SOLUTION


# %% check="self_critical_loss-seen" points=4
from updown_lab.coursework import check_self_critical_loss

check_self_critical_loss(self_critical_loss)

# %% check="self_critical_loss-hidden" points=3
# Further tests of `self_critical_loss` run here when your work is graded.
### BEGIN HIDDEN TESTS
torch.manual_seed(9)
log_probs = torch.randn(6, 7).abs().neg()
mask = torch.arange(7) < torch.tensor([7, 1, 4, 0, 6, 2])[:, None]
rewards, baseline = torch.rand(6), torch.rand(6)
learned = log_probs.clone().requires_grad_()
given, compared = rewards.clone().requires_grad_(), baseline.clone().requires_grad_()
self_critical_loss(learned, mask, given, compared).backward()
wanted = -(rewards - baseline)[:, None] * mask / 6
assert torch.allclose(learned.grad, wanted, atol=1e-6), "the gradient is -(r - b) / N at each word, 0 at padding"
assert given.grad is None and compared.grad is None, "no gradient goes through reward and baseline"
dirty = log_probs.masked_fill(~mask, float("nan")).requires_grad_()
loss = self_critical_loss(dirty, mask, rewards, baseline)
loss.backward()
assert loss.isfinite() and torch.allclose(dirty.grad, wanted, atol=1e-6), "nan where it is padded"
assert self_critical_loss(log_probs, mask, rewards, rewards) == 0, "as good as greedy: nothing to learn"
### END HIDDEN TESTS

# %% [markdown]
# ## A surprise to end with
#
# Give `cider_d` the candidate *a red cat sits on the* (cut off before the last word) for *a red cat sits on the grass*.
# It keeps most of the score: nothing in the formula asks a sentence to end well. Models trained on it learn to stop at
# "with a"; the library's reward counts the end of a sentence as a word (`end_token`), and they stop doing so.
