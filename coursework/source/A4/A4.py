# %% [markdown]
# # A4 · Design an ablation
#
# **The question.** "Our model is 0.8 CIDEr better." Better because of what, and would it be so again tomorrow? An
# ablation takes away one thing and looks. Most are spoiled before the first run starts, and no amount of computing
# repairs them.
#
# *20 points, about three hours, nothing has to be trained.* A plan (6), an interval (4), four reports to judge (4), and
# one answer in words that a person reads (6).

# %% locked="imports"
import numpy as np

from updown_lab.coursework import Plan, PlannedRun

# %% [markdown]
# ## 1 · A plan *(6 points, about an hour)*
#
# Choose a question about the captioner that one setting of the library answers (`python -m updown_lab quickstart
# --help` and `updown_lab/settings.py` show what there is), and plan every run. The rubric, 2 points each:
#
# | | full points |
# |---|---|
# | **one factor** | levels differ in exactly one setting, and one of them is the baseline |
# | **seeds** | at least three runs a level, with the same seeds in each |
# | **splits** | what chooses checkpoints is not what is reported |
#
# `help(Plan)` and `help(PlannedRun)` say what the fields are; `changes` are what `--set NAME=VALUE` would change.
#
# **Predict first:** how many CIDEr-D points do two seeds of the *same* settings lie apart?


# %% solution="my_plan"
def my_plan():
    """An ablation of your own: a Plan."""
    ### BEGIN SOLUTION
    levels = ("uniform", "soft")
    return Plan(
        question="Does choosing among regions make captions better than averaging them?",
        factor="captioner.attention",
        baseline="uniform",
        runs=[PlannedRun(level, seed, {"captioner.attention": level}) for level in levels for seed in (1, 2, 3)],
        choose_on="validation",
        report_on="test",
    )
    ### END SOLUTION


# %% check="one_factor-seen" points=2
from updown_lab.coursework import check_one_factor

check_one_factor(my_plan)

# %% check="seeds-seen" points=2
from updown_lab.coursework import check_seeds

check_seeds(my_plan)

# %% check="splits-seen" points=2
from updown_lab.coursework import check_splits

check_splits(my_plan)

# %% [markdown]
# ## 2 · How sure is a difference? *(4 points, about 40 minutes)*
#
# Two models describe the same N pictures; `ours[i]` and `theirs[i]` are their scores for picture i. Had there been
# other pictures, the mean difference would be another. Draw N pictures from these, with replacement, again and again
# (2000 times); between the 2.5 % and the 97.5 % quantile of the mean differences lies the interval.
#
# Take all chance from `draw`, a `numpy.random.Generator`. A hard picture is hard for both models: keep the pairs.
#
# **Predict first:** every picture scores exactly 0.25 more with ours. How wide is the interval?


# %% solution="paired_interval"
def paired_interval(ours, theirs, draw):
    """The mean of ours - theirs, and the ends of its 95 % interval: arrays (N,) -> mean, low, high."""
    ### BEGIN SOLUTION
    gains = ours - theirs
    rows = draw.integers(len(gains), size=(2000, len(gains)))
    low, high = np.quantile(gains[rows].mean(axis=1), [0.025, 0.975])
    return gains.mean(), low, high
    ### END SOLUTION


# %% check="paired_interval-seen" points=2
from updown_lab.coursework import check_paired_interval

check_paired_interval(paired_interval)

# %% check="paired_interval-hidden" points=2
# Further tests of `paired_interval` run here when your work is graded.
### BEGIN HIDDEN TESTS
covered = 0
for seed in range(60):
    random = np.random.default_rng(seed)
    hard = random.normal(1.0, 0.5, 80)
    mean, low, high = paired_interval(hard + random.normal(0.1, 0.3, 80), hard, np.random.default_rng(seed))
    covered += low <= 0.1 <= high
    assert 0.7 < (high - low) / (3.92 * 0.3 / 80**0.5) < 1.35, "as wide as the gains ask for, not the scores"
assert 50 <= covered <= 60, f"of 60 intervals about 57 should hold the truth, {covered} do"
rare = np.zeros(50)
rare[:2] = 5.0
mean, low, high = paired_interval(rare, np.zeros(50), np.random.default_rng(0))
assert low == 0.0 and abs(high - 0.5) < 0.11, "quantiles of resampled means; gains need not look like a bell"
### END HIDDEN TESTS

