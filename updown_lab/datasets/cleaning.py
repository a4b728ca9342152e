"""What is kept of Visual Genome's objects, and a count of every decision."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from updown_lab.datasets.json_stream import need, need_numbers
from updown_lab.datasets.names import Names, clean_name, first_name, match_object

MAXIMUM_ATTRIBUTES = 16
OVERLONG = 2  # sides of the photo


@dataclass
class Cleaning:
    """What became of the annotations: seen = kept + unknown_class + dropped_boxes + overlong_boxes.

    Attributes:
        objects_seen:       objects in the file.
        objects_kept:       objects in the records.
        unknown_class:      objects whose name is in no class.
        dropped_boxes:      objects of a known class whose box is inverted or empty inside the photo.
        overlong_boxes:     objects of a known class whose box is more than twice as long or high as the photo.
        clipped_boxes:      kept boxes that overran their photo and were cut.
        split_names:        kept objects like "white dog", split in attribute and class.
        attributes_seen:    attribute labels in the file.
        attributes_kept:    attributes in the records, those from split names too.
        unknown_attributes: labels (after splitting "red and white") that are no attribute of the list.
        truncated:          attributes beyond the 16 that an object can have.
    """

    objects_seen: int = 0
    objects_kept: int = 0
    unknown_class: int = 0
    dropped_boxes: int = 0
    overlong_boxes: int = 0
    clipped_boxes: int = 0
    split_names: int = 0
    attributes_seen: int = 0
    attributes_kept: int = 0
    unknown_attributes: int = 0
    truncated: int = 0

    def in_words(self) -> dict[str, int]:
        """The counts under names that people read.

        >>> Cleaning(objects_seen=3).in_words()["objects seen"]
        3
        """
        return {name.replace("_", " "): count for name, count in asdict(self).items()}


def clean_objects(
    objects: Iterable[tuple[dict, str]],
    described: Mapping[int, tuple[int, ...]],
    size: tuple[int, int],
    names: Names,
    done: Cleaning,
) -> Iterator[tuple[tuple[float, float, float, float], int, tuple[int, ...]]]:
    """The objects of one photo that are worth keeping.

    Args:
        objects:   entries of ``objects.json``, each with its place for messages.
        described: attribute ids by object number.
        size:      of the photo, width and height in pixels.
        names:     what the detector can say.
        done:      counts, which grow.

    Returns:
        (box, class, attributes) of each; the box (x1, y1, x2, y2) in pixels, inside the photo.

    Raises:
        DataInvalid: a field is missing or wrong; the message names its place.

    >>> done, names = Cleaning(), Names(("dog",), ("white",), {"dog": 0}, {"white": 0})
    >>> dog = {"object_id": 5, "x": -4, "y": 6, "w": 10, "h": 8, "names": ["white dog"]}
    >>> list(clean_objects([(dog, "object 1")], {}, (40, 30), names, done)), done.clipped_boxes
    ([((0.0, 6.0, 6.0, 14.0), 0, (0,))], 1)
    """
    for item, spot in objects:
        done.objects_seen += 1
        object_id = need(item, "object_id", int, spot)
        match = match_object(clean_name(first_name(item, spot)), names)
        corner_and_size = need_numbers(item, ("x", "y", "w", "h"), spot)
        if match is None:
            done.unknown_class += 1
            continue
        box = _box_inside(corner_and_size, size, done)
        if box is None:
            continue
        attributes = tuple(dict.fromkeys(match[1] + described.get(object_id, ())))
        done.objects_kept += 1
        done.split_names += bool(match[1])
        done.truncated += max(0, len(attributes) - MAXIMUM_ATTRIBUTES)
        done.attributes_kept += len(attributes[:MAXIMUM_ATTRIBUTES])
        yield box, match[0], attributes[:MAXIMUM_ATTRIBUTES]


def _box_inside(corner_and_size: tuple[float, ...], size: tuple[int, int], done: Cleaning):
    """(x1, y1, x2, y2) cut to the photo, or None if the box says nothing."""
    x, y, width, height = corner_and_size
    if width > OVERLONG * size[0] or height > OVERLONG * size[1]:
        done.overlong_boxes += 1
        return None
    whole = (x, y, x + width, y + height)
    box = (max(x, 0.0), max(y, 0.0), min(whole[2], size[0]), min(whole[3], size[1]))
    if box[2] <= box[0] or box[3] <= box[1]:
        done.dropped_boxes += 1
        return None
    done.clipped_boxes += box != whole
    return box
