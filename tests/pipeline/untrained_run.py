"""A run in the quickstart's layout whose networks have learned nothing: enough to extract with."""

from pathlib import Path

import torch

from updown_lab.checkpoints import save_model
from updown_lab.config import Config, preset, save_config
from updown_lab.files import write_json
from updown_lab.pipeline.plans import make_plan
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.trunk import Classifier, build_trunk

OBJECTS, ATTRIBUTES = ("cat", "hat", "boat"), ("red", "blue", "small", "wet")


def untrained_run(folder: Path, config: Config | None = None) -> Path:
    """Write trunk and detector, marked as done."""
    config = config or preset("tiny")
    torch.manual_seed(0)
    plan = make_plan(config, folder)
    save_config(config, folder / "config.json")
    detector = BottomUpDetector(build_trunk(config.trunk), config.detector, len(OBJECTS), len(ATTRIBUTES))
    save_model(plan.path("detector"), detector, objects=OBJECTS, attributes=ATTRIBUTES)
    save_model(plan.path("trunk"), Classifier(build_trunk(config.trunk), 5), classes=5)
    for name in ("trunk", "detector"):
        write_json(plan.path(name) / "stage.json", {"fingerprint": plan.fingerprint(plan.find(name))})
    return folder
