"""Is the truth about a scene true? Boxes, visibility, gravity, holders and sizes, measured in the pixels."""

import numpy as np
import pytest
from PIL import Image

from updown_lab.datasets.picturebook.scenes import Composer, compose_crop, compose_scene
from updown_lab.datasets.picturebook.sprites import CATEGORIES, COLOURS, PARTS, sprite

SIDE = 128
NOISE = 30  # the camera's noise has a deviation of 3.6 grey levels; 30 is eight of them


def changes(page) -> np.ndarray:
    """(128, 128) largest difference of a channel between the picture and its empty backdrop."""
    painted, empty = (np.asarray(image, int) for image in (page.scene.image, page.backdrop.image))
    return np.abs(painted - empty).max(2)


def visible_masks(pairs) -> list[np.ndarray]:
    """What is seen of each thing: its own pixels without those of anything painted later."""
    layers = []
    for order, (_, placed) in enumerate(pairs):
        layer = np.zeros((SIDE, SIDE), bool)
        x, y = placed.thing.box[:2]
        solid = np.asarray(placed.picture)[..., 3] > 110
        layer[y : y + solid.shape[0], x : x + solid.shape[1]] = solid
        layers.append(((placed.depth, order), layer))
    return [
        layer & ~np.any([other for later, other in layers if later > when] or [np.zeros_like(layer)], axis=0)
        for when, layer in layers
    ]


def test_the_same_seed_draws_the_same_scene():
    first, second, other = (compose_scene(np.random.default_rng(seed)) for seed in (5, 5, 6))

    assert first.image.tobytes() == second.image.tobytes()
    assert (first.place, first.things) == (second.place, second.things)
    assert first.image.tobytes() != other.image.tobytes()


def test_boxes_are_whole_pixels_inside_the_picture_and_not_empty(pages):
    for thing in (thing for page in pages for thing in page.scene.things):
        x1, y1, x2, y2 = thing.box
        assert 0 <= x1 < x2 <= SIDE and 0 <= y1 < y2 <= SIDE
        assert all(type(edge) is int for edge in thing.box)
        assert thing.area == (x2 - x1) * (y2 - y1)


def test_every_box_holds_pixels_that_are_not_backdrop(pages):
    for page in pages:
        different = changes(page) > NOISE
        for thing in page.scene.things:
            x1, y1, x2, y2 = thing.box
            assert different[y1:y2, x1:x2].mean() > 0.2, thing


def test_the_picture_holds_nothing_that_the_truth_does_not_tell(pages):
    for number, page in enumerate(pages):
        untold = changes(page) > NOISE
        for x1, y1, x2, y2 in (thing.box for thing in page.scene.things):
            untold[max(0, y1 - 2) : y2 + 5, max(0, x1 - 2) : x2 + 2] = False  # soft edges, and the shadow below
        assert not untold.any(), f"scene {number} has {untold.sum()} unexplained pixels"


def test_at_least_forty_percent_of_everything_is_visible_and_boxes_hug_what_is(pages):
    for page in pages:
        pairs = page.pairs()
        for (thing, placed), mask in zip(pairs, visible_masks(pairs), strict=True):
            whole = np.count_nonzero(np.asarray(placed.picture)[..., 3] > 110)
            assert mask.sum() >= 0.4 * whole, thing
            rows, columns = np.nonzero(mask)
            assert thing.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_some_things_are_partly_hidden_and_some_were_taken_out(pages):
    """Otherwise the test above would say nothing."""
    hidden = sum(thing.box != placed.thing.box for page in pages for thing, placed in page.pairs())
    taken_out = sum(len(page.placed) - len(page.scene.things) for page in pages)

    assert hidden > 10 and taken_out > 0


def test_what_stands_on_the_ground_has_its_base_in_the_ground_zone(pages):
    for page in pages:
        top = page.backdrop.zones["ground"][0]
        for placed in page.placed:
            if placed.thing.zone == "ground" and placed.holder is None:
                assert top <= placed.thing.box[3] <= SIDE, placed.thing


def test_what_swims_has_its_base_in_the_water(pages):
    swimming = [(page, item.thing) for page in pages for item in page.placed if item.thing.zone == "water"]

    assert swimming
    for page, thing in swimming:
        top, bottom = page.backdrop.zones["water"]
        assert top <= thing.box[3] <= bottom and thing.category in ("boat", "fish")


def test_kites_fly_and_fish_and_boats_swim_or_are_held(pages):
    seen = set()
    for thing in (thing for page in pages for thing in page.scene.things):
        seen.add(thing.category)
        if thing.category == "kite":
            assert thing.zone == "air" and thing.holder is None
        elif thing.category in ("fish", "boat"):
            assert thing.zone == "water" or thing.holder is not None
        elif thing.category != "bird":
            assert thing.zone == "ground"
    assert seen == set(CATEGORIES) and len(CATEGORIES) == 18


