"""Questions about the scenes: three answer types, ten annotators, every question a balanced pair.

A question is kept only together with the same question on another picture that has a
different answer (Goyal et al. 2017), so that the words alone do not tell the answer.
Questions that need two objects at once are the ``hard`` kinds; the model of the paper
looks once and cannot compare, so they are scored apart.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from updown_lab.datasets.picturebook.captions import names_of, plural
from updown_lab.datasets.picturebook.scenes import Scene
from updown_lab.datasets.picturebook.sprites import CATEGORIES, COLOURS, PARTS, PATTERNS

#: kind -> (answer type, share of the questions)
KINDS = {
    "exists": ("yes/no", 0.16), "is colour": ("yes/no", 0.1), "is pattern": ("yes/no", 0.1),
    "parts": ("number", 0.14), "how many": ("number", 0.14),
    "what colour": ("other", 0.14), "what pattern": ("other", 0.08), "what is colour": ("other", 0.09),
    "where": ("other", 0.05),
}  # fmt: skip
HARD_KINDS = {"left of": ("yes/no", 0.4), "holds": ("other", 0.3), "more": ("yes/no", 0.3)}
CONFUSED = {"red": "orange", "orange": "yellow", "yellow": "orange", "purple": "blue", "pink": "purple",
            "blue": "purple", "green": "blue", "white": "yellow"}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """A question on one picture, with its true answer and what ten people said."""

    image: int
    kind: str
    text: str
    answer: str
    answer_type: str
    answers: tuple[str, ...]


def facts(scene: Scene) -> Iterable[tuple[tuple, str]]:
    """All (question key, answer) pairs that one scene answers with one glimpse.

    A key is (kind, words…); the same key on two scenes is the same question.
    """
    counts = Counter(thing.category for thing in scene.things)
    yield ("where",), scene.place
    for category in CATEGORIES:
        if counts[category] <= 4:
            yield ("how many", category), str(counts[category])
    seen = {(thing.colour, thing.category) for thing in scene.things}
    for category in counts:
        for colour in COLOURS:
            yield ("exists", colour, category), "yes" if (colour, category) in seen else "no"
    for colour in {thing.colour for thing in scene.things}:
        for category in CATEGORIES:
            if category not in counts:
                yield ("exists", colour, category), "no"
    for thing in scene.things:
        if counts[thing.category] == 1:
            yield from _facts_of_one(thing)
    by_colour = Counter(thing.colour for thing in scene.things)
    for thing in scene.things:
        if by_colour[thing.colour] == 1:
            yield ("what is colour", thing.colour), thing.category


def _facts_of_one(thing) -> Iterable[tuple[tuple, str]]:
    """What can be asked of the only thing of its category."""
    yield ("what colour", thing.category), thing.colour
    for colour in COLOURS:
        yield ("is colour", thing.category, colour), "yes" if colour == thing.colour else "no"
    if thing.size != "small":
        yield ("what pattern", thing.category), thing.pattern
        for pattern in PATTERNS:
            yield ("is pattern", thing.category, pattern), "yes" if pattern == thing.pattern else "no"
        if thing.category in PARTS:
            yield ("parts", thing.category), str(thing.parts)


def hard_facts(scene: Scene) -> Iterable[tuple[tuple, str]]:
    """Questions that need two objects: position, holding, comparing counts."""
    counts = Counter(thing.category for thing in scene.things)
    single = [thing for thing in scene.things if counts[thing.category] == 1]
    for thing in single:
        for other in single:
            if thing.box[2] < other.box[0] or other.box[2] < thing.box[0]:
                yield ("left of", thing.category, other.category), "yes" if thing.box[2] < other.box[0] else "no"
    held = defaultdict(list)
    for thing in scene.things:
        if thing.holder is not None:
            held[thing.holder].append(thing.category)
    for holder, things in held.items():
        if len(things) == 1 and counts[scene.things[holder].category] == 1:
            yield ("holds", scene.things[holder].category), things[0]
    for category in counts:
        for other in counts:
            if counts[category] != counts[other]:
                yield ("more", category, other), "yes" if counts[category] > counts[other] else "no"


def phrase(key: tuple, random: np.random.Generator) -> str:
    """Put a key into words, with some variety."""
    kind, *words = key
    if kind == "where":
        options = ("where is this ?", "what place is this ?")
    elif kind == "exists":
        options = (f"is there a {words[0]} {{{words[1]}}} ?", f"do you see a {words[0]} {{{words[1]}}} ?")
    elif kind == "is colour":
        options = (f"is the {{{words[0]}}} {words[1]} ?",)
    elif kind == "is pattern":
        options = (f"is the {{{words[0]}}} {words[1]} ?", f"does the {{{words[0]}}} look {words[1]} ?")
    elif kind == "parts":
        part = PARTS[words[0]][0]
        options = (f"how many {plural(part)} does the {{{words[0]}}} have ?",)
    elif kind == "how many":
        options = (f"how many {plural(words[0])} are there ?", f"how many {plural(words[0])} do you see ?")
    elif kind == "what colour":
        options = (f"what color is the {{{words[0]}}} ?", f"what is the color of the {{{words[0]}}} ?")
    elif kind == "what pattern":
        options = (f"what pattern does the {{{words[0]}}} have ?",)
    elif kind == "what is colour":
        options = (f"what is {words[0]} ?", f"what {words[0]} thing is there ?")
    elif kind == "left of":
        options = (f"is the {{{words[0]}}} left of the {{{words[1]}}} ?",)
    elif kind == "holds":
        options = (f"what is {'in' if words[0] == 'basket' else 'on'} the {words[0]} ?",)
    else:
        options = (f"are there more {plural(words[0])} than {plural(words[1])} ?",)
    text = options[random.integers(len(options))]
    for category in CATEGORIES:
        if f"{{{category}}}" in text:
            names = names_of(category)
            name = names[0] if random.random() < 0.8 else names[random.integers(len(names))]
            text = text.replace(f"{{{category}}}", name)
    return text


def annotate(answer: str, answer_type: str, random: np.random.Generator) -> tuple[str, ...]:
    """What ten people answer when the truth is ``answer``; at least six are right.

    >>> annotate("yes", "yes/no", np.random.default_rng(0)).count("yes") >= 6
    True
    """
    said = [answer] * 10
    for person in range(4):  # only four may stray, so the true answer keeps the full score
        if answer_type == "yes/no" and random.random() < 0.04:
            said[person] = "no" if answer == "yes" else "yes"
        elif answer_type == "number" and random.random() < 0.12:
            said[person] = str(max(0, int(answer) + (1 if random.random() < 0.5 else -1)))
        elif answer in CONFUSED and random.random() < 0.12:
            said[person] = CONFUSED[answer]
        elif answer in CATEGORIES and random.random() < 0.2:
            said[person] = names_of(answer)[-1]
    return tuple(said[n] for n in random.permutation(10))


def ask(scenes: Sequence[Scene], total: int, random: np.random.Generator, kinds=None, source=facts) -> list[Question]:
    """Balanced pairs of questions over a split.

    Args:
        scenes: the split's scenes.
        total:  about how many questions to ask; two for each pair.
        random: numpy generator.
        kinds:  {kind: (answer type, share)}; default ``KINDS``.
        source: ``facts`` or ``hard_facts``.

    Returns:
        Questions, the two of a pair beside each other.

    >>> from updown_lab.datasets.picturebook.scenes import compose_scene
    >>> scenes = [compose_scene(np.random.default_rng(n)) for n in range(6)]
    >>> pair = ask(scenes, 40, np.random.default_rng(0))[:2]
    >>> pair[0].text == pair[1].text, pair[0].answer == pair[1].answer
    (True, False)
    """
    kinds = kinds or KINDS
    table: dict[str, dict[tuple, dict[str, list[int]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for number, scene in enumerate(scenes):
        for key, answer in source(scene):
            table[key[0]][key][answer].append(number)
    questions: list[Question] = []
    for kind, (answer_type, share) in kinds.items():
        keys = sorted(key for key, answers in table[kind].items() if len(answers) > 1)
        for _ in range(round(total * share / 2) if keys else 0):
            key = keys[random.integers(len(keys))]
            answers = table[kind][key]
            possible = sorted(answers)
            weights = np.sqrt([len(answers[answer]) for answer in possible])  # rare answers lean on few pictures
            pair = random.choice(possible, 2, replace=False, p=weights / weights.sum())
            text = phrase(key, random)
            for answer in map(str, pair):
                image = answers[answer][random.integers(len(answers[answer]))]
                said = annotate(answer, answer_type, random)
                questions.append(Question(image, kind, text, answer, answer_type, said))
    return questions
