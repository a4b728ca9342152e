"""Writing the world to disk in the official formats."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from updown_lab.config import WorldConfig
from updown_lab.datasets.picturebook.captions import NUMBERS, names_of, write_captions
from updown_lab.datasets.picturebook.questions import HARD_KINDS, ask, facts, hard_facts
from updown_lab.datasets.picturebook.scenes import Scene, compose_crop, compose_scene
from updown_lab.datasets.picturebook.sprites import CATEGORIES, COLOURS, PATTERNS
from updown_lab.files import atomic_path, write_json
from updown_lab.progress import progress

SPLITS = ("train", "val", "test")
COLOUR_NAMES = tuple(COLOURS)
ATTRIBUTES = (*COLOURS, *PATTERNS, "small", "large", *NUMBERS[1:5])
HARD_SHARE = 0.12  # two-object questions for each other question of the test split
SILENT = 0.04  # share of training objects whose attributes nobody wrote down


@dataclass(frozen=True)
class Paths:
    """Where the files of a Picturebook (or of real data laid out alike) are."""

    root: Path

    @property
    def images(self) -> Path:
        """Folder of the pictures, ``{image_id}.jpg``."""
        return self.root / "images"

    @property
    def karpathy(self) -> Path:
        """Captions and splits, in Karpathy's layout."""
        return self.root / "annotations" / "dataset_picturebook.json"

    def genome(self, name: str) -> Path:
        """A Visual Genome file: objects, attributes, relationships, image_data (.json) or a vocabulary (.txt)."""
        return self.root / "visual_genome" / name

    def questions(self, split: str) -> Path:
        """VQA v2 questions of a split; "hard" has the test split's two-object questions."""
        return self.root / "vqa" / f"questions_{split}.json"

    def answers(self, split: str) -> Path:
        """VQA v2 annotations of a split."""
        return self.root / "vqa" / f"annotations_{split}.json"

    def crops(self, name: str) -> Path:
        """Single-object pictures for pre-training: ``crops.npy`` (N, 64, 64, 3) uint8, ``labels.npy`` (N,)."""
        return self.root / "crops" / name


def image_id(split: str, number: int) -> int:
    """Ids never meet: 1… for training, 100001… for validation, 200001… for test."""
    return SPLITS.index(split) * 100_000 + number + 1


def _draw_one(root: Path, seed: int, split: str, number: int) -> tuple[Scene, list[str]]:
    """Draw and save one picture; its truth comes back without the pixels."""
    random = np.random.default_rng([seed, SPLITS.index(split), number])
    scene = compose_scene(random)
    path = Paths(root).images / f"{image_id(split, number)}.jpg"
    with atomic_path(path) as draft:
        scene.image.save(draft, format="JPEG", quality=95, subsampling=0)
    return replace(scene, image=None), write_captions(scene, random)


def _draw_crop(seed: int, number: int) -> np.ndarray:
    kinds = len(CATEGORIES) * len(COLOURS)
    category, colour = divmod(number % kinds, len(COLOURS))
    random = np.random.default_rng([seed, 9, number])
    return np.asarray(compose_crop(random, CATEGORIES[category], COLOUR_NAMES[colour]))


def make_picturebook(root: Path | str, cfg: WorldConfig, seed: int = 1, workers: int = 2) -> Paths:
    """Draw the world and write it down.

    The result depends on ``cfg`` and ``seed`` alone, not on the number of workers.

    Args:
        root:    folder to write to; made if needed.
        cfg:     how many pictures, crops and questions.
        seed:    the world's number.
        workers: processes that draw.

    Returns:
        Paths of the files written.

    >>> import tempfile
    >>> small = WorldConfig(train_images=4, validation_images=2, test_images=2, crops=2, questions_per_image=2)
    >>> make_picturebook(tempfile.mkdtemp(), small, workers=1).karpathy.exists()
    True
    """
    paths = Paths(Path(root))
    counts = {"train": cfg.train_images, "val": cfg.validation_images, "test": cfg.test_images}
    jobs = [(split, number) for split in SPLITS for number in range(counts[split])]
    draw = partial(_draw_one, paths.root, seed)
    rows = _map(draw, jobs, workers, "drawing scenes")
    crops = _map(partial(_draw_crop, seed), [(n,) for n in range(cfg.crops)], workers, "drawing crops")
    _write_crops(paths, crops)
    drawn = {split: [row for job, row in zip(jobs, rows, strict=False) if job[0] == split] for split in SPLITS}
    _write_captions(paths, drawn)
    _write_genome(paths, drawn, np.random.default_rng([seed, 7]))
    for split in SPLITS:
        total = cfg.questions_per_image * counts[split]
        _write_questions(paths, split, drawn, total, np.random.default_rng([seed, 8, SPLITS.index(split)]))
    return paths


def _call(function, job):
    return function(*job)


def _map(function, jobs, workers: int, title: str) -> list:
    """Apply a function to jobs in several processes, with a progress bar, in order."""
    run = partial(_call, function)
    bar = partial(progress, title=title, total=len(jobs), unit="picture")
    if workers <= 1 or len(jobs) < 50:
        return list(bar(map(run, jobs)))
    with ProcessPoolExecutor(min(workers, os.cpu_count() or 1)) as pool:
        return list(bar(pool.map(run, jobs, chunksize=32)))


