"""Reader of Visual Genome's objects and attributes, cleaned for training the bottom-up detector.

People typed the names freely ("White dog.", "tv", "red and white"). The detector needs one class of 1600 for a box
and up to 16 attributes of 400, so a reader has to decide what each name means; ``cleaning`` counts every decision.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from updown_lab.datasets.cleaning import Cleaning, clean_objects
from updown_lab.datasets.json_stream import HINT, need, stream_records
from updown_lab.datasets.names import Names, labels_of, listed, split_attribute
from updown_lab.datasets.names import read_names as read_names  # one door for callers
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.progress import progress

FOLDERS = ("", "VG_100K", "VG_100K_2")  # Visual Genome ships its photos in two parts


@dataclass(frozen=True)
class DetectionRecord:
    """One photo and what stands where in it.

    Attributes:
        image_id:   Visual Genome's number of the photo.
        file:       the photo.
        width:      of the photo in pixels.
        height:     of the photo in pixels.
        boxes:      (n, 4) float, (x1, y1, x2, y2) in pixels, inside the photo; n may be 0.
        classes:    (n,) long class ids without background.
        attributes: of each box, attribute ids; () where nobody named any.
    """

    image_id: int
    file: Path
    width: int
    height: int
    boxes: Tensor
    classes: Tensor
    attributes: tuple[tuple[int, ...], ...]


def read_visual_genome(
    objects_json: Path | str,
    attributes_json: Path | str,
    images_folder: Path | str,
    names: Names,
    image_data: Path | str | None = None,
) -> tuple[list[DetectionRecord], Cleaning]:
    """Read boxes, classes and attributes in Visual Genome's own form, joined by image and object number.

    Only the first of an object's names counts. A box (x, y, w, h) becomes (x, y, x + w, y + h), is cut to its photo,
    and dropped if nothing is left of it. A box that is more than twice as long or high as its photo is a slip of the
    hand, and dropped too: what the cut leaves of it would be no object. (The authors' loader stretches an inverted
    box over the whole photo, with a slip that takes the height from the width; a box that says nothing teaches
    nothing.)

    Args:
        objects_json:    ``objects.json``, plain or gzipped.
        attributes_json: ``attributes.json``.
        images_folder:   photos named ``{image_id}.jpg`` or ``.png``, here or under ``VG_100K`` and ``VG_100K_2``.
        names:           what the detector can say.
        image_data:      ``image_data.json`` with the sizes; None reads each photo's header instead.

    Returns:
        One record a photo in the order of ``objects_json``, photos without a kept box too; and the counts.

    Raises:
        DataMissing: a file or a photo is not there.
        DataInvalid: a field is missing or wrong, an image is listed twice, or an unreadable photo;
            the message names file and entry.

    >>> import json, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (40, 30)).save(folder / "7.jpg")
    >>> dog = {"object_id": 5, "x": 4, "y": 6, "w": 10, "h": 8, "names": ["white dog"]}
    >>> _ = (folder / "o.json").write_text(json.dumps([{"image_id": 7, "objects": [dog]}]))
    >>> _ = (folder / "a.json").write_text(json.dumps([{"image_id": 7, "attributes": []}]))
    >>> names = Names(("dog",), ("white",), {"dog": 0}, {"white": 0})
    >>> records, cleaning = read_visual_genome(folder / "o.json", folder / "a.json", folder, names)
    >>> records[0].boxes, records[0].attributes, cleaning.split_names
    (tensor([[ 4., 6., 14., 14.]]), ((0,),), 1)
    """
    done = Cleaning()
    described = _read_attributes(attributes_json, names, done)
    sizes = None if image_data is None else _read_sizes(image_data)
    records = []
    for image_id, objects in _photos(objects_json):
        file = _find_photo(Path(images_folder), image_id)
        size = _header_size(file) if sizes is None else _known_size(sizes, image_id, image_data, objects_json)
        rows = clean_objects(objects, described.get(image_id, {}), size, names, done)
        records.append(_record(image_id, file, size, list(rows)))
    return records, done


def count_cleaning(
    objects_json: Path | str, attributes_json: Path | str, names: Names, image_data: Path | str
) -> Cleaning:
    """What ``read_visual_genome`` would keep and drop, before the photos are there.

    Args:
        objects_json:    ``objects.json``.
        attributes_json: ``attributes.json``.
        names:           what the detector can say.
        image_data:      ``image_data.json`` with the sizes.

    Returns:
        The same counts.

    Raises:
        DataMissing: a file is not there.
        DataInvalid: an entry is wrong; the message names it.

    >>> import json, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> dog = {"object_id": 5, "x": 4, "y": 6, "w": -1, "h": 8, "names": ["dog"]}
    >>> _ = (folder / "o.json").write_text(json.dumps([{"image_id": 7, "objects": [dog]}]))
    >>> _ = (folder / "a.json").write_text("[]")
    >>> _ = (folder / "i.json").write_text(json.dumps([{"image_id": 7, "width": 40, "height": 30}]))
    >>> names = Names(("dog",), (), {"dog": 0}, {})
    >>> count_cleaning(folder / "o.json", folder / "a.json", names, folder / "i.json").dropped_boxes
    1
    """
    done = Cleaning()
    described, sizes = _read_attributes(attributes_json, names, done), _read_sizes(image_data)
    for image_id, objects in progress(_photos(objects_json), "checking boxes", unit="photo"):
        size = _known_size(sizes, image_id, image_data, objects_json)
        for _ in clean_objects(objects, described.get(image_id, {}), size, names, done):
            pass  # counted on the way
    return done


def _photos(path: Path | str) -> Iterator[tuple[int, Iterator[tuple[dict, str]]]]:
    """Each photo's number and its objects."""
    seen = set()
    for number, entry in enumerate(stream_records(path), 1):
        place = f"{path}, entry {number}"
        image_id = need(entry, "image_id", int, place)
        if image_id in seen:
            raise DataInvalid(f"{place}: image {image_id} is listed twice; keep one of them")
        seen.add(image_id)
        yield image_id, listed(entry, "objects", place)


