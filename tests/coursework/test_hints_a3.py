"""What the checks of A3 answer: CIDEr-D."""

import math

import pytest
from seeded import told

from updown_lab.coursework import check_cider_d
from updown_lab.coursework.rewards import CORPUS, _counts, _frequencies, cider_d_by_hand
from updown_lab.metrics.cider_d import CiderD


def test_cider_d_by_hand_is_the_librarys():
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
