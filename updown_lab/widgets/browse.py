"""The region browser: what is left of a detector's boxes at a threshold and after suppression."""

from collections.abc import Sequence

import torch
import traitlets
from torch import Tensor

from updown_lab.analysis.plots import region_label
from updown_lab.regions import Regions
from updown_lab.vision.detections import Detections
from updown_lab.widgets.base import Shown, script
from updown_lab.widgets.panels import Panel, picture_bytes


class RegionBrowser(Shown):
    """Boxes with class and attribute, and two sliders: move them and count.

    Given a model or a detector it asks the detector and begins before any selection, so that the sliders show what
    selection does: ``RegionBrowser(image, demo.speaker())``. The same with a detector's raw ``Detections``. Given
    ``Regions``, or a model that sees a grid, it begins with those.

    Args:
        image:      (3, H, W) float tensor in [0, 1]; if nobody has to look at it an array (H, W, 3) or PIL image too.
        found:      a ``Speaker``, an ``Answerer`` or a ``BottomUpDetector`` that looks at the image, or the
                    ``Detections`` or ``Regions`` that somebody found there.
        objects:    name of each class id; by default the model's own, otherwise numbers.
        attributes: name of each attribute id, or None.
        threshold:  least score at the beginning.
        overlap:    IoU above which the weaker of two boxes goes; 1 keeps all.
        across:     suppress boxes of other classes too; the authors do not.

    Raises:
        ValueError: settings outside 0..1, or an image of the wrong shape.
        TypeError:  ``found`` is none of these.

    >>> regions = Regions(torch.zeros(1, 2), torch.tensor([[0., 0, 4, 4]]), (8, 8), "demo", torch.tensor([1]),
    ...                   torch.tensor([0.9]))
    >>> RegionBrowser(torch.rand(3, 8, 8), regions, ["dog", "cat"]).view["labels"]
    ['cat 0.90']
    """

    scripts = ("shared", "roving", "stage", "browse")
    _esm = script(*scripts)

    image = traitlets.Bytes(b"").tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    threshold = traitlets.Float(0.2).tag(sync=True)
    overlap = traitlets.Float(0.3).tag(sync=True)
    across = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        image,
        found,
        objects: Sequence[str] | None = None,
        attributes: Sequence[str] | None = None,
        threshold: float = 0.2,
        overlap: float = 0.3,
        across: bool = False,
    ):
        if not (0 <= threshold <= 1 and 0 <= overlap <= 1):
            raise ValueError(f"threshold and overlap lie in 0..1, got {threshold} and {overlap}")
        objects = getattr(found, "objects", None) if objects is None else objects
        attributes = getattr(found, "attributes", None) if attributes is None else attributes
        regions = _regions(image, found)
        labels = [region_label(regions, number, objects, attributes) for number in range(regions.count)]
        view = Panel([], torch.zeros(0, regions.count), regions.boxes, regions.image_size, labels).view(
            scores=_numbers(regions.scores, regions.count, 1.0).clamp(min=1e-6).float().numpy().astype("<f4").tobytes(),
            classes=_numbers(regions.classes, regions.count, 0).long().tolist(),
        )
        super().__init__(image=picture_bytes(image), view=view, threshold=threshold, overlap=overlap, across=across)


def _numbers(values: Tensor | None, count: int, otherwise: float) -> Tensor:
    return torch.full((count,), otherwise) if values is None else values.detach().cpu()


def _regions(image, found) -> Regions:
    """What there is to select from."""
    detector = getattr(getattr(found, "encoder", found), "detector", found)
    if hasattr(detector, "detect"):
        found = detector.detect([image])[0]
    elif hasattr(found, "see"):
        found = found.see(image)
    if isinstance(found, Detections):
        return _likeliest(found)
    if not isinstance(found, Regions):
        raise TypeError(
            f"found is a Speaker, an Answerer, a detector, Detections or Regions; got {type(found).__name__}"
        )
    return found


def _likeliest(found: Detections) -> Regions:
    """Every proposal as its likeliest class, in that class' box."""
    found = found.cpu()
    scores, classes = found.probabilities.max(1)
    everything = torch.cat([found.attributes, found.no_attribute[:, None]], 1)
    attribute_scores, attributes = everything.max(1)
    attributes = attributes.masked_fill(attributes == found.attributes.shape[1], -1)
    boxes = found.boxes(classes)
    opinions = (classes, scores, attributes, attribute_scores, found.attributes)
    return Regions(found.features, boxes, found.image_size, "all proposals", *opinions)
