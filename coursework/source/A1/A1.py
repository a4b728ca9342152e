# %% [markdown]
# # A1 · Boxes and non-maximum suppression
#
# **The question.** A detector proposes 300 boxes for a picture with five things in it. Which boxes are worth keeping,
# when is a second box the same thing again, and when is it a hat on a head?
#
# *20 points, about two and a half hours.* You write three functions. Below each is a check that answers with a hint:
# run it as often as you like. When your work is graded, further tests run in the cells that say so.
#
# Boxes are `(x1, y1, x2, y2)` in pixels; `x2` and `y2` are *exclusive*: `(0, 0, 2, 2)` is 2 pixels wide. Use torch, but
# not `torchvision.ops`, and not the library's own selection: that is what you are building.

# %% locked="imports"
import torch

# %% [markdown]
# ## 1 · How alike are two boxes?
#
# $$\mathrm{IoU}(a, b) = \frac{\text{area of } a \cap b}{\text{area of } a \cup b}$$
#
# **Predict first:** two squares of 2 × 2 pixels, the second moved right and down by one pixel. More or less than ¼?
#
# Write `iou` for all pairs at once, without a loop: `boxes[:, None]` is (N, 1, 4) and meets (M, 4) in (N, M, 4).
# Where the union has no area, the answer is 0. *(about 30 minutes)*


# %% solution="iou"
def iou(boxes, others):
    """How alike each box is to each other box: boxes (N, 4), others (M, 4) -> (N, M), from 0 to 1."""
    ### BEGIN SOLUTION
    sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2])
    shared = sides.clamp(min=0).prod(-1)
    areas, other_areas = (part[:, 2:].sub(part[:, :2]).prod(-1) for part in (boxes, others))
    union = areas[:, None] + other_areas - shared
    return torch.where(union > 0, shared / union, torch.zeros_like(union))
    ### END SOLUTION


# %% check="iou-seen" points=3
from updown_lab.coursework import check_iou

check_iou(iou)

# %% check="iou-hidden" points=3
# Further tests of `iou` run here when your work is graded.
### BEGIN HIDDEN TESTS
corners = torch.rand(40, 2, generator=torch.Generator().manual_seed(1)) * 50
many = torch.cat([corners, corners + torch.rand(40, 2, generator=torch.Generator().manual_seed(2)) * 30], 1)
table = iou(many, many[:25])
assert table.shape == (40, 25), "one row a box, one column an other box"
assert torch.allclose(table[:25], table[:25].T), "a is as much like b as b is like a"
assert torch.allclose(table.diagonal(), torch.ones(25)), "a box is exactly like itself"
assert table.min() >= 0 and table.max() <= 1 + 1e-6, "from 0 to 1"
assert torch.allclose(iou(many * 7 + 3, many * 7 + 3), iou(many, many), atol=1e-5), "size and place do not matter"
one = iou(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[2.0, 2, 7, 6], [0, 0, 10, 5], [4, 4, 4, 9]]))
assert torch.allclose(one, torch.tensor([[0.2, 0.5, 0.0]])), "a box inside another: its area over the larger area"
assert iou(torch.zeros(0, 4), many).shape == (0, 40), "no box is possible too"
### END HIDDEN TESTS

# %% [markdown]
# ## 2 · The same thing again
#
# Non-maximum suppression: keep the best box, drop the others whose IoU with it is **above** the threshold, repeat with
# what is left. It is greedy, and a box that has been dropped drops nobody.
#
# You are given the table of all IoUs, so this works (and is marked) whatever became of your `iou`.
#
# **Predict first:** three boxes in a row; the second is like the first, the third is like the second but not like the
# first. Scores fall from left to right. Which stay? *(about 40 minutes)*


# %% solution="nms"
def nms(overlaps, scores, threshold):
    """Rows that stay, the best first: overlaps (N, N) is the IoU of each pair, scores (N,) -> (M,) long."""
    ### BEGIN SOLUTION
    alike = overlaps > threshold
    dropped = torch.zeros(len(scores), dtype=torch.bool)
    kept = []
    for row in scores.argsort(descending=True).tolist():
        if not dropped[row]:
            kept.append(row)
            dropped |= alike[row]
    return torch.tensor(kept, dtype=torch.long)
    ### END SOLUTION


