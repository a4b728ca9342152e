"""What a check answers: to functions that are right, empty, broken, or wrong in a way that many are."""

import math

import numpy as np
import pytest
import torch

from updown_lab.coursework import (
    Hint,
    Plan,
    PlannedRun,
    attention,
    boxes,
    check_attend,
    check_captioner_step,
    check_cider_d,
    check_document_frequencies,
    check_iou,
    check_masked_softmax,
    check_ngram_counts,
    check_nms,
    check_one_factor,
    check_paired_interval,
    check_seeds,
    check_select,
    check_self_critical_loss,
    check_splits,
    check_verdicts,
    rewards,
    small_captioner,
    step_arguments,
)
from updown_lab.coursework.differences import difference
from updown_lab.coursework.hints import Slip, try_out
from updown_lab.coursework.rewards import CORPUS, cider_d_by_hand
from updown_lab.metrics.cider_d import CiderD
from updown_lab.text import PAD, START

NAN = float("nan")


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


def test_a_mistake_that_spoils_an_earlier_case_was_not_made():
    def half(number):
        return number / 2 if number else NAN

    cases = {"four": (4.0,), "nothing": (0.0,)}
    slips = [Slip(lambda number: NAN, "nothing comes out."), Slip(half, "nothing divided.")]

    with pytest.raises(Hint, match="half, nothing: nothing divided"):
        try_out(half, "half", lambda number: number / 2, cases, slips)


def test_wrong_parts_are_told_in_the_order_of_computation():
    wanted = {"last": torch.ones(1), "first": torch.ones(1)}

    said = difference((torch.zeros(1), torch.zeros(1, 1)), tuple(wanted.values()), {"first": 1, "last": 0})

    assert said == "first: the shape should be (1,), but it is (1, 1). Right: none of first, last."


@pytest.mark.parametrize(
    ("room", "check"),
    [(boxes, check_iou), (boxes, check_nms), (boxes, check_select),
     (attention, check_masked_softmax), (attention, check_attend), (attention, check_captioner_step),
     (rewards, check_ngram_counts), (rewards, check_document_frequencies), (rewards, check_cider_d),
     (rewards, check_self_critical_loss)],
)  # fmt: skip
def test_whoever_makes_a_known_mistake_is_told_that_one(room, check, monkeypatch):
    known = []
    monkeypatch.setattr(room, "try_out", lambda function, name, right, cases, slips, parts=None: known.extend(slips))
    check(None)
    monkeypatch.undo()

    assert len(known) >= 2
    for slip in known:
        assert slip.hint in told(check, slip.wrong)


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
    assert "no area at all" in said and "look for 0/0" in said
    assert "counts it twice" not in said  # it does not: the boxes before were right


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


def test_rows_of_the_sorted_list_are_recognised():
    def nms(overlaps, scores, threshold):
        order = scores.argsort(descending=True)
        overlaps, kept = overlaps[order][:, order], []
        for row in range(len(scores)):
            if not (overlaps[row, kept] > threshold).any():
                kept.append(row)
        return torch.tensor(kept)

    said = told(check_nms, nms)

    assert "places in the sorted list" in said
    assert "gave tensor([0, 1]), it should give tensor([3, 1])" in said  # by hand: 3 is best, 1 next, and drops 0 and 2


def test_a_list_does_not_look_like_a_tensor():
    said = told(check_nms, lambda overlaps, scores, threshold: [0])

    assert "gave [0], it should give tensor([0])" in said


def written_select(join=torch.maximum, enough=torch.ge):
    """``select`` as a learner writes it."""

    def select(probabilities, suppress, confidence, minimum, maximum):
        best = torch.zeros(len(probabilities))
        for number in range(probabilities.shape[1]):
            for row in suppress(probabilities[:, number]).tolist():
                best[row] = join(best[row], probabilities[row, number])
        count = min(maximum, max(minimum, int(enough(best, confidence).sum())))
        return best.argsort(descending=True)[:count]

    return select


def test_select_written_with_two_loops_is_right(capsys):
    check_select(written_select())

    assert "select: right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("slip", "words", "numbers"),
    [
        # By hand: hat 0.6, head 0.7, and the tree survives twice: 0.65, then 0.3. Right: head, tree, hat.
        ({"join": lambda old, new: new}, "the better one first",
         "gave tensor([1, 0, 2]), it should give tensor([1, 2, 0])"),
        ({"join": torch.add}, "they are summed", "gave tensor([2, 1, 0]), it should give tensor([1, 2, 0])"),
        # By hand: 0.5 is asked for, and the second proposal has exactly that.
        ({"enough": torch.gt}, "at least that much", "gave tensor([0]), it should give tensor([0, 1])"),
    ],
)  # fmt: skip
def test_slips_of_select_are_recognised(slip, words, numbers):
    said = told(check_select, written_select(**slip))

    assert words in said and numbers in said


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


