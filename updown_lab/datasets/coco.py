"""Readers of MS COCO: captions, Karpathy's split of them, and object boxes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from updown_lab.datasets.json_stream import need, need_numbers, stream_records
from updown_lab.errors import DataInvalid

Box = tuple[float, float, float, float]
_BOX = ("x", "y", "width", "height")

RESTVAL_TRAINS = {"restval": "train"}  # val2014 photos outside Karpathy's val and test; the paper trains on them


@dataclass(frozen=True)
class CaptionRecord:
    """One photo and what people said about it.

    Attributes:
        image_id: COCO's number of the photo.
        file:     the photo.
        split:    "train", "val", "test", or "" where the file does not say.
        captions: usually five; none for a photo whose captions are kept secret.
    """

    image_id: int
    file: Path
    split: str
    captions: tuple[str, ...]


def read_karpathy(
    path: Path | str, images_folder: Path | str, splits: Mapping[str, str] = RESTVAL_TRAINS
) -> list[CaptionRecord]:
    """Read ``dataset_coco.json``, the split that almost every captioning paper reports on.

    A photo is expected at ``images_folder/filepath/filename``, or right under ``images_folder`` where that has no
    folder ``filepath``. No photo is opened: whoever has features needs none.

    Args:
        path:          the file, plain or gzipped.
        images_folder: holds ``train2014`` and ``val2014``, or all photos.
        splits:        new name of a split; names that are not listed stay.

    Returns:
        One record a photo, in the order of the file.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a photo without a field, or listed twice; the message names file and photo.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "dataset_coco.json"
    >>> photo = {"filename": "9.jpg", "cocoid": 9, "split": "restval", "sentences": [{"raw": "A red cat."}]}
    >>> _ = path.write_text(json.dumps({"images": [photo]}))
    >>> [(record.split, record.captions) for record in read_karpathy(path, "photos")]
    [('train', ('A red cat.',))]
    """
    records: dict[int, CaptionRecord] = {}
    folders: dict[str, Path] = {}
    for number, image in enumerate(stream_records(path, "images"), 1):
        place = f"{path}, image {number}"
        image_id = need(image, "cocoid" if "cocoid" in image else "imgid", int, place)  # Flickr30k has only imgid
        if image_id in records:
            raise DataInvalid(f"{place}: image {image_id} is listed twice; keep one of them")
        part = need({"filepath": "", **image}, "filepath", str, place)
        if part not in folders:
            folders[part] = _photo_folder(Path(images_folder), part)
        split = need(image, "split", str, place)
        sentences = need(image, "sentences", list, place)
        captions = tuple(need(_object(sentence, place), "raw", str, place).strip() for sentence in sentences)
        file = folders[part] / need(image, "filename", str, place)
        records[image_id] = CaptionRecord(image_id, file, splits.get(split, split), captions)
    return list(records.values())


def _photo_folder(images_folder: Path, part: str) -> Path:
    flat = images_folder.is_dir() and not (images_folder / part).is_dir()
    return images_folder if flat else images_folder / part


def _object(value, place: str) -> dict:
    if not isinstance(value, dict):
        raise DataInvalid(f"{place}: expected an object, got {value!r:.60}")
    return value


def read_coco_captions(path: Path | str, images_folder: Path | str) -> list[CaptionRecord]:
    """Read ``captions_*.json``: photos and captions in two lists, joined by the photo's number.

    Official files know no split. If an image has the field ``karpathy_split`` or ``split``, that is taken
    ("restval" becomes "train").

    Args:
        path:          the file, plain or gzipped.
        images_folder: the folder with the photos; none is opened.

    Returns:
        One record an image, in the order of the file; captions in the order of the annotations.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a field is missing or wrong, an image is listed twice, or a caption belongs to no image;
            the message names file and annotation.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "captions.json"
    >>> image, caption = {"id": 9, "file_name": "9.jpg"}, {"id": 1, "image_id": 9, "caption": "A red cat."}
    >>> _ = path.write_text(json.dumps({"images": [image], "annotations": [caption]}))
    >>> read_coco_captions(path, "photos")[0].captions
    ('A red cat.',)
    """
    images = _read_images(path)
    captions: dict[int, list[str]] = {image_id: [] for image_id in images}
    for number, annotation in enumerate(stream_records(path, "annotations"), 1):
        place = _annotation_place(path, number, annotation)
        captions[_known_image(annotation, images, place)].append(need(annotation, "caption", str, place).strip())
    records = []
    for image_id, image in images.items():
        place = f"{path}, image {image_id}"
        split = need({"split": "", **image}, "karpathy_split" if "karpathy_split" in image else "split", str, place)
        file = Path(images_folder) / need(image, "file_name", str, place)
        records.append(CaptionRecord(image_id, file, RESTVAL_TRAINS.get(split, split), tuple(captions[image_id])))
    return records


def read_coco_boxes(path: Path | str) -> dict[int, list[tuple[str, Box]]]:
    """Read ``instances_*.json``: which of the 80 categories stands where, for oracle boxes and grounding.

    Crowd annotations (``iscrowd`` 1) are left out: one box around forty people points at nobody.

    Args:
        path: the file, plain or gzipped; its boxes are (x, y, width, height) in pixels.

    Returns:
        For every image of the file, (category name, (x1, y1, x2, y2)) in pixels, x2 and y2 exclusive.

    Raises:
        DataMissing: there is no such file.
        DataInvalid: a field is missing or wrong, a size is negative, or image or category is unknown.

    >>> import json, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "instances.json"
    >>> cat = {"id": 1, "image_id": 9, "category_id": 17, "bbox": [10, 20, 5, 8]}
    >>> parts = {"images": [{"id": 9}], "annotations": [cat], "categories": [{"id": 17, "name": "cat"}]}
    >>> _ = path.write_text(json.dumps(parts))
    >>> read_coco_boxes(path)
    {9: [('cat', (10.0, 20.0, 15.0, 28.0))]}
    """
    images = _read_images(path)
    categories = {}
    for number, category in enumerate(stream_records(path, "categories"), 1):
        place = f"{path}, category {number}"
        categories[need(category, "id", int, place)] = need(category, "name", str, place)
    boxes: dict[int, list[tuple[str, Box]]] = {image_id: [] for image_id in images}
    for number, annotation in enumerate(stream_records(path, "annotations"), 1):
        place = _annotation_place(path, number, annotation)
        image_id = _known_image(annotation, images, place)
        category = need(annotation, "category_id", int, place)
        if category not in categories:
            raise DataInvalid(f"{place}: category {category} is not in the file's list of {len(categories)} categories")
        box = _corners(need(annotation, "bbox", list, place), place)
        if not annotation.get("iscrowd"):
            boxes[image_id].append((categories[category], box))
    return boxes


def _read_images(path: Path | str) -> dict[int, dict]:
    images: dict[int, dict] = {}
    for number, image in enumerate(stream_records(path, "images"), 1):
        image_id = need(image, "id", int, f"{path}, image {number}")
        if image_id in images:
            raise DataInvalid(f"{path}, image {number}: image {image_id} is listed twice; keep one of them")
        images[image_id] = image
    return images


def _annotation_place(path: Path | str, number: int, annotation: dict) -> str:
    return f"{path}, annotation {annotation.get('id', f'number {number}')}"


def _known_image(annotation: dict, images: Mapping[int, dict], place: str) -> int:
    image_id = need(annotation, "image_id", int, place)
    if image_id not in images:
        raise DataInvalid(f"{place}: image {image_id} is not in the file's list of {len(images)} images")
    return image_id


def _corners(box: list, place: str) -> Box:
    """(x, y, width, height) to (x1, y1, x2, y2)."""
    x, y, width, height = need_numbers(dict(zip(_BOX, box, strict=False)), _BOX, f"{place}, 'bbox' {box!r:.60}")
    if len(box) != 4 or min(width, height) < 0:
        raise DataInvalid(f"{place}: 'bbox' should be [x, y, width, height] with sizes of 0 or more, got {box!r:.60}")
    return x, y, x + width, y + height
