"""What the library's own readers find in the official files is what was drawn."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from updown_lab.config import WorldConfig
from updown_lab.datasets.coco import read_coco_captions, read_karpathy
from updown_lab.datasets.names import read_names
from updown_lab.datasets.picturebook import COLOUR_NAMES, Paths, make_picturebook, world
from updown_lab.datasets.picturebook.sprites import CATEGORIES
from updown_lab.datasets.visual_genome import read_visual_genome
from updown_lab.datasets.vqa import read_vqa

#: Fifty pictures, from where on several workers draw; so many questions that test and hard ones share pictures.
SIZES = {"train_images": 36, "validation_images": 4, "test_images": 10, "crops": 6, "questions_per_image": 30}
COUNTS = {"train": 36, "val": 4, "test": 10}
HARD = {"left of", "holds", "more"}


@dataclass
class Book:
    """A written world beside what its makers handed over while it was written."""

    paths: Paths
    scenes: list = field(default_factory=list)
    captions: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def drawn(self):
        """(split, image id, scene, captions) of every picture, ids counted by hand."""
        ids = [(split, start + number) for split, start in (("train", 1), ("val", 100_001), ("test", 200_001))
               for number in range(COUNTS[split])]  # fmt: skip
        return [(*name, scene, said) for name, scene, said in zip(ids, self.scenes, self.captions, strict=True)]


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Book:
    made = Book(Paths(tmp_path_factory.mktemp("book")))

    def remember(name, into):
        make = getattr(world, name)

        def made_and_kept(*arguments, **options):
            into.append(make(*arguments, **options))
            return into[-1]

        return made_and_kept

    with pytest.MonkeyPatch.context() as patch:
        for name, into in (("compose_scene", made.scenes), ("write_captions", made.captions), ("ask", made.asked)):
            patch.setattr(world, name, remember(name, into))
        make_picturebook(made.paths.root, WorldConfig(**SIZES), seed=3, workers=1)
    return made


@pytest.fixture(scope="module")
def names(book):
    return read_names(book.paths.genome("objects_vocab.txt"), book.paths.genome("attributes_vocab.txt"))


def read_questions(book, split: str):
    return read_vqa(book.paths.questions(split), book.paths.answers(split))


def test_karpathy_file_tells_pictures_splits_and_captions(book):
    records = read_karpathy(book.paths.karpathy, book.paths.root)

    assert Counter(record.split for record in records) == COUNTS
    assert [(record.split, record.image_id, list(record.captions)) for record in records] == [
        (split, image_id, said) for split, image_id, _, said in book.drawn()
    ]
    assert all(len(record.captions) == 5 and record.file.exists() for record in records)


def test_karpathy_tokens_are_the_words_of_the_sentence(book):
    images = json.loads(book.paths.karpathy.read_text())["images"]
    sentences = [sentence for image in images for sentence in image["sentences"]]

    assert len({sentence["sentid"] for sentence in sentences}) == 50 * 5
    for sentence in sentences:
        assert sentence["tokens"] == [word for word in sentence["raw"].split() if word.isalpha()]


def test_coco_files_tell_the_same_as_karpathy_s(book):
    whole = read_karpathy(book.paths.karpathy, book.paths.root)
    for split in COUNTS:
        records = read_coco_captions(book.paths.root / f"annotations/captions_{split}.json", book.paths.images)

        wanted = [record for record in whole if record.split == split]
        assert [(one.image_id, one.file, one.captions) for one in records] == [
            (one.image_id, one.file, one.captions) for one in wanted
        ]


def test_saved_pictures_are_the_drawn_ones(book):
    """JPEG at quality 95 loses about two grey levels of the noise."""
    assert len(list(book.paths.images.iterdir())) == 50
    for _, image_id, scene, _ in book.drawn():
        with Image.open(book.paths.images / f"{image_id}.jpg") as saved:
            assert saved.size == (128, 128)
            assert np.abs(np.asarray(saved, float) - np.asarray(scene.image, float)).mean() < 3


def hand_attributes(thing) -> set[str]:
    """Colour and pattern always; sizes but not "medium"; parts in words."""
    words = {thing.colour, thing.pattern, thing.size} - {"medium"}
    return words | {{1: "one", 2: "two", 3: "three", 4: "four"}[thing.parts]} if thing.parts else words


@pytest.mark.parametrize("sizes", ["image_data.json", None])
def test_visual_genome_files_tell_boxes_classes_and_attributes(book, names, sizes):
    genome = book.paths.genome

    records, cleaning = read_visual_genome(
        genome("objects.json"), genome("attributes.json"), book.paths.images, names, sizes and genome(sizes)
    )

    silent = 0
    for record, (split, image_id, scene, _) in zip(records, book.drawn(), strict=True):
        assert (record.image_id, record.width, record.height) == (image_id, 128, 128)
        assert record.boxes.tolist() == [list(thing.box) for thing in scene.things]
        assert [names.objects[number] for number in record.classes] == [thing.category for thing in scene.things]
        for thing, numbers in zip(scene.things, record.attributes, strict=True):
            assert {names.attributes[number] for number in numbers} in (hand_attributes(thing), set())
            assert numbers or split == "train", "attributes are only kept back in training"
            silent += not numbers
    things = sum(len(scene.things) for _, _, scene, _ in book.drawn())
    assert cleaning.objects_kept == cleaning.objects_seen == things
    assert cleaning.clipped_boxes == cleaning.unknown_attributes == 0
    assert 0 < silent < 0.1 * things  # 4 % are meant to be


def test_vocabularies_list_categories_with_synonyms_and_all_attributes(names):
    assert names.objects == CATEGORIES
    assert names.object_ids["kitten"] == names.object_ids["cat"]
    assert set(names.attributes) == {*COLOUR_NAMES, "plain", "striped", "spotted", "small", "large",
                                     "one", "two", "three", "four"}  # fmt: skip


def test_relationships_tell_who_holds_what(book):
    entries = json.loads(book.paths.genome("relationships.json").read_text())
    found = 0
    for entry, (_, image_id, scene, _) in zip(entries, book.drawn(), strict=True):
        held = [(thing, scene.things[thing.holder]) for thing in scene.things if thing.holder is not None]
        assert entry["image_id"] == image_id
        assert [(row["subject"]["names"], row["predicate"], row["object"]["names"]) for row in entry["relationships"]] \
            == [([thing.category], {"basket": "in", "table": "on"}[holder.category], [holder.category])
                for thing, holder in held]  # fmt: skip
        found += len(held)
    assert found


def test_object_numbers_are_unique(book):
    entries = json.loads(book.paths.genome("objects.json").read_text())
    numbers = [row["object_id"] for entry in entries for row in entry["objects"]]

    assert len(numbers) == len(set(numbers))


def test_questions_are_read_as_they_were_asked(book):
    """``ask`` is called once for every file: training, validation, test and, on the test pictures, hard."""
    first_ids = {"train": 1, "val": 100_001, "test": 200_001, "hard": 200_001}
    for split, asked in zip(first_ids, book.asked, strict=True):
        records = read_questions(book, split)
        assert len(records) == len(asked) > 0
        for record, question in zip(records, asked, strict=True):
            assert record.image_id == first_ids[split] + question.image
            assert (record.question, record.question_type) == (question.text, question.kind)
            assert (record.answer, record.answer_type) == (question.answer, question.answer_type)
            assert record.answers == question.answers


def test_two_object_questions_stand_in_the_hard_file_alone(book):
    kinds = {split: {record.question_type for record in read_questions(book, split)}
             for split in ("train", "val", "test", "hard")}  # fmt: skip

    assert not (kinds["train"] | kinds["val"] | kinds["test"]) & HARD
    assert kinds["hard"] and kinds["hard"] <= HARD


def test_no_question_number_is_given_twice_over_all_files(book):
    """Some 1200 questions stand in the training file: numbers must survive the thousandth."""
    numbers = [record.question_id for split in ("train", "val", "test", "hard")
               for record in read_questions(book, split)]  # fmt: skip

    assert len(read_questions(book, "train")) > 1000
    assert [number for number, times in Counter(numbers).items() if times > 1] == []


def test_splits_share_no_picture(book):
    captioned = {split: set() for split in COUNTS}
    for record in read_karpathy(book.paths.karpathy, book.paths.root):
        captioned[record.split].add(record.image_id)
    for split, count in COUNTS.items():
        assert len(captioned[split]) == count
        assert {record.image_id for record in read_questions(book, split)} <= captioned[split]
    assert {record.image_id for record in read_questions(book, "hard")} <= captioned["test"]
    assert len(set.union(*captioned.values())) == 50


def test_labels_of_crops_name_category_and_colour(tmp_path, monkeypatch):
    """150 crops go once through the 18 x 8 kinds and begin again."""
    drawn = []

    def draw(random, category, colour):
        drawn.append((category, colour))
        return Image.new("RGB", (2, 2), (len(drawn), 0, 0))

    monkeypatch.setattr(world, "compose_crop", draw)
    cfg = WorldConfig(train_images=1, validation_images=1, test_images=1, crops=150, questions_per_image=1)
    paths = make_picturebook(tmp_path, cfg, workers=1)

    labels, crops = np.load(paths.crops("labels.npy")), np.load(paths.crops("crops.npy"))
    assert [(CATEGORIES[label // 8], COLOUR_NAMES[label % 8]) for label in labels] == drawn
    assert crops[:, 0, 0, 0].tolist() == list(range(1, 151))
    assert len(set(labels.tolist())) == 144


def test_crops_are_saved_as_small_pictures(book):
    crops = np.load(book.paths.crops("crops.npy"))

    assert crops.shape == (6, 64, 64, 3) and crops.dtype == np.uint8
    assert len({crop.tobytes() for crop in crops}) == 6


def fingerprints(root: Path) -> dict[str, str]:
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(root.rglob("*")) if file.is_file()}  # fmt: skip


def test_two_workers_in_another_process_write_the_same_bytes(book, tmp_path):
    """Another hash seed too: the order of a set of words must not show."""
    call = f"make_picturebook({str(tmp_path)!r}, WorldConfig(**{SIZES!r}), seed=3, workers=2)"
    code = "from updown_lab.config import WorldConfig\nfrom updown_lab.datasets.picturebook import make_picturebook\n"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", code + call], check=True, env=environment, capture_output=True)

    assert fingerprints(tmp_path) == fingerprints(book.paths.root)


def test_another_seed_draws_another_world(book, tmp_path):
    cfg = WorldConfig(train_images=1, validation_images=1, test_images=1, crops=1, questions_per_image=1)

    paths = make_picturebook(tmp_path, cfg, seed=4, workers=1)

    assert (paths.images / "1.jpg").read_bytes() != (book.paths.images / "1.jpg").read_bytes()
    assert paths.crops("crops.npy").read_bytes()[-1000:] != book.paths.crops("crops.npy").read_bytes()[-1000:]
