"""What a check answers: to functions that are right, empty, broken, or wrong in a way that many are."""

import numpy as np
import pytest
import torch

from updown_lab.coursework import (
    Hint,
    Plan,
    PlannedRun,
    check_attend,
    check_captioner_step,
    check_cider_d,
    check_iou,
    check_masked_softmax,
    check_nms,
    check_one_factor,
    check_paired_interval,
    check_seeds,
    check_select,
    check_splits,
    check_verdicts,
    small_captioner,
    step_arguments,
)
from updown_lab.coursework.hints import difference, try_out
from updown_lab.coursework.rewards import CORPUS, cider_d_by_hand
from updown_lab.metrics.cider_d import CiderD


def told(check, function) -> str:
    """The hint that a check gives."""
    with pytest.raises(Hint) as caught:
        check(function)
    return str(caught.value)


def area(box):
    return box[:, 2:].sub(box[:, :2]).prod(-1)


# ------------------------------------------------------------------------------------------------ any function


def test_a_result_instead_of_a_function_is_explained():
    assert "without calling it" in told(check_iou, torch.zeros(1, 1))


def test_an_empty_stub_is_no_mystery():
    def iou(boxes, others):
        raise NotImplementedError

    assert "still empty" in told(check_iou, iou)


def test_a_forgotten_return_is_named():
    assert "is there a `return`" in told(check_iou, lambda boxes, others: None)


def test_an_error_is_told_with_its_line():
    def iou(boxes, others):
        return boxes.frobnicate(others)

    said = told(check_iou, iou)
    assert "AttributeError" in said and "return boxes.frobnicate(others)" in said


def test_too_many_arguments_are_told_as_an_error_too():
    assert "TypeError" in told(check_iou, lambda boxes: boxes)


def test_writing_into_the_arguments_is_seen_even_if_the_result_is_right():
    def double(numbers):
        numbers *= 2
        return numbers

    with pytest.raises(Hint, match="argument number 1 was different"):
        try_out(double, "double", lambda numbers: numbers * 2, {"two": (torch.ones(2),)})


@pytest.mark.parametrize(
    ("given", "wanted", "words"),
    [
        ([1.0], torch.ones(1), "should be a tensor, but it is list of 1"),
        (torch.ones(1, 2), torch.ones(2), "shape should be (2,)"),
        (torch.ones(2), torch.ones(2, dtype=torch.long), "should be torch.int64"),
        (torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.long), "should be torch.int64"),
        (torch.tensor([float("nan")]), torch.ones(1), "a nan"),
        (torch.ones(2), (torch.ones(2), torch.ones(2)), "should give 2 things"),
        ("cat", 1.0, "should be a number"),
        ({"a": 1, "c": 1}, {"a": 1}, "'c' should not be there"),
        ([("a", 1)], {"a": 1}, "should be a dictionary"),
    ],
)
def test_differences_are_told_in_words(given, wanted, words):
    assert words in difference(given, wanted)


def test_double_precision_and_other_sums_are_still_right():
    assert difference(torch.tensor([1.0000001], dtype=torch.float64), torch.ones(1)) == ""
    assert difference(np.float64(2.0), 2.0) == ""


def test_a_notebook_shows_the_hint_and_no_stack_trace():
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell.instance()

    hint = Hint("iou: these boxes only touch")

    shown = []
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)
    try:
        raise hint
    except Hint:
        shell.showtraceback()
    interactive.InteractiveShell.clear_instance()
    assert shown == ["Not yet. iou: these boxes only touch"]


# ------------------------------------------------------------------------------------------------ A1


def test_inclusive_pixels_are_recognised():
    def iou(boxes, others):
        sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2]) + 1
        shared = sides.clamp(min=0).prod(-1)
        size = lambda box: (box[:, 2:] - box[:, :2] + 1).prod(-1)  # noqa: E731
        return shared / (size(boxes)[:, None] + size(others) - shared)

    said = told(check_iou, iou)

    assert "include their last pixel" in said
    assert "[[0.2857]]" in said and "[[0.1429]]" in said  # by hand: 4 / (9 + 9 - 4) = 2/7, and 1 / (4 + 4 - 1) = 1/7


def test_a_union_that_counts_the_overlap_twice_is_recognised():
    def iou(boxes, others):
        sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2])
        return sides.clamp(min=0).prod(-1) / (area(boxes)[:, None] + area(others))

    assert "counts it twice" in told(check_iou, iou)


