"""What five people would say about a scene: salience, synonyms, counts, relations, omissions."""

from collections import defaultdict

import numpy as np

from updown_lab.datasets.picturebook.scenes import Scene, Thing
from updown_lab.datasets.picturebook.sprites import CATEGORIES, PARTS

#: Other words for a category; the first is the category's own name and the most frequent.
SYNONYMS = {
    "ball": ("ball",), "boat": ("boat", "sailboat"), "cat": ("cat", "kitten"), "cup": ("cup", "mug"),
    "house": ("house", "cottage"), "tree": ("tree", "pine tree"), "umbrella": ("umbrella", "parasol"),
    "bird": ("bird",), "car": ("car",),
}  # fmt: skip
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
PLACES = {
    "meadow": ("in a meadow", "on the grass", "in a field"),
    "beach": ("on the beach", "on the sand", "by the sea"),
    "lake": ("by a lake", "near the water", "at the lake"),
    "room": ("in a room", "on a wooden floor", "inside"),
}
SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big")}


def names_of(category: str) -> tuple[str, ...]:
    """All words for a category.

    >>> names_of("cup")
    ('cup', 'mug')
    """
    return SYNONYMS.get(category, (category,))


def plural(noun: str) -> str:
    """
    >>> plural("fish"), plural("cat")
    ('fish', 'cats')
    """
    return noun if noun == "fish" else noun + "s"


def noun_words() -> dict[str, str]:
    """Every word, singular and plural, that names a category; two-word names by their last word.

    >>> noun_words()["kittens"]
    'cat'
    """
    table = {}
    for category in CATEGORIES:
        for name in names_of(category):
            word = name.split()[-1]
            table[word] = table[plural(word)] = category
    return table


def with_article(phrase: str) -> str:
    """
    >>> with_article("orange cat")
    'an orange cat'
    """
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


class Speaker:
    """One person who describes one scene."""

    def __init__(self, scene: Scene, random: np.random.Generator):
        self.scene, self.random = scene, random
        groups = defaultdict(list)
        for number, thing in enumerate(scene.things):
            groups[thing.category].append(number)
        self.groups = groups

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _pick(self, items):
        return items[self.random.integers(len(items))]

    def _noun(self, category: str, many: bool = False) -> str:
        names = names_of(category)
        name = names[0] if self._chance(0.75) else self._pick(names)
        return plural(name) if many else name

    def _adjectives(self, thing: Thing) -> list[str]:
        words = []
        if thing.size in SIZES and self._chance(0.3):
            words.append(self._pick(SIZES[thing.size]))
        if self._chance(0.85):
            words.append(thing.colour)
        if thing.pattern != "plain" and self._chance(0.6):
            words.append(thing.pattern)
        return words

    def describe(self, thing: Thing) -> str:
        """One thing: "a small red striped cat", now and then with its parts."""
        phrase = with_article(" ".join([*self._adjectives(thing), self._noun(thing.category)]))
        if thing.category in PARTS and thing.size != "small" and self._chance(0.3):
            part = PARTS[thing.category][0]
            phrase += f" with {NUMBERS[thing.parts]} {plural(part) if thing.parts > 1 else part}"
        return phrase

    def _many(self, numbers: list[int]) -> str:
        """Several things of one category: "two red cats"."""
        things = [self.scene.things[n] for n in numbers]
        words = [self._pick(("two", "two", "a couple of")) if len(things) == 2 else NUMBERS[min(6, len(things))]]
        if len({thing.colour for thing in things}) == 1 and self._chance(0.9):
            words.append(things[0].colour)
        return " ".join([*words, self._noun(things[0].category, many=True)])

    def mention(self, number: int, said: set[int]) -> str:
        """Name a thing, together with its like if there are several, and remember what was said."""
        thing = self.scene.things[number]
        like = [n for n in self.groups[thing.category] if n not in said]
        if len(like) > 1 and self._chance(0.75):
            said.update(like)
            return self._many(like)
        said.add(number)
        return self.describe(thing)

    def _ranking(self) -> list[int]:
        """The scene's things, most salient first, as this person sees it."""

        def salience(number):
            thing = self.scene.things[number]
            like = len(self.groups[thing.category]) > 1
            quiet = 0.6 if thing.category in ("table", "basket") else 1.0
            return thing.area**0.5 * (1.25 if like else 1.0) * quiet * self.random.uniform(0.75, 1.25)

        return sorted(range(len(self.scene.things)), key=salience, reverse=True)

    def _held(self):
        """A relation that is plain to see: something on a table, in a basket or in the air."""
        found = [n for n, thing in enumerate(self.scene.things) if thing.holder is not None]
        return self._pick(found) if found else None

    def speak(self) -> str:
        """One caption."""
        things, said, place = self.scene.things, set(), self._pick(PLACES[self.scene.place])
        order, held = self._ranking(), self._held()
        first = order[0]
        if held is not None and self._chance(0.5):
            holder = things[held].holder
            word = "in" if things[holder].category == "basket" else "on"
            verb = self._pick(("", "", "sitting ")) if word == "on" else ""
            return f"{self.describe(things[held])} {verb}{word} {self.describe(things[holder])}"
        start = self.mention(first, said)
        rest = [n for n in order[1:] if n not in said]
        style = self.random.random()
        if things[first].zone == "air" and style < 0.4:
            over = next((n for n in rest if things[n].zone != "air"), None)
            tail = f"over {self.mention(over, said)}" if over is not None else "in the sky"
            return f"{start} flying {tail}"
        if not rest or style < 0.2:
            return f"{start} {place}" if self._chance(0.7) else f"{self._there(start)} {place}"
        beside = rest[0]
        second = self.mention(beside, said)
        rest = [n for n in rest if n not in said]
        if style < 0.4:
            return f"{start} {self._side(first, beside, second)}"
        if style < 0.55 and rest:
            return f"{start} , {second} and {self.mention(rest[0], said)}"
        if style < 0.7:
            return f"{start} and {second}"
        return f"{start} and {second} {place}"

    def _there(self, start: str) -> str:
        one = start.startswith(("a ", "an ")) and not start.startswith("a couple")
        return f"there {'is' if one else 'are'} {start}"

    def _side(self, first: int, beside: int, second: str) -> str:
        """Where the first thing is beside the second."""
        mine, other = self.scene.things[first].box, self.scene.things[beside].box
        if mine[3] <= other[1] + 4:
            return f"above {second}"
        return self._pick(("next to", "beside", "near")) + f" {second}"


def write_captions(scene: Scene, random: np.random.Generator, people: int = 5) -> list[str]:
    """Captions of one scene by several people.

    Args:
        scene:  a scene with at least one thing.
        random: numpy generator.
        people: how many captions.

    Returns:
        ``people`` lower-case sentences that end in a full stop.

    >>> from updown_lab.datasets.picturebook.scenes import compose_scene
    >>> len(write_captions(compose_scene(np.random.default_rng(0)), np.random.default_rng(1)))
    5
    """
    speaker = Speaker(scene, random)
    return [speaker.speak() + " ." for _ in range(people)]