def _known_size(sizes: Mapping[int, tuple[int, int]], image_id: int, where: Path | str, wanted_by: Path | str):
    if image_id not in sizes:
        raise DataInvalid(f"{where} has no size for image {image_id} of {wanted_by}; leave image_data out")
    return sizes[image_id]


def _read_attributes(path: Path | str, names: Names, done: Cleaning) -> dict[int, dict[int, tuple[int, ...]]]:
    """Known attribute ids of {image: {object: ids}}; objects without any are left out, to save memory."""
    found: dict[int, dict[int, tuple[int, ...]]] = {}
    for number, entry in enumerate(stream_records(path), 1):
        place = f"{path}, entry {number}"
        of_image = found.setdefault(need(entry, "image_id", int, place), {})
        for item, spot in listed(entry, "attributes", place):
            object_id = need(item, "object_id", int, spot)
            labels = labels_of(item, spot)
            parts = [part for label in labels for part in split_attribute(label)]
            known = tuple(names.attribute_ids[part] for part in parts if part in names.attribute_ids)
            done.attributes_seen += len(labels)
            done.unknown_attributes += len(parts) - len(known)
            if known:
                of_image[object_id] = of_image.get(object_id, ()) + known
    return found


def _record(image_id: int, file: Path, size: tuple[int, int], rows: Sequence) -> DetectionRecord:
    boxes = torch.tensor([box for box, _, _ in rows], dtype=torch.float32).reshape(-1, 4)
    classes = torch.tensor([number for _, number, _ in rows], dtype=torch.long)
    return DetectionRecord(image_id, file, *size, boxes, classes, tuple(attributes for _, _, attributes in rows))


def _find_photo(folder: Path, image_id: int) -> Path:
    for part in FOLDERS:
        for suffix in (".jpg", ".png"):
            file = folder / part / f"{image_id}{suffix}"
            if file.exists():
                return file
    raise DataMissing(f"no photo {image_id}.jpg or .png in {folder}, its VG_100K or its VG_100K_2; {HINT}")


