"""The published Visual Genome detector: its names, its numbers, and how its weights become a ``BottomUpDetector``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import Config, override, preset
from updown_lab.errors import DataInvalid
from updown_lab.vision.anchors import KINDS, cell_anchors
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.published_files import find_published, read_names, read_settings, read_weights
from updown_lab.vision.published_settings import apply_settings
from updown_lab.vision.trunk import build_trunk

ANCHORS = "proposal_generator.anchor_generator.cell_anchors.0"
_NAMES = (  # our name to the published one, one rule after the other
    (r"^trunk\.conv1\.", "backbone.stem.conv1."),
    (r"^trunk\.bn1\.", "backbone.stem.conv1.norm."),
    (r"^trunk\.layer4\.", "roi_heads.res5."),
    (r"^trunk\.layer3\.", "backbone.res4."),
    (r"^trunk\.layer2\.", "backbone.res3."),
    (r"^trunk\.layer1\.", "backbone.res2."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"(res\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm."),
    (r"^rpn\.head\.conv\.0\.", "proposal_generator.rpn_head.conv."),
    (r"^rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"^(?:predictor|attribute_head)\.", "roi_heads.box_predictor."),
)


@dataclass(frozen=True)
class Published:
    """What came with published weights.

    Attributes:
        source:     the weights file.
        config:     all numbers: ``config.selection`` says which detections the authors keep.
        objects:    names of the classes, or empty.
        attributes: names of the attributes, or empty.
        notes:      sentences about what was read and what was chosen; worth a look.
    """

    source: Path
    config: Config
    objects: tuple[str, ...]
    attributes: tuple[str, ...]
    notes: tuple[str, ...]


def load_visual_genome_detector(
    source: Path | str,
    objects: Path | str | Sequence[str] | None = None,
    attributes: Path | str | Sequence[str] | None = None,
    device: torch.device | str = "cpu",
    **changes,
) -> BottomUpDetector:
    """The published bottom-up attention detector, 1600 classes and 400 attributes, ready to look at your images.

    The weights are the authors' Caffe network as LXMERT or airsplay converted it. Sizes, anchors, colours, box weights
    and thresholds are read from the files; what they do not say is the preset "visual-genome". Nothing is guessed
    about names: the file must have every weight of the network and no other.

    Args:
        source:     folder or file (``pytorch_model.bin`` with ``config.yaml`` beside it, or detectron2's ``.pkl``), or
                    a name on the Hugging Face hub: "unc-nlp/frcnn-vg-finetuned".
        objects:    names of the classes, or a file with one a line; default ``objects_vocab.txt`` beside the weights.
        attributes: the same; default ``attributes_vocab.txt``.
        device:     where it will run.
        changes:    settings that should differ, by path: ``**{"detector.resize": "pil", "trunk.colours": "rgb"}``.

    Returns:
        The detector in evaluation mode; ``detector.published`` holds its names, settings and notes.

    Raises:
        DataMissing: no files there, or the hub cannot be reached; the message says what to download.
        DataInvalid: the files cannot be read safely, or do not fit: all names, shapes and values are listed.
        ConfigError: an unknown setting in ``changes``.
    """
    weights_file, settings_file = find_published(source)
    weights, faults = read_weights(weights_file)
    config, notes = apply_settings(_start(weights_file), read_settings(settings_file), settings_file)
    config, classes, kinds = _measure(config, weights)
    config = override(config, **changes)
    with torch.device("meta"):
        skeleton = BottomUpDetector(build_trunk(config.trunk), config.detector, classes, kinds)
    faults += _misfits(skeleton, weights)
    if faults:
        raise DataInvalid(f"{weights_file} does not fit the published network:\n  " + "\n  ".join(faults))
    config, note = _with_anchors(config, weights[ANCHORS])
    detector = BottomUpDetector(build_trunk(config.trunk), config.detector, classes, kinds)
    state = {name: weights.get(published_name(name), value) for name, value in detector.state_dict().items()}
    detector.load_state_dict(state)
    folder = weights_file.parent
    detector.published = Published(
        weights_file,
        config,
        _names(objects, folder / "objects_vocab.txt", classes),
        _names(attributes, folder / "attributes_vocab.txt", kinds),
        (*notes, note),
    )
    return detector.to(device).eval()


def published_name(name: str) -> str:
    """The name of a weight in the published files.

    >>> published_name("trunk.layer4.0.downsample.1.bias"), published_name("rpn.head.bbox_pred.weight")
    ('roi_heads.res5.0.shortcut.norm.bias', 'proposal_generator.rpn_head.anchor_deltas.weight')
    """
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def published_state(detector: BottomUpDetector) -> dict[str, Tensor]:
    """The weights under their published names, anchors included: what ``pytorch_model.bin`` holds.

    >>> tiny = preset("tiny")
    >>> state = published_state(BottomUpDetector(build_trunk(tiny.trunk), tiny.detector, classes=3, attributes=2))
    >>> state["roi_heads.box_predictor.cls_score.weight"].shape
    torch.Size([4, 192])
    """
    state = {published_name(name): value for name, value in detector.state_dict().items()}
    return {**state, ANCHORS: detector.rpn.anchor_generator.cell_anchors[0]}


def _start(weights_file: Path) -> Config:
    """The published settings where no file says more: LXMERT's, or for detectron2's ``.pkl`` airsplay's script."""
    config = preset("visual-genome")
    if weights_file.suffix != ".pkl":
        return config
    ladder = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    return override(config, **{"detector.resize": "pil", "selection.nms_ladder": ladder})


def _measure(config: Config, weights: dict[str, Tensor]) -> tuple[Config, int, int]:
    """The network's sizes as the file has them; where it has nothing, the published ones, so that the gap is named."""

    def size(name: str, axis: int, otherwise: int) -> int:
        value = weights.get(name)
        return value.shape[axis] if value is not None and value.dim() > axis else otherwise

    blocks = [f"{'roi_heads' if stage == 5 else 'backbone'}.res{stage}" for stage in (2, 3, 4, 5)]
    layers = tuple(
        len({name.split(".")[2] for name in weights if name.startswith(f"{block}.")}) or count
        for block, count in zip(blocks, config.trunk.layers, strict=True)
    )
    widths = tuple(
        size(f"{block}.0.conv1.weight", 0, width) for block, width in zip(blocks, config.trunk.widths, strict=True)
    )
    head = "roi_heads.box_predictor"
    trunk = replace(config.trunk, layers=layers, widths=widths, stem_width=size("backbone.stem.conv1.weight", 0, 64))
    anchors = size("proposal_generator.rpn_head.objectness_logits.weight", 0, 12)
    detector = replace(
        config.detector,
        proposal_width=size("proposal_generator.rpn_head.conv.weight", 0, 512),
        anchor_boxes=(0.0,) * (4 * anchors),  # the file's own come once they are known to be well
        class_embedding=size(f"{head}.cls_embedding.weight", 1, 256),
        attribute_hidden=size(f"{head}.fc_attr.weight", 0, 512),
    )
    classes, kinds = size(f"{head}.cls_score.weight", 0, 1601) - 1, size(f"{head}.attr_score.weight", 0, 401) - 1
    return replace(config, trunk=trunk, detector=detector), max(1, classes), max(1, kinds)


def _misfits(skeleton: BottomUpDetector, weights: dict[str, Tensor]) -> list[str]:
    """Every name that is missing, unknown or of another shape, and variances below zero."""
    wanted = {name: tuple(value.shape) for name, value in published_state(skeleton).items()}
    faults = []
    for name in sorted(wanted.keys() | weights.keys()):
        if name not in weights:
            if not name.endswith("num_batches_tracked"):  # detectron2 does not count batches
                faults.append(f"{name}: missing, should be {wanted[name]}")
        elif name not in wanted:
            faults.append(f"{name}: unknown, the file has {tuple(weights[name].shape)}")
        elif tuple(weights[name].shape) != wanted[name]:
            faults.append(f"{name}: the file has {tuple(weights[name].shape)}, should be {wanted[name]}")
        elif name.endswith("running_var") and (weights[name] < 0).any():
            faults.append(f"{name}: a variance is negative")
    return faults


def _with_anchors(config: Config, anchors: Tensor) -> tuple[Config, str]:
    """The file's own anchors, and a word about which formula they are."""
    detector = replace(config.detector, anchor_boxes=tuple(anchors.flatten().tolist()))
    same = [
        kind for kind in KINDS if _close(anchors, cell_anchors(kind, detector.anchor_sizes, detector.anchor_ratios))
    ]
    if same:
        note = f"anchors: the file's own, which are the formula {same[0]!r}"
        detector = replace(detector, anchors=same[0])
    else:
        far = {kind: _distance(anchors, cell_anchors(kind, detector.anchor_sizes, detector.anchor_ratios))
               for kind in ("continuous", "caffe")}  # fmt: skip
        note = "anchors: the file's own, which are no known formula; largest differences in pixels: " + ", ".join(
            f"{kind} {value}" for kind, value in far.items()
        )
    return replace(config, detector=detector), note


def _close(anchors: Tensor, formula: Tensor) -> bool:
    return anchors.shape == formula.shape and torch.allclose(anchors, formula, rtol=0, atol=1e-3)


def _distance(anchors: Tensor, formula: Tensor) -> str:
    return f"{(anchors - formula).abs().max():.3g}" if anchors.shape == formula.shape else "(another number)"


def _names(given: Path | str | Sequence[str] | None, default: Path, count: int) -> tuple[str, ...]:
    if given is None:
        return read_names(default, count) if default.is_file() else ()
    if isinstance(given, str | Path):
        return read_names(Path(given), count)
    if len(given) != count:
        raise DataInvalid(f"{len(given)} names were given, but the weights have {count}")
    return tuple(given)
