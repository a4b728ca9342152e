"""Downloads become the folder that ``real --data`` reads: joined, split, counted. Large files pass as a stream."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from updown_lab.datasets.coco import RESTVAL_TRAINS, CaptionRecord, read_karpathy
from updown_lab.datasets.json_stream import need, stream_records
from updown_lab.datasets.names import Names, read_names
from updown_lab.datasets.visual_genome import count_cleaning
from updown_lab.datasets.vocabularies import build_names, write_names
from updown_lab.datasets.vqa import read_vqa, write_vqa
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.files import atomic_path, write_json
from updown_lab.progress import progress

HELD_OUT = 5000  # Visual Genome photos for choosing, and for testing, as in the authors' split
VOCABULARIES = ("objects_vocab.txt", "attributes_vocab.txt")


def prepare(
    name: str, root: Path | str, out: Path | str, count_names: tuple[int, int] | None = None
) -> dict[str, int | str]:
    """Prepare one data set; the same input gives the same files.

    Args:
        name:        one of ``PREPARED``.
        root:        data folder, as ``updown-lab download`` fills it.
        out:         where training will look; ``real --data OUT`` reads it.
        count_names: how many classes and attributes Visual Genome's detector shall learn, the commonest of its
                     training photos; None takes the authors' lists.

    Returns:
        What was counted, in words; also written to ``OUT/NAME.report.json``.

    Raises:
        DataMissing: a download is missing; the message names the command that fetches it.
        DataInvalid: a file is not what it should be; the message names the place.
    """
    options = {"count_names": count_names} if name == "visual-genome" else {}
    report = PREPARED[name](Path(root), Path(out), **options)
    write_json(Path(out) / f"{name}.report.json", report, indent=1)
    return report


def _downloaded(path: Path, name: str, otherwise: str = "") -> Path:
    if not path.exists():
        raise DataMissing(f"no {path}; fetch it with: updown-lab download {name} --root {path.parents[1]}{otherwise}")
    return path


def _write_array(path: Path, key: str, rows: Iterable[dict], **others) -> int:
    """Write {others, key: [rows]} without holding the rows; how many there were."""
    count = 0
    with atomic_path(path) as draft, open(draft, "w", encoding="utf-8") as file:
        file.write(json.dumps(others)[:-1] + (", " if others else "") + f"{json.dumps(key)}: [")
        for count, row in enumerate(rows, 1):
            file.write((",\n" if count > 1 else "\n") + json.dumps(row))
        file.write("]}\n")
    return count


def _point_to(link: Path, target: Path) -> None:
    """A link to the photos, which are not copied."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(target.resolve(), target_is_directory=True)


def _karpathy(root: Path) -> list[CaptionRecord]:
    """COCO's photos in Karpathy's own splits; ``file`` is the place under COCO's folder."""
    nowhere = Path("-")  # no folder is looked into: the photos need not be there
    records = read_karpathy(_downloaded(root / "coco" / "dataset_coco.json", "karpathy"), nowhere, splits={})
    return [replace(record, file=record.file.relative_to(nowhere)) for record in records]


def prepare_coco(root: Path, out: Path) -> dict[str, int | str]:
    """Captions and boxes of all photos in Karpathy's split, ``coco_core/``."""
    records, folder = _karpathy(root), out / "coco_core"
    splits = Counter(RESTVAL_TRAINS.get(record.split, record.split) for record in records)
    numbers = iter(range(1, 10**9))
    images = [{"id": record.image_id, "file_name": record.file.as_posix(), "karpathy_split": record.split}
              for record in records]  # fmt: skip
    sentences = ({"id": next(numbers), "image_id": record.image_id, "caption": text}
                 for record in progress(records, "coco captions") for text in record.captions)  # fmt: skip
    captions = _write_array(folder / "captions.json", "annotations", sentences, images=images)
    report = {f"{split} photos": count for split, count in sorted(splits.items())} | {"captions": captions}
    instances = sorted((root / "coco" / "annotations").glob("instances_*2014.json"))
    if instances:
        categories = list(stream_records(instances[0], "categories"))
        shown = ({"id": image["id"]} for file in instances for image in stream_records(file, "images"))
        report["boxes"] = _write_array(
            folder / "instances_boxes.json", "annotations", _boxes(instances), images=list(shown), categories=categories
        )
    else:
        report["boxes"] = "none: updown-lab download coco-annotations brings them, for grounding"
    _point_to(folder / "images", root / "coco")
    return report


