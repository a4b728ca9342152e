"""What the explorer shows of one model, as plain data: words, weights, boxes and their names."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from updown_lab.pipeline.told import labels_of

LARGEST = 1400  # longest side of a picture that is sent to the browser, in pixels
GRID_LABEL = re.compile(r"cell \d+,\d+")
WORST = -99.0  # JSON has no minus infinity


@dataclass(frozen=True)
class Panel:
    """One sentence, and where its model looked for each word. Needs no model: your own numbers will do.

    Attributes:
        words:     the T words.
        weights:   (T, K) attention weights, none negative.
        boxes:     (K, 4) pixels; a grid's cells are regions too.
        size:      (width, height) of the image whose pixels those are.
        labels:    a name a region, for instance "red car 0.93"; by default their numbers.
        names:     shorter ones that fit on the picture, "car 0.93"; by default the labels.
        name:      of the model, shown above.
        log_probs: of each word, in nats; or none.
        entropies: of the choice of each word, in nats; or none.
        alternatives: for each place pairs (word, log-probability); or none.

    Raises:
        ValueError: parts that do not fit together, or weights that are not numbers.

    >>> panel = Panel(["a", "cat"], torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([[0., 0, 9, 9], [3, 3, 6, 9]]),
    ...               size=(9, 9))
    >>> panel.labels, len(panel.view()["weights"])       # 2 words x 2 regions x 2 bytes
    (['region 1', 'region 2'], 8)
    """

    words: Sequence[str]
    weights: Tensor
    boxes: Tensor
    size: tuple[int, int]
    labels: Sequence[str] = ()
    name: str = ""
    log_probs: Sequence[float] = ()
    entropies: Sequence[float] = ()
    alternatives: Sequence[Sequence[tuple[str, float]]] = field(default=())
    names: Sequence[str] = ()

    def __post_init__(self):
        weights, boxes = (torch.as_tensor(part).detach().cpu().float() for part in (self.weights, self.boxes))
        if boxes.dim() != 2 or boxes.shape[1] != 4 or weights.shape != (len(self.words), len(boxes)):
            raise ValueError(
                f"{len(self.words)} words need weights (T, K) = ({len(self.words)}, {len(boxes)}) and boxes (K, 4); "
                f"got {tuple(weights.shape)} and {tuple(boxes.shape)}"
            )
        if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
            raise ValueError("attention weights should be numbers from 0 on; some are negative, nan or infinite")
        for name in ("labels", "names"):
            if len(getattr(self, name)) not in (0, len(boxes)):
                raise ValueError(f"{len(boxes)} regions need as many {name}, got {len(getattr(self, name))}")
        for name in ("log_probs", "entropies", "alternatives"):
            if len(getattr(self, name)) not in (0, len(self.words)):
                raise ValueError(f"{name} should hold one entry for each of {len(self.words)} words, or none; "
                                 f"got {len(getattr(self, name))}")  # fmt: skip
        labels = [str(label) for label in self.labels] or [f"region {number}" for number in range(1, len(boxes) + 1)]
        names = [str(name) for name in self.names] or labels
        for name, value in (("weights", weights), ("boxes", boxes), ("labels", labels), ("names", names)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, told, name: str = "") -> "Panel":
        """The panel of a ``Told``, or of anything with words, weights and regions.

        Args:
            told: has ``words``, ``weights`` (T, K), ``regions``, and perhaps ``labels``, ``names``, ``log_probs``,
                  ``entropies`` and ``alternatives``.
            name: of the model.
        """
        regions, parts = told.regions, ("log_probs", "entropies", "alternatives", "names")
        optional = {part: list(getattr(told, part, None) or ()) for part in parts}
        labels = list(getattr(told, "labels", None) or labels_of(regions))
        return cls(list(told.words), told.weights, regions.boxes, regions.image_size, labels, name, **optional)

    def view(self, **more) -> dict:
        """What goes to the browser: weights as float16, boxes as float32 shares of the image."""
        width, height = self.size
        shares = (self.boxes / torch.tensor([width, height, width, height])).clamp(0, 1)
        return {
            "name": self.name,
            "words": [str(word) for word in self.words],
            "weights": self.weights.numpy().astype("<f2").tobytes(),
            "boxes": shares.numpy().astype("<f4").tobytes(),
            "aspect": width / height,
            "grid": all(GRID_LABEL.fullmatch(label) for label in self.labels),  # such names are for the bars only
            "labels": list(self.labels),
            "names": list(self.names),
            "logProbs": [_finite(value) for value in self.log_probs],
            "entropies": [_finite(value) for value in self.entropies],
            "alternatives": [[[str(word), _finite(value)] for word, value in place] for place in self.alternatives],
            **more,
        }


def _finite(value: float) -> float:
    return float(np.nan_to_num(float(value), nan=WORST, neginf=WORST, posinf=0.0))


def picture_bytes(image) -> bytes:
    """An image as the bytes of a file: PNG, or JPEG if it is large, never larger than the screen needs.

    Args:
        image: (3, H, W) float tensor in [0, 1], array (H, W, 3) of floats in [0, 1] or bytes, or PIL image.

    Raises:
        ValueError: another shape.

    >>> picture_bytes(torch.zeros(3, 8, 8))[1:4]
    b'PNG'
    """
    if isinstance(image, Tensor):
        image = image.detach().cpu().movedim(0, -1).numpy() if image.dim() == 3 else image.detach().cpu().numpy()
    if not isinstance(image, Image.Image):
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is a tensor (3, H, W) or an array (H, W, 3); got shape {image.shape}")
        if image.dtype != np.uint8:
            image = (np.clip(np.nan_to_num(image), 0, 1) * 255).round().astype(np.uint8)
        image = Image.fromarray(image)
    image = image.convert("RGB")
    image.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    small = image.width * image.height <= 1 << 18
    image.save(buffer, **({"format": "PNG"} if small else {"format": "JPEG", "quality": 90}))
    return buffer.getvalue()
