"""Where the records come from: one door before the generated world and before real data.

Both are read from the official file formats by the same readers.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import torch

from updown_lab.datasets.coco import CaptionRecord, read_coco_boxes, read_coco_captions, read_karpathy
from updown_lab.datasets.coco_nouns import coco_nouns, official_name
from updown_lab.datasets.json_stream import stream_records
from updown_lab.datasets.names import Names, clean_name, first_name, listed, read_names
from updown_lab.datasets.picturebook import COLOUR_NAMES, Paths
from updown_lab.datasets.picturebook.captions import noun_words
from updown_lab.datasets.visual_genome import Cleaning, DetectionRecord, read_visual_genome, reduce_names, renumber
from updown_lab.datasets.vqa import (
    QuestionRecord,
    read_aokvqa,
    read_cocoqa,
    read_okvqa,
    read_visual_genome_questions,
    read_vqa,
)  # fmt: skip
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.files import read_json
from updown_lab.metrics.naming import named

SPLITS = ("train", "val", "test")
#: Visual Genome photos get ids above this, so that they can lie beside COCO's in one store.
GENOME_IDS = 100_000_000
LAYOUT = "--data names a folder with vg_core, vg_vocab and coco_core as data/README.md describes it"


class PicturebookSource:
    """The generated world, read like real data.

    Args:
        root: the folder that ``make_picturebook`` filled.
    """

    colours = COLOUR_NAMES
    question_splits = (*SPLITS, "hard")

    def __init__(self, root: Path):
        self.paths = Paths(root)

    @cached_property
    def names(self) -> Names:
        """Class and attribute names."""
        return read_names(self.paths.genome("objects_vocab.txt"), self.paths.genome("attributes_vocab.txt"))

    @cached_property
    def _captions(self) -> list[CaptionRecord]:
        return read_karpathy(self.paths.karpathy, self.paths.root)

    @cached_property
    def _read(self) -> tuple[dict[int, DetectionRecord], Cleaning]:
        files = (self.paths.genome(f"{name}.json") for name in ("objects", "attributes"))
        size_file = self.paths.genome("image_data.json")
        records, cleaning = read_visual_genome(*files, self.paths.images, self.names, size_file)
        return {record.image_id: record for record in records}, cleaning

    @property
    def _records(self) -> dict[int, DetectionRecord]:
        return self._read[0]

    @property
    def cleaning(self) -> Cleaning:
        """What was kept and dropped of the annotations; here everything is kept."""
        return self._read[1]

    def captions(self, split: str) -> list[CaptionRecord]:
        """Pictures of a split with their captions."""
        return [record for record in self._captions if record.split == split]

    def detection(self, split: str) -> list[DetectionRecord]:
        """Pictures of a split with boxes, classes and attributes."""
        return [self._records[record.image_id] for record in self.captions(split)]

    def questions(self, split: str) -> list[QuestionRecord]:
        """Questions of a split; "hard" holds the test pictures' two-object questions."""
        return read_vqa(*self.question_files(split))

    def question_files(self, split: str) -> tuple[Path, Path]:
        """Questions and annotations of a split, in VQA v2's format."""
        return self.paths.questions(split), self.paths.answers(split)

    def genome_questions(self) -> list[QuestionRecord]:
        """None: nobody asks twice about a drawn picture."""
        raise ConfigError(
            "vqa.genome_questions adds Visual Genome's questions to VQA v2's, and the generated world has one kind of "
            "questions only; take it out, or give --data"
        )

    def pictures(self) -> list[DetectionRecord]:
        """All pictures that are to be encoded, with their truth for the oracles."""
        return list(self._records.values())

    def training_ids(self) -> set[int]:
        """Pictures whose features make mean and deviation."""
        return {record.image_id for record in self.captions("train")}

    @property
    def nouns(self) -> dict[str, str]:
        """Word to category, for grounding."""
        return noun_words()

    def objects(self, image_id: int) -> list[tuple[set[str], torch.Tensor]]:
        """What is really there: (categories, box) of each object."""
        record = self._records[image_id]
        return [({self.names.objects[c]}, box) for c, box in zip(record.classes.tolist(), record.boxes, strict=False)]

    def mentioned(self, image_id: int) -> set[str]:
        """Categories that are there without a box: none, a drawing's list is complete."""
        return set()

    def described(self, image_id: int) -> list[tuple[set[str], set[str]]]:
        """What each object is, and what it is like."""
        record, names = self._records[image_id], self.names
        return [({names.objects[kind]}, {names.attributes[number] for number in have})
                for kind, have in zip(record.classes.tolist(), record.attributes, strict=True)]  # fmt: skip