# %% check="nms-seen" points=3
from updown_lab.coursework import check_nms

check_nms(nms)

# %% check="nms-hidden" points=3
# Further tests of `nms` run here when your work is graded.
### BEGIN HIDDEN TESTS
from torchvision.ops import box_iou
from torchvision.ops import nms as published

generator = torch.Generator().manual_seed(3)
corners = torch.rand(80, 2, generator=generator) * 40
many = torch.cat([corners, corners + 5 + torch.rand(80, 2, generator=generator) * 20], 1)
scores, overlaps = torch.rand(80, generator=generator), box_iou(many, many)
for threshold in (0.1, 0.3, 0.7):
    assert nms(overlaps, scores, threshold).tolist() == published(many, scores, threshold).tolist(), threshold
assert nms(overlaps, scores, 1.0).tolist() == scores.argsort(descending=True).tolist(), "nothing is above 1"
assert nms(torch.zeros(0, 0), torch.zeros(0), 0.5).shape == (0,), "no box is possible too"
assert nms(overlaps, scores - 5, 0.3).tolist() == published(many, scores, 0.3).tolist(), "scores may be negative"
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · The rule of bottom-up attention
#
# The authors of the paper choose regions like this (Sec. 3.1, and their `generate_tsv.py`):
#
# 1. Non-maximum suppression runs **for each class alone**, over all proposals, with its probabilities as scores.
# 2. A proposal's score is its **best probability among the classes where it survived** (0 if it survived nowhere).
# 3. The best proposals come first. Those with a score of at least `confidence` stay; if these are fewer than `minimum`,
#    the best `minimum` stay all the same; never more than `maximum`.
#
# You are given `suppress(scores) -> rows`: non-maximum suppression of these proposals, ready to be called.
#
# **Predict first:** a hat lies on a head, IoU 0.86. The detector is sure of both. How many boxes stay with this rule,
# and how many if classes are ignored? *(about 60 minutes)*


# %% solution="select"
def select(probabilities, suppress, confidence, minimum, maximum):
    """Rows of the proposals that become regions, the best first: probabilities (R, C) -> (K,) long."""
    ### BEGIN SOLUTION
    best = torch.zeros(len(probabilities))
    for scores in probabilities.T:
        rows = suppress(scores)
        best[rows] = torch.maximum(best[rows], scores[rows])
    confident = int((best >= confidence).sum())
    return best.argsort(descending=True)[: min(maximum, max(minimum, confident))]
    ### END SOLUTION


# %% check="select-seen" points=4
from updown_lab.coursework import check_select

check_select(select)

# %% check="select-hidden" points=4
# Further tests of `select` run here when your work is graded.
### BEGIN HIDDEN TESTS
from torchvision.ops import nms as published

from updown_lab.config import SelectionConfig
from updown_lab.vision.selection import select_regions

generator = torch.Generator().manual_seed(4)
corners = torch.rand(60, 2, generator=generator) * 40
many = torch.cat([corners, corners + 5 + torch.rand(60, 2, generator=generator) * 20], 1)
probabilities = (torch.randn(60, 7, generator=generator) * 2).softmax(1)
for confidence, minimum, maximum in ((0.2, 10, 100), (0.9, 20, 100), (0.2, 10, 12), (0.8, 1, 100)):
    cfg = SelectionConfig(nms_threshold=0.3, confidence=confidence, minimum=minimum, maximum=maximum)
    wanted = select_regions(probabilities, many, cfg).rows.tolist()
    got = select(probabilities, lambda scores: published(many, scores, 0.3), confidence, minimum, maximum).tolist()
    assert got == wanted, f"confidence {confidence}, minimum {minimum}, maximum {maximum}: {got}, not {wanted}"
every = select(probabilities, lambda scores: published(many, scores, 0.3), 0.0, 60, 60).tolist()
assert sorted(every) == list(range(60)), "a proposal is a region once"
### END HIDDEN TESTS

# %% [markdown]
# ## A surprise to end with
#
# Swap the scores of the hat and the head in the first check of `select` and nothing changes; use one class for both and
# the hat is gone. The paper's 36 regions of a photo are full of such pairs: *shirt* on *man*, *sleeve* on *shirt*. That
# the attention can then choose between them is the whole idea.