def _write_crops(paths: Paths, crops: list[np.ndarray]) -> None:
    labels = np.arange(len(crops)) % (len(CATEGORIES) * len(COLOURS))
    pictures = np.stack(crops) if crops else np.zeros((0, 64, 64, 3), np.uint8)
    for name, values in (("crops.npy", pictures), ("labels.npy", labels)):
        with atomic_path(paths.crops(name)) as draft, open(draft, "wb") as stream:
            np.save(stream, values)


def _write_captions(paths: Paths, drawn) -> None:
    """Karpathy's file with all splits, and one COCO captions file a split."""
    images, sentence = [], 0
    for split in SPLITS:
        records, annotations = [], []
        for number, (_, captions) in enumerate(drawn[split]):
            identity = image_id(split, number)
            name = f"{identity}.jpg"
            sentences = []
            for raw in captions:
                sentence += 1
                sentences.append({"tokens": raw.rstrip(" .").replace(",", "").split(), "raw": raw,
                                  "imgid": len(images), "sentid": sentence})  # fmt: skip
                annotations.append({"id": sentence, "image_id": identity, "caption": raw})
            images.append({"filepath": "images", "filename": name, "imgid": len(images), "cocoid": identity,
                           "split": split, "sentids": [s["sentid"] for s in sentences],
                           "sentences": sentences})  # fmt: skip
            records.append({"id": identity, "file_name": name, "width": 128, "height": 128})
        info = {"description": "Picturebook, a drawn world", "license": "MIT"}
        write_json(
            paths.root / "annotations" / f"captions_{split}.json",
            {"info": info, "licenses": [], "images": records, "annotations": annotations},
        )
    write_json(paths.karpathy, {"dataset": "picturebook", "images": images})


def _attributes_of(thing) -> list[str]:
    size = [thing.size] if thing.size != "medium" else []
    parts = [NUMBERS[thing.parts]] if thing.parts else []
    return [thing.colour, thing.pattern, *size, *parts]


def _write_genome(paths: Paths, drawn, random) -> None:
    """Objects, attributes and relationships in Visual Genome's layout, and the two vocabularies."""
    objects, attributes, relations, data, number = [], [], [], [], 0
    for split in SPLITS:
        for position, (scene, _) in enumerate(drawn[split]):
            identity, rows, described = image_id(split, position), [], []
            for thing in scene.things:
                number += 1
                x1, y1, x2, y2 = thing.box
                row = {"object_id": number, "x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1,
                       "names": [thing.category], "synsets": []}  # fmt: skip
                rows.append(row)
                silent = split == "train" and random.random() < SILENT
                described.append(row if silent else {**row, "attributes": _attributes_of(thing)})
            held = [(rows[n], rows[thing.holder]) for n, thing in enumerate(scene.things) if thing.holder is not None]
            objects.append({"image_id": identity, "objects": rows})
            attributes.append({"image_id": identity, "attributes": described})
            relations.append({"image_id": identity, "relationships": [_relation(*pair) for pair in held]})
            data.append({"image_id": identity, "width": 128, "height": 128, "url": "", "coco_id": None})
    for name, rows in (("objects", objects), ("attributes", attributes), ("relationships", relations),
                       ("image_data", data)):  # fmt: skip
        write_json(paths.genome(f"{name}.json"), rows)
    for name, lines in (("objects", [",".join(names_of(c)) for c in CATEGORIES]), ("attributes", ATTRIBUTES)):
        with atomic_path(paths.genome(f"{name}_vocab.txt")) as draft:
            draft.write_text("\n".join(lines))


def _relation(subject: dict, holder: dict) -> dict:
    predicate = "in" if holder["names"] == ["basket"] else "on"
    return {"relationship_id": subject["object_id"], "predicate": predicate, "synsets": [],
            "subject": subject, "object": holder}  # fmt: skip


def _write_questions(paths: Paths, split: str, drawn, total: int, random) -> None:
    """VQA v2 files of a split. The test pictures also get hard questions, in files of their own."""
    scenes = [scene for scene, _ in drawn[split]]
    sets = {split: ask(scenes, total, random, source=facts)}
    if split == "test":
        sets["hard"] = ask(scenes, round(total * HARD_SHARE), random, HARD_KINDS, hard_facts)
    serials = count()  # runs on through both files of the test pictures: no question's number comes twice
    for name, questions in sets.items():
        asked, answered = [], []
        for question, serial in zip(questions, serials, strict=False):
            identity = image_id(split, question.image)
            base = {"question_id": identity * 1000 + serial % 1000 + 1000_000_000 * (serial // 1000),
                    "image_id": identity}  # fmt: skip
            asked.append({**base, "question": question.text})
            said = [{"answer_id": n + 1, "answer": answer, "answer_confidence": "yes"}
                    for n, answer in enumerate(question.answers)]  # fmt: skip
            answered.append({**base, "question_type": question.kind, "answer_type": question.answer_type,
                             "multiple_choice_answer": Counter(question.answers).most_common(1)[0][0],
                             "answers": said})  # fmt: skip
        common = {"info": {"description": "Picturebook"}, "license": {"name": "MIT"}, "data_type": "picturebook",
                  "data_subtype": name}  # fmt: skip
        write_json(paths.questions(name), {**common, "task_type": "Open-Ended", "questions": asked})
        write_json(paths.answers(name), {**common, "annotations": answered})
