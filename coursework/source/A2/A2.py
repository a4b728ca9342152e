# %% [markdown]
# # A2 · Masked attention and one step of the captioner
#
# **The question.** A sentence about a picture is made word by word, and before each word the model looks again. How
# does "looking" become a few matrix products, and what must never be looked at?
#
# *20 points, about three hours.* You write three functions; each is marked for itself, whatever became of the ones
# before. Below each is a check that answers with a hint. When your work is graded, further tests run.
#
# Letters: `N` sentences (here one an image), `K` regions, `D` numbers a region, `H` hidden numbers, `A` attention size,
# `V` words. `mask` is bool, True where a region is real. Padded rows may hold *anything*, `nan` too.

# %% locked="imports"
import torch

# %% [markdown]
# ## 1 · Weights that sum to one
#
# $$\alpha_i = \frac{\exp a_i}{\sum_{j\ \text{real}} \exp a_j}$$
#
# Padding gets exactly 0. An image without any real region gets zeros everywhere. Fill, do not multiply: `0 * nan` is
# `nan`.
#
# **Predict first:** scores 1 and 2, and a padded 9. What happens to the two weights if you multiply the mask in *after*
# a plain softmax? *(about 30 minutes)*


# %% solution="masked_softmax"
def masked_softmax(scores, mask):
    """Weights over the real regions: scores (N, K), mask (N, K) bool -> (N, K)."""
    ### BEGIN SOLUTION
    filled = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(filled, dim=-1).masked_fill(~mask, 0.0)
    ### END SOLUTION


# %% check="masked_softmax-seen" points=3
from updown_lab.coursework import check_masked_softmax

check_masked_softmax(masked_softmax)

# %% check="masked_softmax-hidden" points=3
# Further tests of `masked_softmax` run here when your work is graded.
### BEGIN HIDDEN TESTS
draw = torch.Generator().manual_seed(5)
scores, mask = torch.randn(30, 9, generator=draw) * 5, torch.rand(30, 9, generator=draw) < 0.6
mask[0], mask[1] = False, True
alpha = masked_softmax(scores, mask)
assert (alpha[~mask] == 0).all(), "padding gets exactly 0"
assert torch.allclose(alpha.sum(1), mask.any(1).float()), "weights sum to one, or to zero where nothing is real"
for row in range(30):
    assert torch.allclose(alpha[row][mask[row]], scores[row][mask[row]].softmax(0), atol=1e-6), "like softmax alone"
assert torch.allclose(masked_softmax(scores + 100, mask), alpha, atol=1e-5), "adding a number changes nothing"
for junk in (float("nan"), float("inf"), -float("inf")):
    assert torch.equal(masked_softmax(scores.masked_fill(~mask, junk), mask), alpha), f"{junk} where it is padded"
learned = scores.clone().requires_grad_()
(masked_softmax(learned, mask) ** 2).sum().backward()
assert learned.grad.isfinite().all() and (learned.grad[~mask] == 0).all(), "the gradient is finite, and 0 at padding"
assert masked_softmax(scores.double(), mask).dtype == torch.float64, "double stays double"
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · Looking
#
# $$a_i = \mathbf{w} \cdot \tanh(W_v \mathbf{v}_i + W_q \mathbf{q}), \qquad \boldsymbol\alpha =
# \mathrm{normalise}(\mathbf{a}), \qquad \hat{\mathbf{v}} = \sum_i \alpha_i \mathbf{v}_i$$
#
# (Anderson et al. 2018, Eq. 1 and 2.) `normalise(scores, mask)` is given: a masked softmax that works.
#
# **Predict first:** if $\mathbf{w}$ is zero, where does the model look? *(about 45 minutes)*


# %% solution="attend"
def attend(query, features, mask, W_v, W_q, w, normalise):
    """Look at the regions with a question in mind.

    query (N, H), features (N, K, D), mask (N, K) bool; W_v (A, D), W_q (A, H), w (A,) -> v_hat (N, D), alpha (N, K).
    """
    ### BEGIN SOLUTION
    clean = features.masked_fill(~mask[..., None], 0.0)
    keys = clean @ W_v.T
    asked = query @ W_q.T
    alpha = normalise(torch.tanh(keys + asked[:, None, :]) @ w, mask)
    return (alpha[..., None] * clean).sum(dim=1), alpha
    ### END SOLUTION


# %% check="attend-seen" points=3
from updown_lab.coursework import check_attend

check_attend(attend)

# %% check="attend-hidden" points=3
# Further tests of `attend` run here when your work is graded.
### BEGIN HIDDEN TESTS
from updown_lab.models.attention import TopDownAttention
from updown_lab.models.attention import masked_softmax as normalise

