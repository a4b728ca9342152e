"""From a captioner to sentences: the best word each time, by chance, or with a beam."""

from updown_lab.decode.beam import beam_search, greedy
from updown_lab.decode.captions import Caption, Speaker
from updown_lab.decode.ensemble import Ensemble
from updown_lab.decode.explain import explain
from updown_lab.decode.rules import BAD_ENDINGS, FUNCTION_WORDS, Rule
from updown_lab.decode.sampling import sample

__all__ = [
    "BAD_ENDINGS",
    "FUNCTION_WORDS",
    "Caption",
    "Ensemble",
    "Rule",
    "Speaker",
    "beam_search",
    "explain",
    "greedy",
    "sample",
]
