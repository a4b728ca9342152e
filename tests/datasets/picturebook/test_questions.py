"""Every question is read as a person reads it and answered again by looking at the list of things."""

import re
from collections import Counter

import numpy as np
import pytest

from updown_lab.datasets.picturebook.questions import HARD_KINDS, KINDS, annotate, ask, facts, hard_facts

COLOURS = "red|orange|yellow|green|blue|purple|pink|white"
PATTERNS = "plain|striped|spotted"
NOUN = r"(?:pine )?([a-z]+)"
#: What a question of each kind may sound like; the groups are the words that matter.
SOUNDS = {
    "where": r"where is this|what place is this",
    "exists": rf"(?:is there|do you see) an? ({COLOURS}) {NOUN}",
    "is colour": rf"is the {NOUN} ({COLOURS})",
    "is pattern": rf"(?:is|does) the {NOUN} (?:look )?({PATTERNS})",
    "parts": rf"how many (candles|windows|sails) does the {NOUN} have",
    "how many": rf"how many {NOUN} (?:are there|do you see)",
    "what colour": rf"what (?:color is|is the color of) the {NOUN}",
    "what pattern": rf"what pattern does the {NOUN} have",
    "what is colour": rf"what is ({COLOURS})|what ({COLOURS}) thing is there",
    "left of": rf"is the {NOUN} left of the {NOUN}",
    "holds": r"what is (?:in|on) the (basket|table)",
    "more": rf"are there more {NOUN} than {NOUN}",
}


class Looker:
    """Answers a question from the words and the scene's list of things, one look at a time."""

    def __init__(self, scene, nouns):
        self.scene, self.nouns = scene, nouns

    def all(self, noun: str) -> list:
        return [thing for thing in self.scene.things if thing.category == self.nouns[noun]]

    def the(self, noun: str):
        """The only one: "the cat" means nothing where there are two."""
        [thing] = self.all(noun)
        return thing

    def answer(self, kind: str, text: str) -> str:
        words = re.fullmatch(rf"(?:{SOUNDS[kind]}) \?", text)
        assert words, f"{text!r} does not sound like {kind!r}"
        words = [word for word in words.groups() if word]
        return getattr(self, "_" + kind.replace(" ", "_"))(*words)

    def _where(self):
        return self.scene.place

    def _exists(self, colour, noun):
        return "yes" if any(thing.colour == colour for thing in self.all(noun)) else "no"

    def _is_colour(self, noun, colour):
        return "yes" if self.the(noun).colour == colour else "no"

    def _is_pattern(self, noun, pattern):
        return "yes" if self.the(noun).pattern == pattern else "no"

    def _parts(self, part, noun):
        assert self.nouns[noun] == {"candles": "cake", "windows": "house", "sails": "boat"}[part]
        return str(self.the(noun).parts)

    def _how_many(self, noun):
        return str(len(self.all(noun)))

    def _what_colour(self, noun):
        return self.the(noun).colour

    def _what_pattern(self, noun):
        return self.the(noun).pattern

    def _what_is_colour(self, colour):
        [thing] = [thing for thing in self.scene.things if thing.colour == colour]
        return thing.category

    def _left_of(self, noun, other):
        mine, yours = self.the(noun).box, self.the(other).box
        assert mine[2] <= yours[0] or yours[2] <= mine[0], "neither is clearly left of the other"
        return "yes" if mine[0] + mine[2] < yours[0] + yours[2] else "no"  # by their middles

    def _holds(self, noun):
        place = self.scene.things.index(self.the(noun))
        [held] = [thing for thing in self.scene.things if thing.holder == place]
        return held.category

    def _more(self, noun, other):
        mine, yours = len(self.all(noun)), len(self.all(other))
        assert mine != yours and min(mine, yours) > 0
        return "yes" if mine > yours else "no"


@pytest.fixture(scope="module")
def scenes(pages):
    return [page.scene for page in pages]


@pytest.fixture(scope="module")
def easy(scenes):
    return ask(scenes, 1000, np.random.default_rng(0))


@pytest.fixture(scope="module")
def hard(scenes):
    return ask(scenes, 300, np.random.default_rng(1), HARD_KINDS, hard_facts)