def _boxes(files: Iterable[Path]) -> Iterator[dict]:
    wanted = ("id", "image_id", "category_id", "bbox", "iscrowd")
    for file in files:
        for entry in progress(stream_records(file, "annotations"), f"boxes of {file.name}"):
            yield {key: entry[key] for key in wanted if key in entry}


def prepare_visual_genome(root: Path, out: Path, count_names: tuple[int, int] | None = None) -> dict[str, int | str]:
    """The detector's photos, and a split in which it never sees a photo that captions are tested on; ``vg_core/``.
    Its classes and attributes, the authors' or counted; ``vg_vocab/``."""
    source, folder = root / "visual_genome", out / "vg_core"
    names = ("image_data", "objects", "attributes", "question_answers")
    files = {name: _downloaded(source / f"{name}.json", "visual-genome") for name in names}
    coco = {record.image_id: record.split for record in _karpathy(root)}
    splits, both = split_photos(stream_records(files["image_data"]), coco)
    write_json(folder / "splits.json", splits)
    for file in files.values():
        _point_to(folder / file.name, file)
    _point_to(folder / "images", source)
    if count_names is None:
        names = _given_names(root / "vg_vocab", out / "vg_vocab")
    else:
        training = {int(number) for number, split in splits.items() if split == "train"}
        names = _counted_names(root, out / "vg_vocab", files, training, count_names)
    counts = Counter(splits.values())
    return (
        {f"{split} photos": counts[split] for split in ("train", "val", "test")}
        | {"photos that COCO has too": both, "classes": len(names.objects), "attributes": len(names.attributes)}
        | {"names": "the authors' lists" if count_names is None else "counted in the training photos"}
        | count_cleaning(files["objects"], files["attributes"], names, files["image_data"]).in_words()
    )


def _given_names(source: Path, folder: Path) -> Names:
    """The authors' lists, pointed to."""
    otherwise = ", or count them: updown-lab prepare visual-genome --count-names 1600 400"
    for name in VOCABULARIES:
        file = _downloaded(source / name, "genome-vocabulary", otherwise)
        if (folder / name).resolve() != file.resolve():
            (folder / name).unlink(missing_ok=True)  # lists that were counted before
            _point_to(folder / name, file)
    return read_names(*(folder / name for name in VOCABULARIES))


def _counted_names(root: Path, folder: Path, files: dict[str, Path], training: set[int], sizes: tuple[int, int]):
    """Lists from counts in the training photos, written beside the data."""
    if folder.resolve() == (root / "vg_vocab").resolve():
        raise ConfigError(f"counted lists would replace the authors' in {folder}; give another folder with --out")
    aliases = root / "visual_genome" / "object_alias.txt"
    write_names(
        build_names(
            files["objects"], files["attributes"], *sizes, aliases if aliases.exists() else None, only=training
        ),
        folder,
    )
    return read_names(*(folder / name for name in VOCABULARIES))


