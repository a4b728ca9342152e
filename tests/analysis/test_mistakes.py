"""Whose mistake is a wrong word? Four pictures of two things, sorted by hand."""

import pytest
import torch

from updown_lab.analysis.mistakes import CASES, sort_captions, sort_nouns
from updown_lab.metrics.grounding import GroundedCaption, grounding
from updown_lab.vision.grid import grid_boxes

NOUNS = {"cat": "cat", "kitten": "cat", "cats": "cat", "cup": "cup", "hat": "hat"}
CAT, CUP = [0.0, 0.0, 40.0, 40.0], [60.0, 60.0, 100.0, 100.0]
THERE = [({"cat"}, CAT), ({"cup"}, torch.tensor(CUP))]
REGIONS = torch.tensor([CAT, CUP, [0.0, 60.0, 40.0, 100.0]])  # the third lies on nothing


def case(word, looks, **options) -> str:
    (noun,) = sort_nouns(torch.tensor([looks]), REGIONS, [word], THERE, NOUNS, **options)
    return noun.case


@pytest.mark.parametrize(
    ("word", "looks", "expected"),
    [
        ("kitten", [0.5, 0.2, 0.3], "right"),
        ("kitten", [0.4, 0.6, 0.0], "lucky"),
        ("hat", [0.1, 0.6, 0.3], "misnamed"),
        ("hat", [0.3, 0.3, 0.4], "invented"),
    ],
)
def test_each_case_is_what_its_name_says(word, looks, expected):
    assert case(word, looks) == expected and expected in CASES


def test_how_much_is_enough_can_be_said():
    assert (
        case("cat", [0.6, 0.4, 0.0], enough=0.7) == "lucky" and case("hat", [0.6, 0.4, 0.0], enough=0.7) == "invented"
    )


def test_a_grid_that_looks_at_a_thing_with_many_cells_looks_at_it():
    cells = grid_boxes(5, 100, 100)  # of 20 pixels: each thing of 40 x 40 holds four centres
    on_cup = ((cells[:, :2] >= 60).all(1)).float() * 0.2  # 4 cells of 0.2: no cell has more, together 0.8
    weights = (on_cup + (1 - on_cup.sum()) / 25)[None]  # and 0.2 spread over all 25

    (noun,) = sort_nouns(weights, cells, ["hat"], THERE, NOUNS)

    assert noun.case == "misnamed" and noun.looked == pytest.approx(0.8 + 4 * 0.008)


def test_two_things_of_one_name_are_looked_at_together():
    (noun,) = sort_nouns(torch.tensor([[0.3, 0.3, 0.4]]), REGIONS, ["cats"], [({"cat"}, CAT), ({"cat"}, CUP)], NOUNS)

    assert noun.case == "right" and noun.looked == pytest.approx(0.6)


def test_half_a_look_at_each_of_two_things_is_a_look_at_none():
    assert case("hat", [0.45, 0.45, 0.1]) == "invented"


def test_every_noun_is_sorted_once_and_knows_its_place_and_region():
    looks = torch.tensor([[0.3, 0.3, 0.4], [0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.0, 1.0, 0.0]])

    found = sort_nouns(looks, REGIONS, ["a", "cat", "and", "hat"], THERE, NOUNS)

    assert [(noun.position, noun.word, noun.region) for noun in found] == [(1, "cat", 0), (3, "hat", 1)]


def test_what_people_mention_but_nobody_boxed_is_left_out():
    looks = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])

    found = sort_nouns(looks, REGIONS, ["hat", "cat"], THERE, NOUNS, mentioned={"hat", "cat"})

    assert [noun.word for noun in found] == ["cat"]


def test_a_picture_without_things_or_regions_has_inventions_only():
    (empty,) = sort_nouns(torch.tensor([[0.2, 0.8, 0.0]]), REGIONS, ["cat"], [], NOUNS)
    (blind,) = sort_nouns(torch.zeros(1, 0), torch.zeros(0, 4), ["hat"], THERE, NOUNS)

    assert (empty.case, empty.looked, empty.region) == ("invented", 0.0, 1)
    assert (blind.case, blind.region) == ("invented", -1)


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"\(1 words, 3 regions\), got \(1, 2\)"):
        sort_nouns(torch.ones(1, 2), REGIONS, ["cat"], THERE, NOUNS)


def test_a_table_of_captions_agrees_with_the_pointing_games_own_count():
    looks = [[0.5, 0.2, 0.3], [0.2, 0.8, 0.0], [0.1, 0.6, 0.3]]
    first = GroundedCaption(torch.tensor(looks), REGIONS, ["kitten", "cup", "hat"], THERE)
    second = GroundedCaption(torch.tensor(looks[:1]), REGIONS, ["hat"], THERE, {"hat"})  # mentioned, not boxed

    table = sort_captions({8: first, 9: second}, NOUNS)

    assert table["case"].tolist() == ["right", "right", "misnamed"] and table["image_id"].tolist() == [8, 8, 8]
    assert 1 - table["there"].mean() == pytest.approx(grounding([first], NOUNS)["hallucination"][0])


def test_a_table_without_nouns_has_its_columns_all_the_same():
    assert list(sort_captions({}, NOUNS)) == [
        "image_id", "position", "word", "category", "case", "looked", "region", "there"
    ]  # fmt: skip
