"""Lists of classes and attributes from counts: hand-made files, counts done by hand."""

import json
import random
from collections import Counter

import pytest

from updown_lab.datasets.names import Names, match_object, read_names
from updown_lab.datasets.vocabularies import build_names, read_aliases, write_names
from updown_lab.errors import ConfigError, DataInvalid, DataMissing


@pytest.fixture
def build(tmp_path):
    """A function that counts {photo: names of objects} and {photo: labels}."""

    def run(photos, labels=None, aliases=None, **options):
        named = [{"image_id": photo, "objects": [{"object_id": n, "names": [name, "second name"]}
                                                 for n, name in enumerate(names)]}
                 for photo, names in photos.items()]  # fmt: skip
        said = [{"image_id": photo, "attributes": [{"object_id": 0, "attributes": texts}, {"object_id": 1}]}
                for photo, texts in (labels or {}).items()]  # fmt: skip
        (tmp_path / "objects.json").write_text(json.dumps(named))
        (tmp_path / "attributes.json").write_text(json.dumps(said))
        if aliases is not None:
            (tmp_path / "alias.txt").write_text(aliases)
            options["object_aliases"] = tmp_path / "alias.txt"
        return build_names(tmp_path / "objects.json", tmp_path / "attributes.json", **options)

    return run


def test_names_stand_in_falling_order_and_ties_in_the_alphabets(build):
    names = build(
        {1: ["dog", "cat", "Dog.", "bird"], 2: ["ape", "cat", " dog "]}, {1: ["red", "Big", "red"], 2: ["old"]}
    )

    assert names.objects == ("dog", "cat", "ape", "bird")  # 3, 2, 1, 1; second names do not count
    assert names.attributes == ("red", "big", "old")
    assert names.object_ids == {"dog": 0, "cat": 1, "ape": 2, "bird": 3}
    assert names.attribute_ids == {"red": 0, "big": 1, "old": 2}


def test_the_order_of_the_photos_changes_nothing(build):
    words = [f"thing{n % 7}" for n in range(40)]
    photos = {n: words[n * 4 : n * 4 + 4] for n in range(10)}
    backwards = {n: photos[n] for n in random.Random(3).sample(sorted(photos), 10)}

    assert build(photos, objects=5) == build(backwards, objects=5)
    assert build(photos, objects=5).objects == tuple(f"thing{n}" for n in range(5))  # 6 each of 0 to 4, 5 of the others


def test_only_as_many_as_asked_for(build):
    names = build({1: ["a1", "a1", "b1", "c1"]}, {1: ["red", "red", "blue"]}, objects=2, attributes=1)

    assert names.objects == ("a1", "b1") and names.attributes == ("red",)
    assert set(names.object_ids) == {"a1", "b1"} and set(names.attribute_ids) == {"red"}


def test_only_training_photos_count(build):
    objects, labels = {1: ["dog"], 2: ["cat", "cat"]}, {1: ["red"], 2: ["blue"]}

    names = build(objects, labels, only={1})

    assert (names.objects, names.attributes) == (("dog",), ("red",))
    with pytest.raises(DataInvalid, match="names no object in the 1 photos that count"):
        build(objects, labels, only=[3])


def test_common_adjectives_leave_the_name_and_count_as_attributes(build):
    objects = {1: ["white dog", "white dog", "big white dog", "hot dog", "white", "big"], 2: ["white"]}
    labels = {1: ["white"] * 4 + ["big"] * 5 + ["hot"] * 3}

    names = build(objects, labels, common=2)

    assert names.objects == ("dog", "white", "big", "hot dog")  # 3, 2, 1, 1; one word is a thing of its own
    assert names.attributes == ("white", "big", "hot")  # 4 + 3, 5 + 1, 3
    assert build(objects, labels, common=3).objects == ("dog", "white", "big")  # now "hot" is common, too