def test_zero_by_zero_is_told_as_nan():
    def iou(boxes, others):
        sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) - torch.maximum(boxes[:, None, :2], others[:, :2])
        shared = sides.clamp(min=0).prod(-1)
        return shared / (area(boxes)[:, None] + area(others) - shared)

    said = told(check_iou, iou)
    assert "no area at all" in said and "nan" in said


@pytest.mark.parametrize(
    ("reverse", "strict", "words"), [(False, True, "the worst box wins"), (True, False, "exactly the threshold")]
)
def test_slips_of_nms_are_recognised(reverse, strict, words):
    def nms(overlaps, scores, threshold):
        kept = []
        for row in scores.argsort(descending=reverse).tolist():
            near = overlaps[row, kept]
            if not (near > threshold if strict else near >= threshold).any():
                kept.append(row)
        return torch.tensor(kept)

    assert words in told(check_nms, nms)


def test_suppression_across_classes_is_recognised():
    def select(probabilities, suppress, confidence, minimum, maximum):
        return suppress(probabilities.amax(1))[:maximum]

    assert "they are different things" in told(check_select, select)


# ------------------------------------------------------------------------------------------------ A2


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda scores, mask: scores.softmax(-1), "padding has a weight"),
        (lambda scores, mask: scores.softmax(-1) * mask, "do not sum to one"),
        (lambda scores, mask: scores.masked_fill(~mask, -1e9).softmax(-1), "weights for its padding"),
        (lambda scores, mask: scores.masked_fill(~mask, -torch.inf).softmax(-1), "0/0"),
    ],
)
def test_slips_of_a_masked_softmax_are_recognised(function, words):
    assert words in told(check_masked_softmax, function)


def test_weights_before_summary_is_recognised():
    def attend(query, features, mask, W_v, W_q, w, normalise):
        clean = features.masked_fill(~mask[..., None], 0.0)
        alpha = normalise(torch.tanh(clean @ W_v.T + (query @ W_q.T)[:, None]) @ w, mask)
        return alpha, (alpha[..., None] * clean).sum(1)

    assert "summary of the regions comes first" in told(check_attend, attend)


def test_probabilities_instead_of_their_logarithm_are_recognised():
    from updown_lab.coursework.attention import _step

    assert "these are probabilities" in told(check_captioner_step, lambda *a: (_step(*a)[0].exp(), *_step(*a)[1:]))


def test_the_step_to_be_written_is_the_librarys_step():
    from updown_lab.coursework.attention import _step

    captioner, state = small_captioner(3)
    words = torch.tensor([1, 1])

    log_probs, weights, *hidden = _step(*step_arguments(captioner, words, state))

    wanted, looked, after = captioner.step(words, state)
    torch.testing.assert_close((log_probs, weights), (wanted, looked))
    torch.testing.assert_close(hidden, [after.attention_hidden, after.attention_cell,
                                        after.language_hidden, after.language_cell])  # fmt: skip


# ------------------------------------------------------------------------------------------------ A3


def test_cider_d_by_hand_is_the_librarys():
    from updown_lab.coursework.rewards import _counts, _frequencies

    words = sorted({word for image in CORPUS for caption in image for word in caption})
    ids = {word: number for number, word in enumerate(words, 4)}
    library = CiderD([[[ids[word] for word in caption] for caption in image] for image in CORPUS])
    said = ["a", "red", "red", "cat", "on", "the", "road"]

    wanted = library.score([0, 2], [[ids[word] for word in said]] * 2)

    found = [cider_d_by_hand(said, CORPUS[image], _frequencies(CORPUS, _counts), 4, _counts) for image in (0, 2)]
    assert found == pytest.approx(wanted.tolist())
    assert 0.05 < found[1] < found[0] < 9.9


@pytest.mark.parametrize(
    ("change", "words"),
    [({"clip": False}, "earns too much"), ({"damp": False}, "not damped"), ({"rare": False}, "weighs the same"),
     ({"clip_own": True}, "after the min"), ({"width": 1.0}, "too strong")],
)  # fmt: skip
def test_slips_of_cider_d_are_recognised(change, words):
    assert words in told(check_cider_d, lambda *asked: cider_d_by_hand(*asked, **change))


# ------------------------------------------------------------------------------------------------ A4


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