torch.manual_seed(6)
library = TopDownAttention(feature_dim=7, query_dim=5, attention_size=11).requires_grad_(False)
W_v, W_q, w = library.region.weight, library.query.weight, library.score.weight[0]
features, query = torch.randn(8, 6, 7), torch.randn(8, 5)
mask = torch.arange(6) < torch.tensor([6, 5, 4, 3, 2, 1, 0, 6])[:, None]
wanted, weights = library(query, features, library.project(features), mask)
for junk in (3.0, float("nan"), float("inf")):
    v_hat, alpha = attend(query, features.masked_fill(~mask[..., None], junk), mask, W_v, W_q, w, normalise)
    assert torch.allclose(alpha, weights, atol=1e-5), f"weights, with {junk} where it is padded"
    assert torch.allclose(v_hat, wanted, atol=1e-5), f"v_hat, with {junk} where it is padded"
order = torch.tensor([2, 0, 1, 5, 4, 3])
again, _ = attend(query, features[:, order], mask[:, order], W_v, W_q, w, normalise)
assert torch.allclose(again, wanted, atol=1e-5), "regions are a set: their order does not matter"
asked = query.clone().requires_grad_()
attend(asked, features.masked_fill(~mask[..., None], float("nan")), mask, W_v, W_q, w, normalise)[0].sum().backward()
assert asked.grad.isfinite().all(), "the gradient is finite whatever padding holds"
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · One word
#
# Two LSTMs. The first decides where to look, the second what to say (Sec. 3.2):
#
# $$h_1, c_1 \leftarrow \mathrm{LSTM}([h_2, \bar v, W_e w]) \qquad \hat v, \alpha = \mathrm{look}(h_1) \qquad
# h_2, c_2 \leftarrow \mathrm{LSTM}([\hat v, h_1])$$
#
# A matrix times stacked vectors is a sum of matrices times each, so the four gates of the first LSTM are a sum of three
# terms: `captioner.word_gates` of the word's `captioner.embedding`, `overview` (the mean region's part, given), and
# `captioner.hidden_gates` of h1 and h2 side by side, in this order. `lstm_update(gates, c)` then gives the new h and c.
# The gates of the second are `captioner.language_gates` of v̂, the **new** h1 and the old h2, side by side.
#
# `captioner.output(h2)` scores every word. `PAD` and `START` can never be said: their log-probability is -inf, and the
# others share all of the probability.
#
# **Predict first:** before any word was said h1, c1, h2, c2 are zero. Does the first h1 depend on the picture?
# *(about 75 minutes)*

# %% locked="step-imports"
from updown_lab.models.captioner import lstm_update
from updown_lab.text import PAD, START


# %% solution="captioner_step"
def captioner_step(captioner, words, overview, h1, c1, h2, c2, look):
    """Read the words (N,) just said and predict the next.

    overview (N, 4H); h1, c1, h2, c2 (N, H); look(h1) -> v_hat (N, D), alpha (N, K).
    Gives log_probs (N, V), alpha (N, K), and the new h1, c1, h2, c2.
    """
    ### BEGIN SOLUTION
    hidden = captioner.hidden_gates(torch.cat([h1, h2], dim=1))
    h1, c1 = lstm_update(captioner.word_gates(captioner.embedding(words)) + overview + hidden, c1)
    v_hat, alpha = look(h1)
    h2, c2 = lstm_update(captioner.language_gates(torch.cat([v_hat, h1, h2], dim=1)), c2)
    logits = captioner.output(h2)
    logits = logits.index_fill(1, torch.tensor([PAD, START]), -torch.inf)
    return torch.log_softmax(logits, dim=1), alpha, h1, c1, h2, c2
    ### END SOLUTION


# %% check="captioner_step-seen" points=4
from updown_lab.coursework import check_captioner_step

check_captioner_step(captioner_step)

# %% check="captioner_step-hidden" points=4
# Further tests of `captioner_step` run here when your work is graded.
### BEGIN HIDDEN TESTS
from updown_lab.coursework import small_captioner, step_arguments

for seed in (11, 12):
    captioner, state = small_captioner(seed)
    state = state.select(torch.tensor([0, 0, 1, 1, 1]))  # five sentences about two images
    words = torch.full((5,), START)
    for _ in range(6):
        log_probs, alpha, h1, c1, h2, c2 = captioner_step(*step_arguments(captioner, words, state))
        wanted, weights, state = captioner.step(words, state)
        assert torch.allclose(log_probs, wanted, atol=1e-5), "log-probabilities"
        assert torch.allclose(alpha, weights, atol=1e-5), "weights"
        assert torch.allclose(log_probs.exp().sum(1), torch.ones(5), atol=1e-5), "probabilities sum to one"
        assert (log_probs[:, [PAD, START]] == -torch.inf).all(), "PAD and START are never said"
        states = (state.attention_hidden, state.attention_cell, state.language_hidden, state.language_cell)
        for given, right in zip((h1, c1, h2, c2), states, strict=True):
            assert torch.allclose(given, right, atol=1e-5), "h1, c1, h2, c2"
        words = (wanted + torch.arange(5)[:, None].float()).argmax(1)
### END HIDDEN TESTS

# %% [markdown]
# ## A surprise to end with
#
# The state before the first word is zero and START is always the same word, so the first h1 is different for two
# pictures only through the mean region: with `overview` set to zero, the first *look* asks every picture the same
# question. Try it.