# %% [markdown]
# ## 3 · Four reports *(4 points, about 20 minutes)*
#
# Invented, all four; each is sound or has **one** fault. Which?
#
# 1. *Regions help.* Regions with a captioner of 1000 hidden numbers against a 10 × 10 grid with 512. Five seeds each,
#    checkpoints chosen on validation. Test CIDEr-D +4.1, paired 95 % interval [3.0, 5.2].
# 2. *SCST needs patience.* With and without 20 further epochs, three seeds each, all else the same. For each run we
#    print the epoch with the highest test CIDEr-D: +1.9, paired interval [1.2, 2.6].
# 3. *Dropout helps.* 0.5 against 0, all else the same, chosen on validation. One training each. Test CIDEr-D 113.5 and
#    113.1, paired interval over 5000 pictures [0.1, 0.7].
# 4. *Attention.* Soft against uniform, five seeds each, the same in both, chosen on validation. Test CIDEr-D +0.3,
#    paired interval [-0.4, 1.1]. "We could not tell them apart."
#
# The verdicts to choose from: `"two things changed"`, `"chosen on the test split"`, `"one seed"`,
# `"not the same items"`, `"nothing is wrong"`.


# %% solution="my_verdicts"
def my_verdicts():
    """One verdict for each report: {1: ..., 2: ..., 3: ..., 4: ...}."""
    ### BEGIN SOLUTION
    return {1: "two things changed", 2: "chosen on the test split", 3: "one seed", 4: "nothing is wrong"}
    ### END SOLUTION


# %% locked="verdicts-form"
from updown_lab.coursework import check_verdicts

check_verdicts(my_verdicts)

# %% check="verdict-1-hidden" points=1
# Report 1 is marked here.
### BEGIN HIDDEN TESTS
assert my_verdicts()[1] == "two things changed", "features and the size of the captioner changed together"
### END HIDDEN TESTS

# %% check="verdict-2-hidden" points=1
# Report 2 is marked here.
### BEGIN HIDDEN TESTS
assert my_verdicts()[2] == "chosen on the test split", "the best epoch on test is partly the luckiest epoch"
### END HIDDEN TESTS

# %% check="verdict-3-hidden" points=1
# Report 3 is marked here.
### BEGIN HIDDEN TESTS
assert my_verdicts()[3] == "one seed", "the interval is over pictures; another seed may move both models further"
### END HIDDEN TESTS

# %% check="verdict-4-hidden" points=1
# Report 4 is marked here.
### BEGIN HIDDEN TESTS
assert my_verdicts()[4] == "nothing is wrong", "not being able to tell is a result, honestly told"
### END HIDDEN TESTS

# %% [markdown]
# ## 4 · In your own words *(6 points, about 40 minutes)*
#
# Somebody runs *your* plan and sends this table (invented figures):
#
# | level | runs | mean CIDEr-D | spread over seeds | difference | 95 % interval | p (Holm) |
# |---|---|---|---|---|---|---|
# | baseline | 3 | 0.912 | 0.031 | | | |
# | yours | 3 | 0.941 | 0.027 | +0.029 | [0.004, 0.055] | 0.048 |
#
# In 8 to 12 sentences: what did you predict, and why? What does the table allow you to say, and what not? What would
# you run next, and which result would change your mind? The rubric, 2 points each:
#
# | | 2 points | 1 point | 0 points |
# |---|---|---|---|
# | **prediction** | a direction, with a mechanism from the model | a direction | none, or made from the table |
# | **reading** | sets the difference beside the spread over seeds *and* the interval | one of them | "it is better" |
# | **next** | one further run, and the result of it that would change your mind | a run | "more data" |

# %% [markdown] written="verdict" points=6
# ### BEGIN SOLUTION
# I predicted that soft attention beats uniform weights, because the language LSTM can then read the one region that the
# next noun is about, where an average of thirty regions blurs small things. The table agrees in direction: +0.029. The
# interval leaves out 0, but only just, and it is over pictures; the seeds of one level lie 0.03 apart, as far as the
# two levels. Three seeds are too few to tell whether another three would give the same sign. I may say "somewhat better
# on these pictures", not "attention helps captioning", and nothing about photographs. Next I would run seven further
# seeds of both levels with the plan unchanged. If the mean difference over ten seeds were below 0.01, or if the sign
# changed in four of ten pairs, I would take the claim back.
# ### END SOLUTION
