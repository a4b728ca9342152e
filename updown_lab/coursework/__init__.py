"""Checks for exercises: hand over your own function and get a hint back.

from updown_lab.coursework import check_iou
check_iou(iou)
"""

from updown_lab.coursework.attention import (
    check_attend,
    check_captioner_step,
    check_masked_softmax,
    small_captioner,
    step_arguments,
)
from updown_lab.coursework.boxes import check_iou, check_nms, check_select
from updown_lab.coursework.designs import (
    Plan,
    PlannedRun,
    check_one_factor,
    check_paired_interval,
    check_seeds,
    check_splits,
    check_verdicts,
)
from updown_lab.coursework.hints import Hint
from updown_lab.coursework.rewards import (
    check_cider_d,
    check_document_frequencies,
    check_ngram_counts,
    check_self_critical_loss,
)

__all__ = [
    "Hint",
    "Plan",
    "PlannedRun",
    "check_attend",
    "check_captioner_step",
    "check_cider_d",
    "check_document_frequencies",
    "check_iou",
    "check_masked_softmax",
    "check_ngram_counts",
    "check_nms",
    "check_one_factor",
    "check_paired_interval",
    "check_seeds",
    "check_select",
    "check_self_critical_loss",
    "check_splits",
    "check_verdicts",
    "small_captioner",
    "step_arguments",
]
