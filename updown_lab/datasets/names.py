"""The classes and attributes a detector can say, and what people's free wording means in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from updown_lab.datasets.json_stream import HINT, need
from updown_lab.errors import DataInvalid, DataMissing


@dataclass(frozen=True)
class Names:
    """The classes and attributes that a detector can say, with ids from 0.

    Attributes:
        objects:       display name of each class.
        attributes:    display name of each attribute.
        object_ids:    every name of a class, synonyms too, to its id.
        attribute_ids: every name of an attribute, synonyms too, to its id.
    """

    objects: tuple[str, ...]
    attributes: tuple[str, ...]
    object_ids: dict[str, int]
    attribute_ids: dict[str, int]


def read_names(objects_vocab_path: Path | str, attributes_vocab_path: Path | str) -> Names:
    """Read ``objects_vocab.txt`` and ``attributes_vocab.txt``: one class a line, synonyms between commas.

    The first name of a line is the one shown; the others lead to the same id.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: an empty line (every id behind it would shift), or a name that stands on two lines.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "o.txt").write_text("yolk\\nstop sign,stopsign"), (folder / "a.txt").write_text("gray,grey")
    >>> names = read_names(folder / "o.txt", folder / "a.txt")
    >>> names.objects, names.object_ids["stopsign"], names.attribute_ids["grey"]
    (('yolk', 'stop sign'), 1, 0)
    """
    objects, object_ids = _read_vocabulary(objects_vocab_path)
    attributes, attribute_ids = _read_vocabulary(attributes_vocab_path)
    return Names(objects, attributes, object_ids, attribute_ids)


def _read_vocabulary(path: Path | str) -> tuple[tuple[str, ...], dict[str, int]]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataMissing(f"no file {path}; {HINT}") from None
    shown, ids = [], {}
    for number, line in enumerate(lines):
        synonyms = [clean_name(name) for name in line.split(",")]
        for name in synonyms:
            if not name:
                raise DataInvalid(f"{path}, line {number + 1}: an empty name in {line!r}; remove the line or the comma")
            if name in ids:
                raise DataInvalid(f"{path}, line {number + 1}: {name!r} also stands on line {ids[name] + 1}; keep one")
        shown.append(synonyms[0])
        ids.update(dict.fromkeys(synonyms, number))
    return tuple(shown), ids


def listed(entry: dict, key: str, place: str) -> Iterator[tuple[dict, str]]:
    """The objects of one photo's entry, each with its place for messages.

    >>> list(listed({"objects": [{"object_id": 5}]}, "objects", "objects.json, entry 1"))
    [({'object_id': 5}, 'objects.json, entry 1, object 1')]
    """
    for number, item in enumerate(need(entry, key, list, place), 1):
        spot = f"{place}, object {number}"
        if not isinstance(item, dict):
            raise DataInvalid(f"{spot}: expected an object, got {item!r:.60}")
        yield item, spot


def first_name(item: dict, spot: str) -> str:
    """The name that counts, as it was typed.

    >>> first_name({"names": ["White dog.", "animal"]}, "object 1")
    'White dog.'
    """
    given = need(item, "names", list, spot)
    if not given or not isinstance(given[0], str):
        raise DataInvalid(f"{spot}: 'names' should list at least one text, got {given!r:.60}")
    return given[0]


def labels_of(item: dict, spot: str) -> list[str]:
    """The attributes of an object, as they were typed; the key is missing when nobody named any.

    >>> labels_of({"attributes": ["red and white"]}, "object 1"), labels_of({}, "object 2")
    (['red and white'], [])
    """
    labels = item.get("attributes") or []
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise DataInvalid(f"{spot}: 'attributes' should list texts, got {labels!r:.60}")
    return labels


def clean_name(text: str) -> str:
    """Lower case, single spaces, no full stop behind.

    >>> clean_name(" White  dog. ")
    'white dog'
    """
    return " ".join(text.lower().split()).rstrip(". ")


def match_object(name: str, names: Names) -> tuple[int, tuple[int, ...]] | None:
    """The class that a cleaned name means, and the attributes that stand in front of it.

    A known name is itself ("hot dog"). Otherwise the longest known ending is the class if every single word before
    it is an attribute. The authors' script asks for 18 common adjectives instead; our choice needs no second list.

    Returns:
        (class id, attribute ids), or None if no class fits.

    >>> names = Names(("dog",), ("white", "big"), {"dog": 0}, {"white": 0, "big": 1})
    >>> match_object("big white dog", names), match_object("toy dog", names)
    ((0, (1, 0)), None)
    """
    words = name.split(" ")
    for start in range(len(words)):
        ending = " ".join(words[start:])
        if ending in names.object_ids and all(word in names.attribute_ids for word in words[:start]):
            return names.object_ids[ending], tuple(names.attribute_ids[word] for word in words[:start])
    return None


def split_attribute(text: str) -> list[str]:
    """The attributes of one label: "red and white" are two, "black and white" is one.

    >>> split_attribute("Red and white."), split_attribute("black and white")
    (['red', 'white'], ['black and white'])
    """
    text = clean_name(text)
    return [text] if text == "black and white" else text.split(" and ")
