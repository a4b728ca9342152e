"""What the checks of A4 answer: plans, intervals, verdicts."""

import numpy as np
import pytest
from seeded import told

from updown_lab.coursework import (
    Plan,
    PlannedRun,
    check_one_factor,
    check_paired_interval,
    check_seeds,
    check_splits,
    check_verdicts,
)


def planned(levels=("uniform", "soft"), seeds=(1, 2, 3), extra=None, **changes) -> Plan:
    runs = [PlannedRun(level, seed, {"captioner.attention": level, **(extra or {}).get(level, {})})
            for level in levels for seed in seeds]  # fmt: skip
    fields = {"question": "Does looking help?", "factor": "captioner.attention", "baseline": "uniform", "runs": runs,
              "choose_on": "validation", "report_on": "test"}  # fmt: skip
    return Plan(**{**fields, **changes})


@pytest.mark.parametrize(
    ("check", "plan", "words"),
    [
        (check_one_factor, planned(levels=("uniform",)), "two levels or more"),
        (check_one_factor, planned(baseline="none"), "none of the levels"),
        (check_one_factor, planned(question="Attention."), "question mark"),
        (check_one_factor, planned(factor="captioner.atention"), "no setting that can answer"),
        (check_one_factor, planned(factor="seed"), "no setting that can answer"),
        (check_one_factor, planned(extra={"soft": {"captioner.hidden": 9}}), "no setting 'captioner.hidden'"),
        (check_one_factor, planned(extra={"soft": {"captioner.dropout": 0.25}}), "captioner.dropout changes too"),
        (check_one_factor, planned(extra={"soft": {"captioner.attention": "uniform"}}), "the same thing twice"),
        (check_one_factor, planned(runs=[]), "one for every training"),
        (check_seeds, planned(seeds=(1, 2)), "but luck"),
        (check_seeds, planned(seeds=(1, 1, 2)), "a seed twice"),
        (check_splits, planned(choose_on="test"), "luck looks like skill"),
        (check_splits, planned(choose_on="training"), "there for decisions"),
        (check_splits, planned(report_on="training"), "learned from it"),
        (check_splits, planned(report_on="val"), "one of training, validation, test"),
    ],
)
def test_what_spoils_a_plan_is_named(check, plan, words):
    assert words in told(check, lambda: plan)


def test_levels_with_seeds_of_their_own_are_seen():
    runs = [PlannedRun(level, seed + 3 * place, {"captioner.attention": level})
            for place, level in enumerate(("uniform", "soft")) for seed in (1, 2, 3)]  # fmt: skip

    assert "one source of chance is gone" in told(check_seeds, lambda: planned(runs=runs))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda ours, theirs, draw: (theirs - ours).mean() * np.ones(3), "exchange them"),
        (lambda ours, theirs, draw: (0.0, 1.0, 2.0), "does not lie between"),
        (lambda ours, theirs, draw: (ours - theirs).mean(), "three numbers"),
        (lambda ours, theirs, draw: ((ours - theirs).mean(), *np.quantile(ours - theirs, [0.025, 0.975])), "single"),
        (lambda ours, theirs, draw: ((ours - theirs).mean(), *np.quantile(
            np.random.default_rng().choice(ours - theirs, (2000, len(ours))).mean(1), [0.025, 0.975])), "from `draw`"),
    ],
)  # fmt: skip
def test_slips_of_an_interval_are_recognised(function, words):
    assert words in told(check_paired_interval, function)


def test_verdicts_are_checked_for_their_form_only(capsys):
    assert "keys 1, 2, 3, 4" in told(check_verdicts, lambda: {1: "one seed"})
    assert "choose one of" in told(check_verdicts, lambda: dict.fromkeys((1, 2, 3, 4), "bad"))

    check_verdicts(lambda: dict.fromkeys((1, 2, 3, 4), "nothing is wrong"))  # wrong for three of them

    assert "when your work is graded" in capsys.readouterr().out