def test_every_answer_is_what_a_slow_look_at_the_scene_gives(scenes, easy, hard, nouns):
    for question in easy + hard:
        seen = Looker(scenes[question.image], nouns).answer(question.kind, question.text)
        assert question.answer == seen, question


def test_the_two_of_a_pair_differ_in_picture_and_answer_alone(easy, hard):
    for questions in (easy, hard):
        for one, other in zip(questions[::2], questions[1::2], strict=True):
            assert (one.kind, one.text, one.answer_type) == (other.kind, other.text, other.answer_type)
            assert one.answer != other.answer and one.image != other.image


def test_saying_yes_to_everything_is_right_half_the_time(easy, hard):
    for kind in ("exists", "is colour", "is pattern", "left of", "more"):
        answers = Counter(question.answer for question in easy + hard if question.kind == kind)
        assert answers["yes"] == answers["no"] > 0, kind


def test_kinds_have_their_shares(easy, hard):
    """1000 questions in pairs, by hand: 16 % exists are 160, 10 % is colour are 100, and so on."""
    counts = Counter(question.kind for question in easy)

    assert counts == {
        "exists": 160, "is colour": 100, "is pattern": 100, "parts": 140, "how many": 140, "what colour": 140,
        "what pattern": 80, "what is colour": 90, "where": 50,
    }  # fmt: skip
    assert Counter(question.kind for question in hard) == {"left of": 120, "holds": 90, "more": 90}
    assert sum(share for _, share in KINDS.values()) == pytest.approx(1)
    assert sum(share for _, share in HARD_KINDS.values()) == pytest.approx(1)


def test_answer_types_fit_the_answers(easy, hard):
    for question in easy + hard:
        assert (question.answer_type == "yes/no") == (question.answer in ("yes", "no"))
        assert (question.answer_type == "number") == question.answer.isdecimal()


def test_hard_questions_are_of_other_kinds_than_the_easy_ones(scenes):
    easy = {key[0] for scene in scenes for key, _ in facts(scene)}
    hard = {key[0] for scene in scenes for key, _ in hard_facts(scene)}

    assert easy == set(KINDS) and hard == set(HARD_KINDS) and not easy & hard


@pytest.mark.parametrize("source", [facts, hard_facts])
def test_a_scene_answers_a_question_in_one_way(scenes, source):
    for scene in scenes:
        found = {}
        for key, answer in source(scene):
            assert found.setdefault(key, answer) == answer, key


def test_ten_people_answer_and_six_of_them_are_right(easy, hard):
    for question in easy + hard:
        assert len(question.answers) == 10
        assert question.answers.count(question.answer) >= 6


@pytest.mark.parametrize(
    ("answer", "answer_type", "allowed"),
    [("yes", "yes/no", {"yes", "no"}), ("no", "yes/no", {"yes", "no"}), ("0", "number", {"0", "1"}),
     ("3", "number", {"2", "3", "4"}), ("red", "other", {"red", "orange"}), ("cup", "other", {"cup", "mug"}),
     ("meadow", "other", {"meadow"})],
)  # fmt: skip
def test_people_who_stray_stray_plausibly_and_rarely(answer, answer_type, allowed):
    """Four of ten may stray, with a chance of at most 0.2 each: eight in a hundred at most."""
    random = np.random.default_rng(0)

    said = Counter(word for _ in range(300) for word in annotate(answer, answer_type, random))

    assert set(said) == allowed
    assert said[answer] > 0.9 * 3000


def test_people_who_stray_stand_anywhere_in_the_row():
    random = np.random.default_rng(0)
    rows = [annotate("3", "number", random) for _ in range(300)]

    places = {place for row in rows for place, word in enumerate(row) if word != "3"}

    assert places == set(range(10))


def test_questions_depend_on_the_seed_alone(scenes):
    first, second, other = (ask(scenes[:20], 60, np.random.default_rng(seed)) for seed in (3, 3, 4))

    assert first == second != other


def test_one_picture_cannot_make_a_pair(scenes):
    assert ask(scenes[:1], 100, np.random.default_rng(0)) == []
