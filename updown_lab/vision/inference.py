"""A detector that only looks: the same answers, sooner."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.pooling import align_by_matrices


def for_inference(detector: BottomUpDetector) -> BottomUpDetector:
    """A copy of a detector for extraction: BatchNorm folded into the convolutions, channels last in memory.

    In evaluation BatchNorm multiplies and adds constants, which the convolution before it can do on the way:

        bn(W x) = (g / s) W x + (b - g m / s)

    with the learned g and b, the mean m and the deviation s. Nothing else changes; features differ by rounding, about
    1e-6 of their size.

    Args:
        detector: any; it is not touched.

    Returns:
        a copy in evaluation mode. It cannot be trained, and its weights have other names.

    >>> from updown_lab.config import preset
    >>> from updown_lab.vision.trunk import build_trunk
    >>> tiny = preset("tiny")
    >>> detector = BottomUpDetector(build_trunk(tiny.trunk), tiny.detector, classes=3, attributes=2)
    >>> fast = for_inference(detector)
    >>> image, box = torch.rand(3, 128, 128), torch.tensor([[0.0, 0, 64, 64]])
    >>> a, b = (eyes.encode_boxes([image], [box])[0].features for eyes in (detector, fast))
    >>> torch.allclose(a, b, atol=1e-4)
    True
    """
    fast = copy.deepcopy(detector).eval().requires_grad_(False)
    fast.trunk._asleep = []  # what training would keep asleep is gone
    for module in list(fast.trunk.modules()):
        _fold(module)
    if fast.cfg.roi_pooling == "align":
        fast.crop = align_by_matrices
    return fast.to(memory_format=torch.channels_last)


def _fold(module: nn.Module) -> None:
    """Fold a module's own BatchNorms into the convolutions before them: bn1 into conv1, 1 into 0 of a downsample."""
    children = dict(module.named_children())
    for name, child in children.items():
        before = f"conv{name[2:]}" if name.startswith("bn") else str(int(name) - 1) if name.isdigit() else ""
        if isinstance(child, nn.BatchNorm2d) and isinstance(children.get(before), nn.Conv2d):
            setattr(module, before, fuse_conv_bn_eval(children[before], child))
            setattr(module, name, nn.Identity())
