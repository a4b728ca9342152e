"""Nobody may say what is not there: every caption is taken apart word by word and held against the truth."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from updown_lab.datasets.picturebook.captions import noun_words, with_article, write_captions

# The words people may use, by hand and apart from the library's tables.
COLOURS = {"red", "orange", "yellow", "green", "blue", "purple", "pink", "white"}
SIZES = {"small": "small", "little": "small", "tiny": "small", "large": "large", "big": "large"}
PATTERNS = {"striped", "spotted"}
COUNTS = {"a": 1, "an": 1, "two": 2, "a couple of": 2, "three": 3, "four": 4, "five": 5, "six": 6}
PARTS = {"candle": "cake", "window": "house", "sail": "boat"}
PLACES = {
    "in a meadow": "meadow", "on the grass": "meadow", "in a field": "meadow",
    "on the beach": "beach", "on the sand": "beach", "by the sea": "beach",
    "by a lake": "lake", "near the water": "lake", "at the lake": "lake",
    "in a room": "room", "on a wooden floor": "room", "inside": "room",
}  # fmt: skip
ADJECTIVE = "|".join([*COLOURS, *SIZES, *PATTERNS])
PART = rf"(?: with (?P<parts>one|two|three|four) (?P<part>{'|'.join(PARTS)})s?)?"
PHRASE = re.compile(
    r"(?P<count>a couple of|an?|two|three|four|five|six) "
    rf"(?P<adjectives>(?:(?:{ADJECTIVE}) )*)(?:pine )?(?P<noun>[a-z]+)" + PART
)
GLUE = {"", ",", "and", "there is", "there are", "in", "on", "sitting on", "above", "next to", "beside", "near",
        "flying over", "flying in the sky"}  # fmt: skip


@dataclass
class Phrase:
    """One "two small red cats" of a caption and the things of the scene that it can mean."""

    count: int
    category: str
    adjectives: list[str]
    things: list


def matches(thing, words: list[str], part: str | None, parts: str | None) -> bool:
    """Is every word true of this thing?"""
    for word in words:
        shown = thing.colour if word in COLOURS else thing.pattern if word in PATTERNS else thing.size
        if shown != SIZES.get(word, word):
            return False
    return part is None or (PARTS[part] == thing.category and COUNTS.get(parts, 1) == thing.parts)


def take_apart(caption: str, scene, nouns) -> tuple[list[Phrase], list[str], list[str]]:
    """Phrases, the glue between them and the places named; fails on a word that nobody should say."""
    assert caption == caption.lower() and caption.endswith(" .")
    rest, places = caption.removesuffix(" ."), []
    for words, place in PLACES.items():
        if re.search(rf"\b{words}$", rest):
            rest = re.sub(rf" ?\b{words}$", "", rest)
            places.append(place)
    phrases = []
    for found in PHRASE.finditer(rest):
        words, category = found["adjectives"].split(), nouns.get(found["noun"])
        assert category, f"{found['noun']!r} names no thing in {caption!r}"
        fitting = [thing for thing in scene.things
                   if thing.category == category and matches(thing, words, found["part"], found["parts"])]  # fmt: skip
        phrases.append(Phrase(COUNTS[found["count"]], category, words, fitting))
    glue = [part.strip() for part in PHRASE.split(rest)[:: PHRASE.groups + 1]]
    assert set(glue) <= GLUE, f"{set(glue) - GLUE} in {caption!r}"
    return phrases, glue, places


@pytest.fixture(scope="module")
def told(pages, nouns):
    """(scene, caption, phrases, glue, places) of five captions of every scene."""
    return [
        (page.scene, caption, *take_apart(caption, page.scene, nouns))
        for seed, page in enumerate(pages)
        for caption in write_captions(page.scene, np.random.default_rng([seed, 1]))
    ]


def test_the_nouns_of_the_library_are_the_nouns_listed_by_hand(nouns):
    assert noun_words() == nouns


def test_every_phrase_is_true_of_as_many_things_as_it_says(told):
    for _, caption, phrases, _, _ in told:
        assert phrases
        for phrase in phrases:
            assert len(phrase.things) >= phrase.count, f"no {phrase} for {caption!r}"


def test_a_caption_counts_no_more_things_of_a_category_than_there_are(told):
    for scene, caption, phrases, _, _ in told:
        said = Counter()
        for phrase in phrases:
            said[phrase.category] += phrase.count
        there = Counter(thing.category for thing in scene.things)
        assert all(said[category] <= there[category] for category in said), caption


def test_a_count_above_one_is_the_whole_count_where_the_category_is_named_once(told):
    for scene, caption, phrases, _, _ in told:
        named = Counter(phrase.category for phrase in phrases)
        for phrase in phrases:
            if phrase.count > 1 and named[phrase.category] == 1:
                assert phrase.count == sum(thing.category == phrase.category for thing in scene.things), caption


def test_the_place_named_is_the_scene_s_place(told):
    named = [(scene.place, places) for scene, _, _, _, places in told if places]

    assert {place for place, _ in named} == {"meadow", "beach", "lake", "room"}
    assert all(places == [place] for place, places in named)


def test_in_and_on_name_what_holds_the_thing(told):
    seen = set()
    for scene, caption, phrases, glue, _ in told:
        for word in {"in", "on", "sitting on"} & set(glue):
            held, holder = phrases
            seen.add(word)
            pairs = [(thing, scene.things[thing.holder]) for thing in held.things if thing.holder is not None]
            assert any(below in holder.things for _, below in pairs), caption
            assert holder.category == ("basket" if word == "in" else "table"), caption
    assert seen == {"in", "on", "sitting on"}


def test_above_is_said_of_what_ends_where_the_other_begins(told):
    """Four pixels of overlap are forgiven, as people forgive them."""
    above = [row for row in told if "above" in row[3]]

    assert above
    for _, caption, (upper, lower), _, _ in above:
        heights = [(one.box[3], other.box[1]) for one in upper.things for other in lower.things]
        assert any(base <= top + 4 for base, top in heights), caption


def test_only_what_is_in_the_air_flies(told):
    flying = [row for row in told if any(part.startswith("flying") for part in row[3])]

    assert flying
    for _, caption, phrases, _, _ in flying:
        assert any(thing.zone == "air" for thing in phrases[0].things), caption


def test_is_and_are_agree_with_the_number(told):
    for _, caption, phrases, glue, _ in told:
        if glue[0]:
            assert glue[0] == ("there is" if phrases[0].count == 1 else "there are"), caption


def test_plurals_and_articles_are_grammatical(told):
    for _, caption, _, _, _ in told:
        for article, letter in re.findall(r"\b(an?) ([a-z])", caption):
            assert article == ("an" if letter in "aeiou" else "a"), caption
        for count, noun in re.findall(rf"\b(an?|two|three|four) (?:(?:{ADJECTIVE}) )*(?:pine )?([a-z]+)", caption):
            if noun not in ("couple", "fish") and not noun.startswith("pine"):
                assert noun.endswith("s") == (count not in ("a", "an")), caption


def test_five_people_do_not_say_the_same(pages):
    different = [len(set(write_captions(page.scene, np.random.default_rng([seed, 1]))))
                 for seed, page in enumerate(pages)]  # fmt: skip

    assert min(different) >= 2
    assert np.mean(different) > 4.5


def test_some_words_are_left_out_and_synonyms_are_used(told):
    text = " ".join(caption for _, caption, _, _, _ in told).split()

    assert {"kitten", "mug", "cottage", "parasol", "sailboat"} & set(text)
    assert any(len(phrase.adjectives) == 0 for row in told for phrase in row[2])


def test_captions_depend_on_the_scene_and_the_seed_alone(pages):
    scene = pages[3].scene

    first, second, other = (write_captions(scene, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert first == second != other


@pytest.mark.parametrize("people", [1, 5, 7])
def test_as_many_captions_as_people(pages, people):
    assert len(write_captions(pages[0].scene, np.random.default_rng(0), people)) == people


@pytest.mark.parametrize(("noun", "expected"), [("orange cat", "an orange cat"), ("umbrella", "an umbrella"),
                                                ("red apple", "a red apple")])  # fmt: skip
def test_articles_by_hand(noun, expected):
    assert with_article(noun) == expected
