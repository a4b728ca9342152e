"""A small scene and models that answer at once, for the tests of the widgets."""

from types import SimpleNamespace

import torch

from updown_lab.regions import Regions
from updown_lab.widgets.panels import Panel

EVIL = "<img src=x onerror=alert(1)>"
WORDS = ["a", "red", "kite", "over", "blue", "sea"]
BOXES = torch.tensor([[20.0, 10, 60, 50], [0, 50, 120, 90], [0, 0, 120, 90], [70, 20, 100, 60]])
LABELS = ["red kite 0.97", "blue sea 0.91", "sky 0.80", "</script><script>document.title='broken'</script>"]


def image():
    """A red kite over a blue sea, 120 x 90 pixels."""
    picture = torch.full((3, 90, 120), 0.8)
    picture[:, 50:] = torch.tensor([0.2, 0.4, 0.8])[:, None, None]
    picture[:, 10:50, 20:60] = torch.tensor([0.9, 0.2, 0.2])[:, None, None]
    return picture


def regions(boxes=BOXES):
    """One-hot features, so that a test can tell which region is which."""
    return Regions(torch.eye(8)[: len(boxes)], boxes, (120, 90), "regions", torch.arange(len(boxes)))


def many() -> Panel:
    """The largest panel that the paper's settings allow: 100 regions, 20 words."""
    random = torch.Generator().manual_seed(1)
    corners = torch.rand(100, 2, generator=random) * 80
    boxes = torch.cat([corners, corners + 5 + torch.rand(100, 2, generator=random) * 30], 1).clamp(max=90)
    looks = torch.rand(20, 100, generator=random).mul(6).softmax(1)
    others = [[(f"other{number}", -2.0) for number in range(5)]] * 20
    words, labels = (
        [f"word{number}" for number in range(20)],
        [f"large, red thing {number} 0.50" for number in range(100)],
    )
    return Panel(words, looks, boxes, (120, 90), labels, "many", [-0.2] * 20, [0.4] * 20, others)


def weights(words: int, count: int, strong) -> torch.Tensor:
    """Most of the weight on one region a word."""
    table = torch.full((words, count), 0.08 / count)
    table[torch.arange(words), torch.tensor(strong)] += 0.92
    return table


def panel(name: str = "", words=WORDS, strong=(2, 0, 0, 2, 1, 1)) -> Panel:
    """The whole sentence as plain data."""
    others = [[(word, -0.1), ("boat", -2.5), (EVIL, -4.0)] for word in words]
    return Panel(words, weights(len(words), 4, strong), BOXES, (120, 90), LABELS, name,
                 [-0.1] * len(words), [0.4] * len(words), others)  # fmt: skip


class FakeSpeaker:
    """Says what it sees: the number of its regions, after whatever it was told to begin with."""

    def __init__(self, name="fake", sees_boxes=True):
        self.name, self.heard = name, []
        if sees_boxes:
            self.see_boxes = lambda image, boxes: regions(boxes)

    def see(self, image):
        return regions()

    def describe(self, regions, start=()):
        self.heard.append((regions.count, list(start)))
        words = [*start, "sees", str(regions.count), "things"]
        return SimpleNamespace(
            words=words, weights=weights(len(words), regions.count, [0] * len(words)), regions=regions,
            labels=[f"thing {number}" for number in range(regions.count)], log_probs=[-0.2] * len(words),
            entropies=[0.5] * len(words), alternatives=[[(word, -0.2), ("maybe", -1.9)] for word in words],
        )  # fmt: skip
