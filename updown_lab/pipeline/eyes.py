"""Which networks look at anybody's pictures: those of a finished run, published weights, or torchvision's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from updown_lab.analysis.compare import flat
from updown_lab.checkpoints import read_facts
from updown_lab.config import Config, override, preset, to_dict
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.work import best_device, load_detector, load_trunk
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.writer import encoder_fingerprint
from updown_lab.vision.encoders import Encoder, build_encoder
from updown_lab.vision.fpn import COCO_CLASSES, DEFAULT, load_coco_detector
from updown_lab.vision.trunk import build_trunk

RUN = "runs/quickstart"
KINDS = "regions, regions-coco, grid-pretrained-N, grid-detector-N (N x N cells)"
#: ImageNet networks for grid-pretrained-N by the name of their weights: the presets that use them.
IMAGENET = {"torchvision": "paper", "pypi": "photos"}


@dataclass(frozen=True)
class Eyes:
    """An encoder, and what a store should remember of it.

    Attributes:
        encoder:     images in, regions out.
        fingerprint: text that changes with any setting and any weight.
        about:       JSON for people: where the weights are from, settings, names of classes and attributes.
    """

    encoder: Encoder
    fingerprint: str
    about: Mapping


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name, or the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ConfigError: unknown, or not in this machine.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if not name:
        return best_device()
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"no device {name!r} here ({first}); this machine's best is {best_device()}") from None


def open_eyes(
    features: str,
    run_folder: Path | str | None = None,
    weights: str | None = None,
    device: str | None = None,
    changes: Mapping[str, object] | None = None,
) -> Eyes:
    """The encoder of a kind of features.

    Args:
        features:   "regions", "regions-coco", "grid-pretrained-7", "grid-detector-7" (any number).
        run_folder: a finished run whose networks look; by default ``runs/quickstart``, unless there are weights.
        weights:    for "regions" and "grid-detector-N" the published detector (folder, file or name on the hub); for
                    "regions-coco" a file or a name of torchvision; for "grid-pretrained-N" "torchvision" (ResNet-101)
                    or "pypi" (EfficientNet-Lite0).
        device:     "cuda", "mps", "cpu"; by default the best there is.
        changes:    settings that should differ, by dotted name, for instance ``{"selection.maximum": 36}``.

    Raises:
        ConfigError: an unknown kind, setting or device, or both a run and weights.
        DataMissing: no such run or weights; the message says how to get them.
        DataInvalid: weights that do not fit.
    """
    if not re.fullmatch(r"regions(-coco)?|grid-(pretrained|detector)-[1-9]\d*", features):
        raise ConfigError(f"anybody's pictures can be seen as {KINDS}; got {features!r}")
    if run_folder and weights:
        raise ConfigError("a finished run has its own weights: give --run-folder or --weights, not both")
    place, changes = choose_device(device), dict(changes or {})
    if features == "regions-coco":
        if run_folder:
            raise ConfigError("regions-coco is torchvision's detector, no run has it; leave --run-folder out")
        cfg, network, names = _coco(weights, changes)
    elif weights:
        cfg, network, names = _published(features, weights, changes)
    else:
        cfg, network, names = _of_run(features, run_folder or RUN, changes)
    part = "trunk" if features.startswith("grid-pretrained") else "detector"
    encoder = build_encoder(features, cfg, **{part: network.to(place)})
    settings = {name: to_dict(getattr(cfg, name)) for name in ("trunk", "detector", "selection", "grid")}
    if features == "regions-coco":
        settings = {"selection": settings["selection"]}
    mark = encoder_fingerprint({"features": features, **settings}, network.state_dict())
    origin = str(weights or ("torchvision" if features == "regions-coco" else run_folder or RUN))
    return Eyes(encoder, mark, {"weights": origin, "settings": settings, **names})


def eyes_of_store(path: Path | str, device: str | None = None) -> Eyes:
    """The eyes that once filled a feature store with ``extract``, for pictures that are not in it.

    Raises:
        DataMissing: the store does not say whose eyes, or the run or weights are gone.
        DataInvalid: the networks or settings are others by now.
    """
    store = FeatureStore.open(path)
    about = store.manifest.get("about") or {}
    if "weights" not in about or "settings" not in about:
        raise DataMissing(f"{store.path} does not say which networks filled it (it was imported): look at pictures "
                          "with --weights, or fill a store with updown-lab extract")  # fmt: skip
    origin, changes = about["weights"], flat(about["settings"])
    own = {"run_folder": origin} if Path(origin, "config.json").exists() else {"weights": origin}
    eyes = open_eyes(store.source, device=device, changes=changes, **own)
    if eyes.fingerprint != store.fingerprint:
        again = store.manifest.get("command", "updown-lab extract")
        raise DataInvalid(f"{origin} is not what filled {store.path} any more: its networks or settings have changed; "
                          f"fill the store again with: {again}")  # fmt: skip
    return eyes


def _coco(weights: str | None, changes: dict) -> tuple[Config, nn.Module, dict]:
    cfg = override(preset("paper"), **changes)
    return cfg, load_coco_detector(weights or DEFAULT), {"objects": list(COCO_CLASSES)}


def _published(features: str, weights: str, changes: dict) -> tuple[Config, nn.Module, dict]:
    if features.startswith("grid-pretrained"):
        if weights not in IMAGENET:
            raise ConfigError(f"--weights for {features} is {' or '.join(IMAGENET)} (ImageNet's); got {weights!r}")
        cfg = override(preset(IMAGENET[weights]), **changes)
        return cfg, build_trunk(cfg.trunk).eval(), {}
    from updown_lab.vision.published import load_visual_genome_detector

    detector = load_visual_genome_detector(weights, **changes)
    came = detector.published
    return came.config, detector, {"objects": list(came.objects), "attributes": list(came.attributes)}


def _of_run(features: str, folder: Path | str, changes: dict) -> tuple[Config, nn.Module, dict]:
    run = FinishedRun(folder, features)
    cfg = override(run.config, **changes)
    if features.startswith("grid-pretrained"):
        learned = cfg.trunk.weights == "pretrained"
        return cfg, load_trunk(run.stage("trunk") if learned else run.folder, cfg), {}
    place = run.stage("detector")
    facts = read_facts(place)
    return cfg, load_detector(place, cfg), {name: facts[name] for name in ("objects", "attributes")}
