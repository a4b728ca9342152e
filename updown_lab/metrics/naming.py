"""Which things does a caption name? Names of several words are read as one, and a phrase may name nothing."""

from collections.abc import Mapping, Sequence

from updown_lab.text import BAD_ENDINGS

LONGEST = 4  # words of a name: "glass of red wine"
_MARKS = ".,;:!?\"'()[]"


def plain(words: Sequence[str]) -> list[str]:
    """Words as word lists have them: lower case, without marks around them and without "'s". Places stay.

    >>> plain(["The", "dog's", "ball", "."])
    ['the', 'dog', 'ball', '']
    """
    return [word.lower().strip(_MARKS).removesuffix("'s") for word in words]


def named(words: Sequence[str], nouns: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """Every name of a category in a caption: (place of its last word, the name, the category), in order.

    Read from the left, the longest name first, each word once: a "baseball bat" is no ball and a "hot dog" no dog.

    Args:
        words: of the caption.
        nouns: {name: category}. A name that leads to "" names nothing, but takes its words ("bus stop"). A name
               "WORD *" that leads to "" takes WORD where something described follows: "orange *" in "an orange cat",
               but not in "an orange on a plate" or "a cut orange".

    >>> table = {"dog": "dog", "hot dog": "hot dog", "orange": "orange", "orange *": "", "bus": "bus", "bus stop": ""}
    >>> named("a hot dog beside an orange dog at the bus stop".split(), table)
    [(2, 'hot dog', 'hot dog'), (6, 'dog', 'dog')]
    """
    words = plain(words)
    found, place = [], 0
    while place < len(words):
        name = _name_at(words, place, nouns)
        place += name.count(" ") + 1
        if category := nouns.get(name):
            found.append((place - 1, name, category))
    return found


def _name_at(words: Sequence[str], place: int, nouns: Mapping[str, str]) -> str:
    """The longest name that begins here; "" if there is none."""
    for length in range(min(LONGEST, len(words) - place), 0, -1):
        name = " ".join(words[place : place + length])
        described = length == 1 and f"{name} *" in nouns and any(words[place + 1 : place + 2])
        if described and words[place + 1] not in BAD_ENDINGS:
            return ""
        if name in nouns:
            return name
    return ""
