"""The detector's classes and attributes made from counts, for those who want other lists than the authors'."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from updown_lab.datasets.json_stream import HINT, need, stream_records
from updown_lab.datasets.names import Names, clean_name, first_name, labels_of, listed, split_attribute
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.files import atomic_path
from updown_lab.progress import progress

COMMON = 20  # "white", "black" … "pink": in Visual Genome the twenty commonest are colours, sizes and materials


def build_names(
    objects_json: Path | str,
    attributes_json: Path | str,
    objects: int = 1600,
    attributes: int = 400,
    object_aliases: Path | str | None = None,
    only: Collection[int] | None = None,
    common: int = COMMON,
) -> Names:
    """The commonest names of objects and attributes, synonyms together.

    "White dog" is a dog, or half of the classes would be colours: the commonest attributes in front of a name are
    taken off and counted as attributes. "Hot dog" stays whole, "hot" is not that common. (The authors wrote such
    adjectives down by hand; 18 of theirs are among the data's own 20 commonest.) Equal counts stand in the
    alphabet's order, so the same files always give the same lists.

    Args:
        objects_json:    ``objects.json``; the first of an object's names counts.
        attributes_json: ``attributes.json``.
        objects:         classes to keep; fewer if there are not so many names.
        attributes:      attributes to keep.
        object_aliases:  Visual Genome's ``object_alias.txt``: the names of one thing a line. The one that people
                         typed most often is shown.
        only:            numbers of the photos that count, normally those for training; None counts all.
        common:          how many of the commonest attributes are taken off the names.

    Returns:
        Names in falling order of their counts.

    Raises:
        ConfigError: a list of no names is asked for.
        DataMissing: a file is not there.
        DataInvalid: a file has a wrong entry, or none of the photos has an object.

    >>> import json, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> things = [{"object_id": n, "names": [name]} for n, name in enumerate(["white dog", "cat", "Dog."])]
    >>> _ = (folder / "o.json").write_text(json.dumps([{"image_id": 7, "objects": things}]))
    >>> labels = [{"object_id": 1, "attributes": ["white and red", "white"]}]
    >>> _ = (folder / "a.json").write_text(json.dumps([{"image_id": 7, "attributes": labels}]))
    >>> names = build_names(folder / "o.json", folder / "a.json", common=1)
    >>> names.objects, names.attributes
    (('dog', 'cat'), ('white', 'red'))
    """
    if objects < 1 or attributes < 1:
        raise ConfigError(f"a list needs at least 1 name, got {objects} objects and {attributes} attributes; "
                          "the paper has 1600 and 400")  # fmt: skip
    one_name = {} if object_aliases is None else read_aliases(object_aliases)
    attribute_counts = Counter(
        part
        for item, spot in _chosen(attributes_json, "attributes", only)
        for label in labels_of(item, spot)
        for part in split_attribute(label)
    )
    adjectives = set(_commonest(attribute_counts, common))
    typed: Counter[str] = Counter()
    for item, spot in _chosen(objects_json, "objects", only):
        before, thing = _split_name(clean_name(first_name(item, spot)), adjectives, one_name)
        typed[thing] += 1
        attribute_counts.update(before)
    things = _together(typed, one_name)
    ranked = sorted((-counts.total(), _commonest(counts, 1)[0], one) for one, counts in things.items())[:objects]
    if not ranked:
        among = "" if only is None else f" in the {len(only):,} photos that count"
        raise DataInvalid(f"{objects_json} names no object{among}; are these the numbers of its photos?")
    ids = {one: number for number, (_, _, one) in enumerate(ranked)}
    synonyms = {name: ids[one] for name, one in one_name.items() if one in ids}
    described = _commonest(attribute_counts, attributes)
    attribute_ids = {name: number for number, name in enumerate(described)}
    return Names(tuple(shown for _, shown, _ in ranked), described, ids | synonyms, attribute_ids)


def _chosen(path: Path | str, key: str, only: Collection[int] | None) -> Iterator[tuple[dict, str]]:
    """Objects of the photos that count, each with its place for messages."""
    wanted = None if only is None else frozenset(only)
    for number, entry in enumerate(progress(stream_records(path), f"counting {key}", unit="photo"), 1):
        place = f"{path}, entry {number}"
        if wanted is None or need(entry, "image_id", int, place) in wanted:
            yield from listed(entry, key, place)


def _split_name(name: str, adjectives: Collection[str], whole: Collection[str]) -> tuple[list[str], str]:
    """The adjectives in front, and the thing; one word always stays, and so do the names of ``whole``."""
    before: list[str] = []
    while name not in whole and " " in name and name.split(" ", 1)[0] in adjectives:
        word, name = name.split(" ", 1)
        before.append(word)
    return before, name


def _together(typed: Mapping[str, int], one_name: Mapping[str, str]) -> dict[str, Counter[str]]:
    """What was typed for each thing; a name with a comma would be two in the file, so it is left out."""
    things: dict[str, Counter[str]] = {}
    for name, count in typed.items():
        if name and "," not in name:
            things.setdefault(one_name.get(name, name), Counter())[name] = count
    return things


def _commonest(counts: Mapping[str, int], size: int) -> tuple[str, ...]:
    """The names of the highest counts."""
    able = (name for name in counts if name and "," not in name)
    return tuple(sorted(able, key=lambda name: (-counts[name], name))[:size])


def read_aliases(path: Path | str) -> dict[str, str]:
    """Every name of an alias file to the first of its line; a name on two lines belongs to the upper one.

    Raises:
        DataMissing: there is no such file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "object_alias.txt"
    >>> _ = path.write_text("saver,savers\\nlamp,light\\nlight,lights\\n")
    >>> read_aliases(path)
    {'saver': 'saver', 'savers': 'saver', 'lamp': 'lamp', 'light': 'lamp', 'lights': 'lamp'}
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataMissing(f"no file {path}; {HINT}") from None
    one_name: dict[str, str] = {}
    for line in lines:
        names = [name for name in map(clean_name, line.split(",")) if name]
        for name in names:
            one_name.setdefault(name, one_name.get(names[0], names[0]))
    return one_name


def write_names(names: Names, folder: Path | str) -> None:
    """Write ``objects_vocab.txt`` and ``attributes_vocab.txt``, which ``read_names`` reads back.

    Args:
        names:  to write.
        folder: where to; files that are there are replaced.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_names(Names(("tv",), ("red",), {"tv": 0, "telly": 0}, {"red": 0}), folder)
    >>> (folder / "objects_vocab.txt").read_text()
    'tv,telly\\n'
    """
    _write_vocabulary(Path(folder) / "objects_vocab.txt", names.objects, names.object_ids)
    _write_vocabulary(Path(folder) / "attributes_vocab.txt", names.attributes, names.attribute_ids)


def _write_vocabulary(path: Path, shown: Iterable[str], ids: Mapping[str, int]) -> None:
    lines = [[name] for name in shown]
    for name, number in ids.items():
        if name != lines[number][0]:
            lines[number].append(name)
    with atomic_path(path) as draft:
        draft.write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")