def test_the_lists_mean_what_was_counted(build):
    """Every object finds the class that it was counted for, when all classes are kept."""
    typed = ["white dog", "tall hot dog", "tv", "Hot dog.", "savers", "white saver"]

    names = build({1: typed}, {1: ["white", "tall"]}, "saver,savers\n", common=2)

    found = Counter(names.objects[match_object(name.lower().rstrip("."), names)[0]] for name in typed)
    assert found == {"dog": 1, "hot dog": 2, "tv": 1, "saver": 2}
    assert names.objects == ("hot dog", "saver", "dog", "tv")


def test_labels_are_split_on_and(build):
    names = build({1: ["dog"]}, {1: ["red and white", "Black and white", "red"]})

    assert names.attributes == ("red", "black and white", "white")


def test_synonyms_count_together_and_the_commonest_is_shown(build):
    objects = {1: ["petal", "petal", "white-flower petal", "tv", "telly", "television", "cat", "cat"]}

    names = build(objects, aliases="white-flower petal,petal\ntv,telly,television,tube\nlion,big cat\n")

    assert names.objects == ("petal", "television", "cat")  # 3, 3, 2; television, telly and tv stand once each
    assert names.object_ids == {
        "petal": 0, "white-flower petal": 0, "tv": 1, "telly": 1, "television": 1, "tube": 1, "cat": 2,
    }  # fmt: skip


def test_an_alias_of_several_words_stays_whole(build):
    names = build({1: ["white wine"]}, {1: ["white"] * 3}, "wine glass,white wine\n", common=1)

    assert names.object_ids == {"wine glass": 0, "white wine": 0}
    assert names.attributes == ("white",)


def test_a_name_on_two_alias_lines_belongs_to_the_upper_one(tmp_path):
    (tmp_path / "alias.txt").write_text("Lamp,light\n\nlight,lights,\nb,a\na,b\n")

    assert read_aliases(tmp_path / "alias.txt") == {
        "lamp": "lamp", "light": "lamp", "lights": "lamp", "b": "b", "a": "b",
    }  # fmt: skip
    with pytest.raises(DataMissing, match=r"none\.txt"):
        read_aliases(tmp_path / "none.txt")


@pytest.mark.parametrize("aliases", [None, "tv,telly\ncat,kitten,cats\n"])
def test_what_is_written_is_read_back(build, tmp_path, aliases):
    names = build(
        {1: ["tv", "telly", "telly", "cat", "red, big cat", "", " . ", "two\u2028lines"]}, {1: ["a, b", "old"]}, aliases
    )

    write_names(names, tmp_path / "lists")

    assert read_names(tmp_path / "lists/objects_vocab.txt", tmp_path / "lists/attributes_vocab.txt") == names
    assert "two lines" in names.objects and names.attributes == ("old",)  # a comma would make two of one
    assert not any("," in name for name in names.object_ids)


def test_lists_without_attributes_are_written_too(build, tmp_path):
    write_names(build({1: ["tv"]}), tmp_path)

    assert read_names(tmp_path / "objects_vocab.txt", tmp_path / "attributes_vocab.txt") == Names(
        ("tv",), (), {"tv": 0}, {}
    )


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (-1, 5)])
def test_a_list_of_nothing_is_refused(build, sizes):
    with pytest.raises(ConfigError, match="at least 1 name"):
        build({1: ["tv"]}, objects=sizes[0], attributes=sizes[1])


def test_a_wrong_entry_is_named(tmp_path):
    (tmp_path / "o.json").write_text(json.dumps([{"image_id": 1, "objects": [{"object_id": 1, "names": []}]}]))
    (tmp_path / "a.json").write_text("[]")

    with pytest.raises(DataInvalid, match=r"o\.json, entry 1, object 1: 'names' should list at least one text"):
        build_names(tmp_path / "o.json", tmp_path / "a.json")
    with pytest.raises(DataMissing, match=r"none\.json"):
        build_names(tmp_path / "o.json", tmp_path / "none.json")