def shifted(scores, mask):
    raised = (scores - scores.max(-1, keepdim=True).values).exp() * mask
    return raised / raised.sum(-1, keepdim=True)


def renormalised(scores, mask):
    weights = scores.masked_fill(~mask, -1e9).softmax(-1) * mask
    return weights / weights.sum(-1, keepdim=True)


def test_a_maximum_over_padding_is_not_told_that_padding_has_a_weight():
    said = told(check_masked_softmax, shifted)

    assert "nan where it is padded" in said and "what padding holds gets in" in said
    assert "padding has a weight" not in said  # it has none


def test_weights_divided_by_nothing_are_not_told_that_they_are_filled_with_inf():
    said = told(check_masked_softmax, renormalised)

    assert "no region at all" in said and "nothing is left to divide by: 0/0" in said
    assert "every score is -inf" not in said  # -1e9 is


def test_weights_before_summary_is_recognised():
    def attend(query, features, mask, W_v, W_q, w, normalise):
        clean = features.masked_fill(~mask[..., None], 0.0)
        alpha = normalise(torch.tanh(clean @ W_v.T + (query @ W_q.T)[:, None]) @ w, mask)
        return alpha, (alpha[..., None] * clean).sum(1)

    assert "summary of the regions comes first" in told(check_attend, attend)


def test_probabilities_instead_of_their_logarithm_are_recognised():
    from updown_lab.coursework.attention import _step

    assert "these are probabilities" in told(check_captioner_step, lambda *a: (_step(*a)[0].exp(), *_step(*a)[1:]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda step, *a: step(*a, speak=lambda scores: scores.index_fill(1, torch.tensor([PAD, START]), -torch.inf)),
         "a softmax and a logarithm are missing"),
        (lambda step, c, words, overview, *a: step(c, words, 0 * overview, *a), "the mean region is missing"),
        # Two at once: what is computed before the first is right, and nothing after it.
        (lambda step, *a: step(*a, reads="old", speak=lambda scores: scores),
         "c2: the numbers are different. Right: c1, h1, alpha."),
        (lambda step, c, words, overview, *a: step(c, words, 0 * overview, *a, asks="old"),
         "c1: the numbers are different. Right: none of c1, h1, alpha, c2, h2, log_probs."),
    ],
    ids=["no log_softmax", "no overview", "old h1 read and all can be said", "no overview and old h1 asks"],
)  # fmt: skip
def test_a_wrong_step_is_told_where_it_goes_wrong(change, words):
    from updown_lab.coursework.attention import _step

    assert words in told(check_captioner_step, lambda *asked: change(_step, *asked))


@pytest.mark.parametrize(("place", "name"), enumerate(("log_probs", "alpha", "h1", "c1", "h2", "c2")))
def test_every_part_of_a_step_is_called_by_its_name(place, name):
    from updown_lab.coursework.attention import _step

    def captioner_step(*asked):
        return tuple(part + (number == place) for number, part in enumerate(_step(*asked)))

    assert f"the first word: {name}: the numbers are different." in told(check_captioner_step, captioner_step)


def test_weights_are_told_before_the_summary_that_they_make():
    from updown_lab.coursework.attention import _attend

    said = told(check_attend, lambda *asked: tuple(part + 1 for part in _attend(*asked)))

    assert "alpha: the numbers are different. Right: none of alpha, v_hat." in said


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
    [({"clip": False}, "earns too much"), ({"damp": False}, "not damped"),
     ({"rarity": lambda images, found: 1.0}, "weighs the same"),
     ({"clip_own": True}, "after the min"), ({"width": 1.0}, "too strong"), ({"width": 12 / 36}, "too strong"),
     ({"runs": [(1, 2, 3, 4)]}, "a vector and norms of its own"),
     ({"rarity": lambda images, found: math.log(images / (1 + found))}, "not by 1 + frequency")],
)  # fmt: skip
def test_slips_of_cider_d_are_recognised(change, words):
    assert words in told(check_cider_d, lambda *asked: cider_d_by_hand(*asked, **change))


def test_one_vector_for_all_lengths_is_recognised_when_it_is_a_mean_too():
    def cider_d(*asked):
        return cider_d_by_hand(*asked, runs=[(1, 2, 3, 4)]) * 4

    assert "a vector and norms of its own" in told(check_cider_d, cider_d)


def test_two_numbers_are_shown_even_if_the_call_is_too_long():
    said = told(check_cider_d, lambda *asked: 2.0)

    assert "the numbers are different. It gave 2.0, it should give 10.0" in said  # word for word is 10 of 10


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
