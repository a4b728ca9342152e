"""Small lessons, and the script that takes them in one of several processes.

``launch`` starts the script as torchrun would; each process leaves what it found in ``found-RANK.pt``, and the first
one what it said when the other was gone in ``lost-0.txt``.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from updown_lab.config import TrainingConfig, override, preset
from updown_lab.datasets.coco import CaptionRecord
from updown_lab.errors import UpdownError
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.regions import RegionBatch
from updown_lab.text import Vocabulary
from updown_lab.training import batches, distributed, loop
from updown_lab.training.speaking import CaptionImages, train_captioner

ITEMS = torch.randn(22, 5, generator=torch.Generator().manual_seed(4))
CFG = TrainingConfig(steps=7, batch_size=8, learning_rate=0.05, schedule="cosine", evaluate_every=3, bias_rate=2.0)


class Lesson:
    """A per-item mean loss on a small network, with dropout if asked; ``unused`` never gets a gradient."""

    def __init__(self, dropout=0.0, **changes):
        torch.manual_seed(3)
        layers = (nn.Linear(5, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 1))
        self.model = nn.ModuleDict({"used": nn.Sequential(*layers), "unused": nn.Linear(2, 2)})
        self.cfg = loop.TrainingConfig(**{**vars(CFG), **changes})
        self.rows, self.seen, self.disturb = batches.Batches(len(ITEMS), self.cfg.batch_size, 2), [], lambda step: None

    def losses_at(self, step):
        self.seen.append(step)
        self.disturb(step)
        items = ITEMS[self.rows.rows(step)]
        errors = (self.model["used"](items) - items.sum(1, keepdim=True)).pow(2)
        return {"error": errors.mean(), "size": 0.01 * self.model["used"][0].weight.pow(2).sum()}

    def fit(self, folder):
        def evaluate():
            return {"score": -self.model["used"](ITEMS).pow(2).mean().item(), "process": distributed.rank()}

        return loop.fit(self.model, self.losses_at, self.cfg, folder, 5, evaluate, checkpoint_seconds=0.0)

    def outcome(self, folder):
        history = self.fit(folder).to_dict("list")
        return {"weights": self.model.state_dict(), "history": history, "seen": self.seen}


class Sentences:
    """A captioner on images of one to four regions and captions of one to seven words."""

    def __init__(self, **changes):
        torch.manual_seed(8)
        numbers = {"batch_size": 4, "steps": 5, "evaluate_every": 5}
        small = {"captioner.hidden_size": 8, "captioner.standardise": False, "teaching.captions_per_image": 1}
        steps = {f"cross_entropy.{name}": value for name, value in numbers.items()}
        self.cfg = override(preset("tiny"), **small, **steps, **changes)
        records = [CaptionRecord(n, Path(), "train", ("a b " * (n % 3) + "c", "d")) for n in range(9)]
        words = Vocabulary([*"abcd"])
        self.images = CaptionImages(records, self, words, 8, "cpu")
        self.model = UpDownCaptioner(self.cfg.captioner, len(words), 3).double()

    def batch(self, image_ids):
        """As a feature store."""
        mask = torch.arange(4) <= torch.tensor(image_ids)[:, None] % 4
        features = torch.sin(torch.arange(9 * 12.0, dtype=torch.float64)).view(9, 4, 3)[image_ids]
        return RegionBatch(features, torch.zeros(len(mask), 4, 4), mask)

    def weights(self, folder):
        return train_captioner(self.model, self.images, self.images, self.cfg, folder).state_dict()


def refused(lesson, folder) -> str:
    """The message with which a training ends."""
    try:
        lesson.fit(folder)
    except (UpdownError, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def everything(folder: Path) -> dict:
    """Trainings of two processes: plain, with dropout, in parts, interrupted, broken."""
    mine = distributed.rank() == 1
    if mine:
        loop.atomic_path = None  # only the first process may write
    found = {"plain": Lesson().outcome(folder / "plain")}
    found["dropout"] = Lesson(dropout=0.5, optimiser="adam").outcome(folder / "dropout")
    found["parts"] = Lesson(dropout=0.5, accumulate=2).outcome(folder / "parts")
    found["captioner"] = Sentences().weights(folder / "captioner")
    halved, broken = Lesson(dropout=0.5, optimiser="adam"), Lesson()
    if mine:  # one of the two is told to stop, after the fifth step has begun
        halved.disturb = lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 4 else None
        broken.disturb = lambda step: step == 2 and broken.model["used"][0].weight.data.fill_(torch.nan)
    found["stopped"] = refused(halved, folder / "halved"), halved.seen
    found["resumed"] = Lesson(dropout=0.5, optimiser="adam").outcome(folder / "halved")
    found["broken"] = refused(broken, folder / "broken")
    found["odd"] = refused(Lesson(batch_size=7), folder / "odd")
    found["apart"] = refused(Lesson(), folder / ("plain" if mine else "nowhere"))
    found["order"] = distributed.gathered(list(range(7))[distributed.rank() :: 2])
    began = time.monotonic()
    distributed.first_alone(lambda: time.sleep(1.0))
    return found | {"waited": time.monotonic() - began}


def loses_one(folder: Path) -> str:
    """The second process does not answer any more at the third step."""
    lesson = Lesson()
    lesson.disturb = lambda step: time.sleep(300) if distributed.rank() and step == 2 else None
    return refused(lesson, folder / "lost")


def launch(folder: Path, count: int = 2) -> list[subprocess.Popen]:
    """Start processes with the variables that torchrun sets."""
    with socket.socket() as door, socket.socket() as second_door:
        for each in (door, second_door):
            each.bind(("127.0.0.1", 0))
        port, second = door.getsockname()[1], second_door.getsockname()[1]
    facts = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SECOND_PORT": second,
             "OMP_NUM_THREADS": 1}  # fmt: skip
    started = []
    for rank in range(count):
        environment = {name: str(value) for name, value in (facts | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        with open(folder / f"log-{rank}.txt", "w") as log:
            started.append(subprocess.Popen([sys.executable, __file__, folder], stderr=log,
                                            env=os.environ | environment))  # fmt: skip
    return started


def main(folder: Path) -> None:
    """What one process does: all lessons, then one in which the second process is lost."""
    torch.set_num_threads(1)
    with distributed.joined(timeout=60.0):
        found, rank = everything(folder), distributed.rank()
    torch.save(found, folder / f"found-{rank}.pt")
    os.environ["MASTER_PORT"] = os.environ["SECOND_PORT"]  # the first meeting place may not be gone yet
    with distributed.joined(timeout=15.0):
        (folder / f"lost-{rank}.txt").write_text(loses_one(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