class RealSource:
    """Real photos: Visual Genome for the detector, COCO for captions, both for questions.

    Args:
        root: a folder laid out like ``data/README.md`` says: ``vg_core``, ``vg_vocab``, ``coco_core``.
        minimum_boxes: classes and attributes with fewer training boxes are left out.
    """

    colours = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown", "gray")
    question_splits = SPLITS

    def __init__(self, root: Path, minimum_boxes: int):
        if not root.is_dir():
            raise DataMissing(f"no folder {root}; {LAYOUT}")
        self.root, self.minimum_boxes = root, minimum_boxes

    def _file(self, name: str) -> Path:
        """A file that must be there once it is read: question-only models need no photos, for instance."""
        if not (self.root / name).exists():
            raise DataMissing(f"no file {self.root / name}; {LAYOUT}")
        return self.root / name

    @cached_property
    def _genome(self) -> tuple[dict[str, list[DetectionRecord]], Names, Cleaning]:
        """Records by split in the ids of the reduced names, and what was dropped. ``splits.json`` says where a photo
        belongs (as ``updown-lab prepare visual-genome`` writes it); without it one photo in eight is for testing."""
        vocabulary = read_names(*(self._file(f"vg_vocab/{name}_vocab.txt") for name in ("objects", "attributes")))
        files = [self._file(f"vg_core/{name}.json") for name in ("objects", "attributes")]
        sizes = self.root / "vg_core" / "image_data.json"
        records, cleaning = read_visual_genome(
            *files, self.root / "vg_core" / "images", vocabulary, sizes if sizes.exists() else None
        )
        given = self.root / "vg_core" / "splits.json"
        known = read_json(given) if given.exists() else {}
        splits = {split: [] for split in SPLITS}
        for place, record in enumerate(sorted(records, key=lambda record: record.image_id)):
            split = known.get(str(record.image_id), "train") if known else genome_split(place)
            splits[split].append(replace(record, image_id=record.image_id + GENOME_IDS))
        splits["train"], names = reduce_names(splits["train"], vocabulary, self.minimum_boxes)
        for split in ("val", "test"):
            splits[split] = renumber(splits[split], vocabulary, names)
        return splits, names, cleaning

    @property
    def names(self) -> Names:
        """The classes and attributes that occur often enough in the training photos."""
        return self._genome[1]

    @property
    def cleaning(self) -> Cleaning:
        """What was kept and dropped of Visual Genome's annotations, all splits together."""
        return self._genome[2]

    def detection(self, split: str) -> list[DetectionRecord]:
        """Visual Genome photos of a split."""
        return self._genome[0][split]

    @cached_property
    def _captions(self) -> list[CaptionRecord]:
        return read_coco_captions(self._file("coco_core/captions.json"), self.root / "coco_core" / "images")

    def captions(self, split: str) -> list[CaptionRecord]:
        """COCO photos of a Karpathy split; "restval" belongs to training."""
        return [record for record in self._captions if record.split == split]

    @cached_property
    def _questions(self) -> dict[str, list[QuestionRecord]]:
        """All questions by the split of their photo."""
        place = {
            record.image_id: split for split in SPLITS for record in (*self.captions(split), *self.detection(split))
        }
        coco = self.root / "coco_core"
        readers = {"aokvqa.json": read_aokvqa, "okvqa.json": read_okvqa, "cocoqa.json": read_cocoqa}
        asked: list[QuestionRecord] = [
            *(record for name, read in readers.items() if (coco / name).exists() for record in read(coco / name)),
            *(replace(record, image_id=record.image_id + GENOME_IDS)
              for record in read_visual_genome_questions(self._file("vg_core/question_answers.json"))),
        ]  # fmt: skip
        table = {split: [] for split in SPLITS}
        for record in told_apart(asked):
            if record.image_id in place:
                table[place[record.image_id]].append(record)
        return table

    def questions(self, split: str) -> list[QuestionRecord]:
        """VQA v2 where ``updown-lab prepare vqa2`` put it; else the A-OKVQA, OK-VQA, COCO-QA and Visual Genome
        questions whose photo is in the split."""
        official = self.question_files(split)
        return read_vqa(*official) if official else self._questions[split]

    def question_files(self, split: str) -> tuple[Path, Path] | None:
        """VQA v2's questions and annotations of a split; None if its questions come from several collections."""
        official = self.root / "vqa2" / f"questions_{split}.json"
        return (official, official.with_name(f"annotations_{split}.json")) if official.exists() else None

    def genome_questions(self) -> list[QuestionRecord]:
        """Visual Genome's questions about training photos, for VQA v2's model to learn too; Teney et al. 2018."""
        return [record for record in self._questions["train"] if record.image_id >= GENOME_IDS]

    def pictures(self) -> list:
        """All photos with captions or questions."""
        genome = [record for split in SPLITS for record in self.detection(split)]
        coco = [SimpleNamespace(image_id=record.image_id, file=record.file) for record in self._captions]
        return [*genome, *coco]

    def training_ids(self) -> set[int]:
        """Photos whose features make mean and deviation."""
        return {record.image_id for record in (*self.captions("train"), *self.detection("train"))}

    @cached_property
    def _boxes(self) -> dict[int, list]:
        return read_coco_boxes(self.root / "coco_core" / "instances_boxes.json")

    @cached_property
    def nouns(self) -> dict[str, str]:
        """People's words for COCO's categories."""
        return coco_nouns()

    @cached_property
    def _mentioned(self) -> dict[int, set[str]]:
        return {record.image_id: self.named_in(record.captions) for record in self._captions}

    def named_in(self, captions: Iterable[str]) -> set[str]:
        """Categories that captions name."""
        return {kind for text in captions for _, _, kind in named(text.split(), self.nouns)}

    def mentioned(self, image_id: int) -> set[str]:
        """Categories that people name in a photo's captions, with a box or without: CHAIR takes them as there."""
        return self._mentioned.get(image_id, set())

    @cached_property
    def _described(self) -> dict[int, list[tuple[set[str], set[str]]]]:
        """Colours that Visual Genome knows of captioned photos; ``image_data.json`` has their numbers in COCO."""
        path, captioned = self.root / "vg_core" / "image_data.json", {record.image_id for record in self._captions}
        photos = stream_records(path) if path.exists() else ()
        coco = {photo["image_id"]: photo["coco_id"] for photo in photos if photo.get("coco_id") in captioned}
        found: dict[int, list] = {number: [] for number in coco.values()}
        for entry in stream_records(self.root / "vg_core" / "attributes.json") if coco else ():
            for item, spot in listed(entry, "attributes", "attributes.json") if entry["image_id"] in coco else ():
                said = {clean_name(text).replace("grey", "gray") for text in item.get("attributes") or ()}
                kinds = {kind for _, _, kind in named(first_name(item, spot).split(), self.nouns)}
                if colours := said.intersection(self.colours):
                    found[coco[entry["image_id"]]].append((kinds, colours))
        return found

    def described(self, image_id: int) -> list[tuple[set[str], set[str]]]:
        """COCO's boxes have no attributes; colours of Visual Genome's objects, where the photo is in both."""
        return self._described.get(image_id, [])

    def objects(self, image_id: int) -> list[tuple[set[str], torch.Tensor]]:
        """COCO's boxes of a photo, under their official names."""
        return [({official_name(name)}, torch.tensor(box)) for name, box in self._boxes.get(image_id, [])]


def told_apart(asked: list[QuestionRecord]) -> list[QuestionRecord]:
    """Questions of several collections, each with an id of its own: where two have the same, both get new ones.

    >>> red = QuestionRecord(7, 1, "Is it red?", "", "", "", ())
    >>> [record.question_id for record in told_apart([red, replace(red, question_id=3), red])]
    [8, 3, 9]
    """
    times = Counter(record.question_id for record in asked)
    free = count(max(times, default=0) + 1)
    return [replace(record, question_id=next(free)) if times[record.question_id] > 1 else record for record in asked]


def genome_split(place: int) -> str:
    """Every eighth photo tests, the one before it validates.

    >>> [genome_split(n) for n in range(8)]
    ['train', 'train', 'train', 'train', 'train', 'train', 'val', 'test']
    """
    return {6: "val", 7: "test"}.get(place % 8, "train")


def open_source(config, world: Path | None) -> PicturebookSource | RealSource:
    """The source that a configuration names: real data if ``config.data`` is set, else the generated world."""
    if config.data:
        return RealSource(Path(config.data), config.minimum_boxes)
    return PicturebookSource(world)


def sentences(records: Iterable[CaptionRecord]) -> list[str]:
    """All captions of some records."""
    return [text for record in records for text in record.captions]
