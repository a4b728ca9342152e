"""Sixty scenes with everything the composer knew about them, and a vocabulary written by hand."""

from dataclasses import dataclass

import numpy as np
import pytest

from updown_lab.datasets.picturebook import scenes as composing

SEEDS = (*range(59), 89)  # scene 89 has a rarity: a basket that is not the first thing of its scene holds something


@dataclass(frozen=True)
class Page:
    """A finished scene beside the unfinished one: backdrop and things before anything was hidden or taken out."""

    scene: composing.Scene
    backdrop: object
    placed: list

    def pairs(self):
        """Each thing of the truth with what was put there; things keep their order, so the next that fits is it."""
        waiting, found = iter(self.placed), []
        for thing in self.scene.things:
            found.append((thing, next(candidate for candidate in waiting if _same(thing, candidate.thing))))
        return found


def _same(thing, whole) -> bool:
    shown = all(
        getattr(thing, name) == getattr(whole, name)
        for name in ("category", "colour", "pattern", "parts", "size", "zone")
    )
    (x1, y1, x2, y2), (left, top, right, bottom) = thing.box, whole.box
    return shown and left <= x1 and top <= y1 and x2 <= right and y2 <= bottom


def compose_page(seed: int) -> Page:
    """Compose a scene and keep the composer that ``compose_scene`` throws away."""
    kept = []

    class Remembered(composing.Composer):
        def __init__(self, random):
            super().__init__(random)
            kept.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composing, "Composer", Remembered)
        scene = composing.compose_scene(np.random.default_rng(seed))
    [composer] = kept
    return Page(scene, composer.backdrop, composer.placed)


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    return [compose_page(seed) for seed in SEEDS]


@pytest.fixture(scope="session")
def nouns() -> dict[str, str]:
    """Every word for a thing and the category it means, singular and plural, listed by hand."""
    return {
        "apple": "apple", "apples": "apple", "ball": "ball", "balls": "ball", "basket": "basket",
        "baskets": "basket", "bird": "bird", "birds": "bird", "boat": "boat", "boats": "boat",
        "sailboat": "boat", "sailboats": "boat", "cake": "cake", "cakes": "cake", "car": "car", "cars": "car",
        "cat": "cat", "cats": "cat", "kitten": "cat", "kittens": "cat", "cup": "cup", "cups": "cup",
        "mug": "cup", "mugs": "cup", "fish": "fish", "flower": "flower", "flowers": "flower", "hat": "hat",
        "hats": "hat", "house": "house", "houses": "house", "cottage": "house", "cottages": "house",
        "kite": "kite", "kites": "kite", "mushroom": "mushroom", "mushrooms": "mushroom", "table": "table",
        "tables": "table", "tree": "tree", "trees": "tree", "umbrella": "umbrella", "umbrellas": "umbrella",
        "parasol": "umbrella", "parasols": "umbrella",
    }  # fmt: skip