def _header_size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            return image.size
    except (UnidentifiedImageError, OSError) as error:
        raise DataInvalid(f"{file} is not a readable photo: {error}; fetch it again") from None


def _read_sizes(path: Path | str) -> dict[int, tuple[int, int]]:
    sizes = {}
    for number, entry in enumerate(stream_records(path), 1):
        place = f"{path}, entry {number}"
        image_id = need(entry, "image_id", int, place)
        sizes[image_id] = (need(entry, "width", int, place), need(entry, "height", int, place))
    return sizes


def reduce_names(
    records: Sequence[DetectionRecord], names: Names, minimum_count: int
) -> tuple[list[DetectionRecord], Names]:
    """Keep only the classes and attributes that occur often enough in these records.

    Two hundred photos cannot teach 1600 classes; a class never seen is an output that can only be wrong.

    Args:
        records:       usually the training set.
        names:         what the records' ids mean.
        minimum_count: boxes a class, and labels an attribute, must have.

    Returns:
        The records in the new ids, and the new names. Synonyms and order stay. Give other splits the new ids with
        ``renumber(others, names, new_names)``.

    >>> names = Names(("cat", "dog"), ("red",), {"cat": 0, "dog": 1}, {"red": 0})
    >>> record = DetectionRecord(7, Path("7.jpg"), 9, 9, torch.zeros(1, 4), torch.tensor([1]), ((),))
    >>> reduced, new_names = reduce_names([record], names, minimum_count=1)
    >>> new_names.objects, new_names.attributes, reduced[0].classes
    (('dog',), (), tensor([0]))
    """
    counts = Counter(number for record in records for number in record.classes.tolist())
    objects, object_ids = _frequent(names.objects, names.object_ids, counts, minimum_count)
    fewer = Names(objects, names.attributes, object_ids, names.attribute_ids)
    records = renumber(records, names, fewer)  # attributes count only on the boxes that stay
    counts = Counter(number for record in records for of_box in record.attributes for number in of_box)
    attributes, attribute_ids = _frequent(names.attributes, names.attribute_ids, counts, minimum_count)
    new = Names(objects, attributes, object_ids, attribute_ids)
    return renumber(records, fewer, new), new


def _frequent(shown: Sequence[str], ids: Mapping[str, int], counts: Mapping[int, int], minimum_count: int):
    kept = [number for number in range(len(shown)) if counts.get(number, 0) >= minimum_count]
    new_ids = {number: new for new, number in enumerate(kept)}
    return tuple(shown[number] for number in kept), {name: new_ids[old] for name, old in ids.items() if old in new_ids}


def renumber(records: Iterable[DetectionRecord], old: Names, new: Names) -> list[DetectionRecord]:
    """The same records in the ids of other names; boxes and attributes whose display name ``new`` lacks are dropped.

    Args:
        records: photos whose ids mean ``old``.
        old:     what the ids mean.
        new:     what they shall mean.

    Returns:
        One record a photo, in the same order; a photo may be left without a box.

    >>> old, new = Names(("cat", "dog"), (), {"cat": 0, "dog": 1}, {}), Names(("dog",), (), {"dog": 0}, {})
    >>> record = DetectionRecord(7, Path("7.jpg"), 9, 9, torch.zeros(2, 4), torch.tensor([0, 1]), ((), ()))
    >>> renumber([record], old, new)[0].classes
    tensor([0])
    """
    class_of = torch.tensor([new.object_ids.get(name, -1) for name in old.objects], dtype=torch.long)
    attribute_of = [new.attribute_ids.get(name, -1) for name in old.attributes]
    renumbered = []
    for record in records:
        classes = class_of[record.classes]
        kept = classes >= 0
        attributes = tuple(
            tuple(attribute_of[number] for number in of_box if attribute_of[number] >= 0)
            for of_box, stays in zip(record.attributes, kept.tolist(), strict=False)
            if stays
        )
        renumbered.append(replace(record, boxes=record.boxes[kept], classes=classes[kept], attributes=attributes))
    return renumbered
