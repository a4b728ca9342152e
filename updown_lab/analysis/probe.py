"""What do features hold? The simplest reader that can learn anything: a weighted sum of the numbers of one region."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor
from torchvision.ops import box_iou

from updown_lab.errors import DataMissing
from updown_lab.metrics.grounding import Objects
from updown_lab.store.feature_store import FeatureStore

Pictures = Mapping[int, Objects]  # image id: (names, box) of each thing in it


def probe(store: FeatureStore, train: Pictures, test: Pictures, strength: float = 1.0) -> pd.DataFrame:
    """How often a linear reader names a thing from the one region, or cell, that lies best on it.

    The reader is the same for all features, needs no luck and no patience, and so tells what is *in* them: what the
    network has learned (compare two grids), and what it matters to frame a thing (compare a grid with regions).

        W = argmin |Z W - Y|^2 + strength |W|^2,   Z standardised features, Y one column a name        ridge regression

    Args:
        store:    features of all pictures.
        train:    pictures that the reader learns from.
        test:     other pictures; things whose name no training picture has are left out.
        strength: of the pull towards 0.

    Returns:
        A row a test thing: "image_id", "name", "said", and "score", 100 if both are the same, else 0.

    Raises:
        DataMissing: no thing to learn from, or to be asked about.

    >>> import tempfile
    >>> from updown_lab.regions import Regions
    >>> from updown_lab.store.feature_store import write_features
    >>> boxes, folder = torch.tensor([[0.0, 0, 9, 9], [9, 0, 18, 9]]), tempfile.mkdtemp()
    >>> see = lambda images: [Regions(image, boxes, (18, 9), "toy") for image in images]
    >>> pictures = {1: torch.tensor([[1.0, 0], [0, 1]]), 2: torch.tensor([[0, 1.0], [1, 0]])}
    >>> write_features(see, [(n, lambda n=n: pictures[n]) for n in pictures], folder, 2, source="toy", progress=False)
    >>> left, right = [0.0, 0, 8, 9], [10.0, 0, 18, 9]
    >>> truth = {1: [({"cat"}, left), ({"dog"}, right)], 2: [({"dog"}, left)]}
    >>> probe(FeatureStore.open(folder), {1: truth[1]}, {2: truth[2]})["score"].tolist()
    [100.0]
    """
    _, names, features = _things(store, train)
    known = sorted(set(names))
    images, truth, asked = _things(store, {image: _of(objects, set(known)) for image, objects in test.items()})
    if not names or not truth:
        raise DataMissing(f"{len(names)} things to learn from and {len(truth)} to ask about: give pictures with things")
    middle, deviation = features.mean(0), features.std(0, unbiased=False).clamp(min=1e-6)
    learned, seen = (
        torch.nn.functional.pad((part - middle) / deviation, (0, 1), value=1.0) for part in (features, asked)
    )
    columns = torch.tensor([known.index(name) for name in names])
    wanted = torch.nn.functional.one_hot(columns, len(known)).double()
    square = learned.T @ learned + strength * torch.eye(learned.shape[1], dtype=torch.float64)
    said = (seen @ torch.linalg.solve(square, learned.T @ wanted)).argmax(1)
    table = pd.DataFrame({"image_id": images, "name": truth, "said": [known[n] for n in said.tolist()]})
    return table.assign(score=100.0 * (table["name"] == table["said"]))


def _of(objects: Objects, known: set[str]) -> Objects:
    return [(names, box) for names, box in objects if min(names) in known]


def _things(store: FeatureStore, pictures: Pictures) -> tuple[list[int], list[str], Tensor]:
    """Image id, name and (n, D) features of every thing."""
    images, names, rows = [], [], []
    for image, objects in pictures.items():
        regions = store[image]
        for kinds, box in objects:
            overlap = box_iou(regions.boxes.double(), torch.as_tensor(box).double()[None])[:, 0]
            if len(overlap):
                images.append(image)
                names.append(min(kinds))  # of several names the first in the alphabet
                rows.append(regions.features[int(overlap.argmax())].double())
    return images, names, torch.stack(rows) if rows else torch.zeros(0, store.feature_dim).double()


def framed(boxes: Tensor, objects: Sequence) -> list[float]:
    """How well each thing is framed: the best overlap (IoU) of any region with it.

    >>> framed(torch.tensor([[0.0, 0, 10, 10], [0, 0, 5, 10]]), [({"cat"}, [0.0, 0, 5, 10])])
    [1.0]
    """
    return [float(box_iou(boxes.double(), torch.as_tensor(box).double()[None]).max()) for _, box in objects]
