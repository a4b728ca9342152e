"""Plots: the numbers that are drawn are the numbers that were given."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from updown_lab.analysis.canvas import scaled_boxes, to_pixels
from updown_lab.analysis.plots import (
    MOST_ATTENDED,
    attention_compare,
    attention_strip,
    bars_with_intervals,
    contact_sheet,
    curves,
    draw_regions,
    light_map,
    region_label,
)
from updown_lab.regions import Regions

BOXES = torch.tensor([[0.0, 0, 8, 8], [4, 4, 16, 12], [8, 0, 16, 4]])


def regions(boxes=BOXES, size=(16, 12), **labels) -> Regions:
    return Regions(torch.zeros(len(boxes), 2), boxes, size, "demo", **labels)


def texts(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [item.get_text() for axes in figure.axes for item in axes.texts]


def slow_light(boxes, weights, width, height):
    """Ask every pixel centre of every box."""
    light = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            for (x1, y1, x2, y2), weight in zip(boxes, weights):
                if x1 <= x + 0.5 < x2 and y1 <= y + 0.5 < y2:
                    light[y, x] += weight
    return light


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-8, 40)] * 4, st.integers(0, 8)), min_size=1, max_size=4))
def test_light_is_the_sum_over_covering_boxes(rows):
    boxes = [[min(a, c) / 2, min(b, d) / 2, max(a, c) / 2, max(b, d) / 2] for a, b, c, d, _ in rows]
    weights = [row[4] / 8 for row in rows]

    got = light_map(regions(torch.tensor(boxes), (16, 12)), weights, 16, 12)

    np.testing.assert_allclose(got, slow_light(boxes, weights, 16, 12))


def test_boxes_follow_an_image_shown_at_another_size():
    got = scaled_boxes(regions(), 32, 12)

    assert got[1].tolist() == [8, 4, 32, 12]  # x doubled, y kept


@pytest.mark.parametrize("kind", ["tensor", "floats", "bytes", "pil", "grey pil"])
def test_all_kinds_of_images_become_the_same_pixels(kind):
    values = np.full((600, 500, 3), 51, np.uint8)  # 51 / 255 = 0.2
    image = {
        "tensor": torch.full((3, 600, 500), 0.2), "floats": values / 255.0, "bytes": values,
        "pil": Image.fromarray(values), "grey pil": Image.fromarray(values[..., 0]),
    }[kind]  # fmt: skip

    got = to_pixels(image)

    assert got.shape == (600, 500, 3)
    np.testing.assert_allclose(got, 0.2)


def test_a_wrong_image_is_refused_with_its_shape():
    with pytest.raises(ValueError, match="got"):
        to_pixels(torch.zeros(1, 5, 5))


def test_each_word_shows_its_largest_weight_and_frames_that_region():
    weights = torch.tensor([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]])

    figure = attention_strip(torch.rand(3, 12, 16), regions(), ["red", "cat"], weights)

    assert len(figure.axes) == 2
    assert texts(figure) == ["red", "0.70", "cat", "0.50"]
    frames = [axes.patches[0] for axes in figure.axes]
    assert [frame.get_xy() for frame in frames] == [(120, 120), (0, 0)]  # 16 px wide shown 480 wide: x30
    assert frames[0].get_width() == 360 and frames[0].get_edgecolor()[:3] == pytest.approx((1, 0.165, 0.165), abs=0.01)
    assert MOST_ATTENDED == "#FF2A2A"


def test_the_lit_part_keeps_its_colours_and_the_rest_is_dark():
    image = torch.zeros(3, 480, 480)
    image[0] = 1.0
    left = regions(torch.tensor([[0.0, 0, 240, 480]]), (480, 480))

    figure = attention_strip(image, left, ["red"], [[1.0]])

    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown[10, 10], [1, 0, 0], atol=1e-9)
    assert shown[10, 470].max() < 0.35


def test_padding_and_the_last_step_may_still_be_there():
    weights = torch.zeros(5, 7)
    weights[0, 1] = weights[1, 0] = 1
    weights[:, 5:] = torch.nan  # columns of padding

    assert texts(attention_strip(torch.rand(3, 12, 16), regions(), ["a", "b"], weights)) == ["a", "1.00", "b", "1.00"]
    with pytest.raises(ValueError, match=r"need weights \(6, 3\), got \(5, 7\)"):
        attention_strip(torch.rand(3, 12, 16), regions(), list("abcdef"), weights)


def test_long_captions_wrap_into_rows():
    words = ["word"] * 11
    figure = attention_strip(torch.rand(3, 12, 16), regions(), words, torch.full((11, 3), 1 / 3), columns=4)

    places = [tuple(np.round(axes.get_position().p0, 4)) for axes in figure.axes]
    assert len(set(places)) == 11
    assert len({y for _, y in places}) == 3 and len({x for x, _ in places}) == 4


def test_text_with_dollars_is_not_mathematics():
    figure = attention_strip(torch.rand(3, 12, 16), regions(), ["$x^"], torch.full((1, 3), 1 / 3))

    figure.canvas.draw()  # would raise
    assert texts(figure)[0] == r"\$x^"


def test_rows_of_a_comparison_have_their_titles_and_say_what_is_left_out():
    few = torch.tensor([[0.0, 0, 16, 12]])
    rows = [("grid", regions(few), ["a"], [[1.0]]), ("regions", regions(), list("abc"), torch.full((3, 3), 1 / 3))]

    figure = attention_compare(torch.rand(3, 12, 16), rows, columns=2)

    assert [text.get_text() for text in figure.texts] == ["grid", "regions    (1 words not shown)"]
    assert len(figure.axes) == 3
    with pytest.raises(ValueError, match="at least one row"):
        attention_compare(torch.rand(3, 12, 16), [])


def test_the_most_confident_regions_are_drawn_with_their_names():
    labelled = regions(classes=torch.tensor([0, 1, 0]), scores=torch.tensor([0.3, 0.9, 0.6]),
                       attributes=torch.tensor([0, -1, 0]))  # fmt: skip

    figure = draw_regions(torch.rand(3, 12, 16), labelled, ["cat", "tree"], ["red"], top=2)

    assert texts(figure) == ["tree 0.90", "red cat 0.60"]
    assert len(figure.axes[0].patches) == 2
    assert region_label(regions(), 2) == "2"
    assert region_label(labelled, 0) == "0 0.30"


def test_labels_of_one_corner_do_not_cover_each_other():
    same = torch.tensor([[2.0, 2, 14, 10]]).repeat(4, 1)
    labelled = regions(same, classes=torch.arange(4), scores=torch.full((4,), 0.5))

    figure = draw_regions(torch.rand(3, 12, 16), labelled, ["cat", "dog", "tree", "car"])

    renderer = figure.canvas.get_renderer()
    places = [item.get_window_extent(renderer) for item in figure.axes[0].texts]
    assert not any(one.overlaps(two) for number, one in enumerate(places) for two in places[:number])


def test_an_image_without_regions_is_still_shown():
    nothing = regions(torch.zeros(0, 4))

    assert texts(draw_regions(torch.rand(3, 12, 16), nothing)) == []
    assert texts(attention_strip(torch.rand(3, 12, 16), nothing, ["a"], torch.zeros(1, 0))) == ["a"]


def test_curves_skip_rows_without_a_value_and_name_what_is_missing():
    history = pd.DataFrame({"step": [1, 2, 3], "score": [0.1, np.nan, 0.3]})

    axes = curves({"one": history, "two": history}, "score").axes[0]

    assert axes.lines[0].get_xydata().tolist() == [[1, 0.1], [3, 0.3]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    with pytest.raises(ValueError, match=r"history of 'one' has no \['loss'\]"):
        curves({"one": history}, "loss")


def test_bars_have_their_lengths_and_whiskers():
    table = pd.DataFrame({"metric": ["C", "C", "B"], "encoder": ["regions", "grid", "grid"], "mean": [1.0, 0.8, -0.1],
                          "low": [0.9, 0.7, -0.2], "high": [1.1, 0.9, 0.0]})  # fmt: skip

    axes = bars_with_intervals(table, label="metric", group="encoder").axes[0]

    assert [bar.get_width() for bar in axes.patches] == [1.0, 0.8, -0.1]
    whiskers = [segment.tolist() for lines in axes.collections for segment in lines.get_segments()]
    assert [[start[0], end[0]] for start, end in whiskers] == [[0.9, 1.1], [0.7, 0.9], [-0.2, 0.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["C", "B"]
    assert whiskers[1][0][1] - whiskers[0][0][1] == pytest.approx(0.36)  # two bars share 0.72 of a label's room
    with pytest.raises(ValueError, match="no columns"):
        bars_with_intervals(table, value="median")


def test_contact_sheet_asks_for_a_title_each():
    images = [torch.rand(3, 8, 8), torch.rand(3, 8, 16)]

    assert texts(contact_sheet(images, ["one", "two"])) == ["one", "two"]
    with pytest.raises(ValueError, match="2 and 1 titles"):
        contact_sheet(images, ["one"])


def test_a_figure_shows_itself_and_leaves_no_global_behind():
    figure = curves({"run": pd.DataFrame({"step": [1], "loss": [1.0]})}, "loss")

    assert figure._repr_png_().startswith(b"\x89PNG")
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