def test_rooms_have_no_sky_and_no_water(pages):
    places = {page.scene.place for page in pages}
    indoors = [thing for page in pages if page.scene.place == "room" for thing in page.scene.things]

    assert places == {"meadow", "beach", "lake", "room"}
    assert {thing.zone for thing in indoors} == {"ground"}
    assert not {"house", "tree", "kite", "boat"} & {thing.category for thing in indoors}


def test_holders_are_the_table_or_basket_under_the_thing(pages):
    held = [(page, number) for page in pages for number, thing in enumerate(page.scene.things)
            if thing.holder is not None]  # fmt: skip
    kinds = set()
    for page, number in held:
        pairs = page.pairs()
        thing, placed = pairs[number]
        holder, holder_placed = pairs[thing.holder]
        mine, below = placed.thing.box, holder_placed.thing.box
        kinds.add(holder.category)
        assert placed.holder is holder_placed
        assert below[0] <= mine[0] and mine[2] <= below[2] + 1  # not beside it
        if holder.category == "table":
            assert 0 <= mine[3] - below[1] <= 0.1 * (below[3] - below[1]) + 3  # its base on the top's few pixels
            assert placed.depth > holder_placed.depth  # and in front of it
        else:
            assert holder.category == "basket"
            assert below[1] < mine[3] < below[3] and mine[1] < below[1] + 0.5 * (below[3] - below[1])
            assert placed.depth < holder_placed.depth  # the basket hides its lower part
    assert kinds == {"table", "basket"}
    assert any(page.scene.things[number].holder > 0 for page, number in held), "choose a seed that has such a scene"


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(23, 5, "small"), (5, 23, "small"), (24, 5, "medium"), (38, 38, "medium"), (5, 39, "large"), (60, 39, "large")],
)
def test_sizes_go_by_the_longer_side(width, height, expected):
    """Below 24 pixels is small, above 38 is large: both edges of both."""
    composer = Composer(np.random.default_rng(0))

    placed = composer._add(Image.new("RGBA", (width, height)), ("cat", "red", "plain", 0), 10.4, 90.2, "ground")

    assert placed.thing.size == expected
    assert placed.thing.box == (10, 90 - height, 10 + width, 90)


def test_the_size_named_is_the_size_seen_where_nothing_is_hidden(pages):
    for thing, placed in (pair for page in pages for pair in page.pairs()):
        longer = max(placed.picture.size)
        assert thing.size == ("small" if longer < 24 else "large" if longer > 38 else "medium")
        if thing.box == placed.thing.box:
            assert max(thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]) == longer


def test_only_cakes_houses_and_boats_have_parts(pages):
    most = {"cake": 4, "house": 4, "boat": 3}
    for thing in (thing for page in pages for thing in page.scene.things):
        assert 1 <= thing.parts <= most[thing.category] if thing.category in most else thing.parts == 0


@pytest.mark.parametrize("category", sorted(PARTS))
def test_every_number_of_parts_looks_different(category):
    drawings = {sprite(category, "red", "plain", parts).tobytes() for parts in range(1, PARTS[category][1] + 1)}

    assert len(drawings) == PARTS[category][1]


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_colour_and_pattern_shows(category):
    colours = {sprite(category, colour, "plain", 1).tobytes() for colour in COLOURS}
    patterns = {sprite(category, "red", pattern, 1).tobytes() for pattern in ("plain", "striped", "spotted")}

    assert (len(colours), len(patterns)) == (8, 3)


def test_a_crop_shows_the_colour_it_was_asked_for():
    """The same seed gives the same pose before the same backdrop, so what differs is the paint of the thing."""
    for seed, (colour, other) in enumerate((("red", "blue"), ("yellow", "purple"), ("green", "pink"))):
        pictures = {name: np.asarray(compose_crop(np.random.default_rng(seed), "ball", name), float)
                    for name in (colour, other)}  # fmt: skip
        assert pictures[colour].shape == (64, 64, 3)
        painted = np.abs(pictures[colour] - pictures[other]).max(2) > 60
        assert painted.mean() > 0.05
        for name, opposite in ((colour, other), (other, colour)):
            shown = np.median(pictures[name][painted], axis=0)
            distance = {paint: np.linalg.norm(shown - COLOURS[paint]) for paint in (name, opposite)}
            assert distance[name] < distance[opposite]


def test_the_same_seed_draws_the_same_crop():
    first, second = (compose_crop(np.random.default_rng(4), "cat", "red") for _ in range(2))

    assert first.tobytes() == second.tobytes()
