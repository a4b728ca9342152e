"""What a check answers to any function: right, empty, broken, or wrong in a way that is known."""

import numpy as np
import pytest
import torch
from seeded import told

from updown_lab.coursework import (
    Hint,
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
    check_select,
    check_self_critical_loss,
    rewards,
)
from updown_lab.coursework.differences import difference
from updown_lab.coursework.hints import Slip, try_out

NAN = float("nan")


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