def split_photos(
    images: Iterable[dict], coco: dict[int, str], held_out: int = HELD_OUT, seed: int = 0
) -> tuple[dict[str, str], int]:
    """Which Visual Genome photos train the detector.

    Half of them are COCO photos too. Those that Karpathy's split keeps for choosing or testing keep that place, else
    the detector would have seen the captions' test photos. Karpathy lists all that COCO has answers for; a COCO photo
    that he does not list belongs to COCO's own test sets (VQA's too), and tests. The rest trains, but for as many as
    it takes to have ``held_out`` photos for choosing and for testing.

    Args:
        images:   entries of ``image_data.json``; ``coco_id`` says which COCO photo it is, if any.
        coco:     COCO id to Karpathy's split.
        held_out: photos in "val", and in "test".
        seed:     of the draw.

    Returns:
        Split of each photo, by its number as text; and how many photos are COCO's too.

    Raises:
        DataInvalid: a number is missing or no number; the message names the entry.

    >>> photos = [{"image_id": 1, "coco_id": 7}, {"image_id": 2, "coco_id": None}, {"image_id": 3, "coco_id": 8}]
    >>> split_photos(photos, {7: "test", 8: "restval"}, held_out=1)
    ({'1': 'test', '2': 'val', '3': 'train'}, 2)
    """
    splits, free, both = {}, [], 0
    for number, image in enumerate(images, 1):
        place = f"image_data.json, entry {number}"
        image_id = need(image, "image_id", int, place)
        if image.get("coco_id") is None:
            free.append(str(image_id))
            splits[str(image_id)] = "train"
        else:
            both += 1
            split = coco.get(need(image, "coco_id", int, place))
            split = RESTVAL_TRAINS.get(split, split)
            splits[str(image_id)] = split if split in ("train", "val") else "test"
    random.Random(seed).shuffle(free)
    for split in ("val", "test"):
        missing = held_out - sum(value == split for value in splits.values())
        for image_id in free[: max(0, missing)]:
            splits[image_id] = split
        free = free[max(0, missing) :]
    return splits, both


def prepare_vqa2(root: Path, out: Path) -> dict[str, int | str]:
    """Questions with answers, ``vqa2/``: official training questions train; validation questions on Karpathy's
    validation photos choose; the other validation questions test, because the test set's answers are secret."""
    folder, counts = out / "vqa2", Counter()
    coco = {record.image_id: record.split for record in _karpathy(root)}
    parts = {"train": [], "val": [], "test": []}
    for part in ("train", "val"):
        files = [_downloaded(root / "vqa2" / name, "vqa2") for name in (
            f"v2_OpenEnded_mscoco_{part}2014_questions.json", f"v2_mscoco_{part}2014_annotations.json")]  # fmt: skip
        for record in read_vqa(*files):
            place = "train" if part == "train" else "val" if coco.get(record.image_id) == "val" else "test"
            parts[place].append(record)
            counts[f"{place} questions"] += 1
    for place, records in parts.items():
        write_vqa(records, folder / f"questions_{place}.json", folder / f"annotations_{place}.json")
    return dict(counts)


def prepare_glove(root: Path, out: Path) -> dict[str, int | str]:
    """Word vectors as arrays, ``glove/glove.6B.300d.npz`` and its shorter sisters: ``words`` and ``vectors``."""
    report = {}
    for file in sorted((root / "glove").glob("glove.*d.txt")) or [
        _downloaded(root / "glove" / "glove.6B.300d.txt", "glove")
    ]:
        words, vectors = read_glove(file)
        with atomic_path(out / "glove" / f"{file.stem}.npz") as draft, open(draft, "wb") as target:
            np.savez(target, words=np.array(words), vectors=vectors)
        report[file.stem] = f"{len(words):,} words x {vectors.shape[1]}"
    return report


def read_glove(path: Path | str) -> tuple[list[str], np.ndarray]:
    """A GloVe text file: a word and its numbers a line.

    Returns:
        Words, and (words, numbers) float32.

    Raises:
        DataInvalid: a line has another count of numbers than the first, or no numbers; the message names it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "glove.txt"
    >>> _ = path.write_text("cat 0.5 1\\n. . 0 2\\n")       # a word may hold a space: the numbers count from the end
    >>> read_glove(path)[0]
    ['cat', '. .']
    """
    words, rows, width = [], [], 0
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(progress(file, f"reading {Path(path).name}", unit="line"), 1):
            parts = line.rstrip("\n").split(" ")
            width = width or len(parts) - 1
            try:
                rows.append(np.array(parts[-width:], dtype=np.float32))
                if len(parts) <= width or not np.isfinite(rows[-1]).all():
                    raise ValueError
            except ValueError:
                raise DataInvalid(
                    f"{path}, line {number}: expected a word and {width} numbers, got {line[:40]!r}"
                ) from None
            words.append(" ".join(parts[:-width]))
    return words, np.stack(rows)


PREPARED: dict[str, Callable[[Path, Path], dict]] = {
    "coco": prepare_coco, "visual-genome": prepare_visual_genome, "vqa2": prepare_vqa2, "glove": prepare_glove,
}  # fmt: skip
