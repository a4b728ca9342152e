"""The detector at the paper's size beside the same network put together from torchvision's parts, and faster, less
exact ways with what they cost.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torchvision.models import resnet101
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import roi_align

from bench.harness import Record, compare
from updown_lab.config import TrunkConfig, preset
from updown_lab.vision.detections import Detections
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.inference import for_inference
from updown_lab.vision.trunk import build_trunk

PROPOSALS, CLASSES, ATTRIBUTES = 300, 1600, 400
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Plain(nn.Module):
    """Faster R-CNN with attributes as anyone would compose it from torchvision, eager and module by module."""

    def __init__(self, ours: BottomUpDetector, proposals: int):
        super().__init__()
        self.backbone = resnet101()
        weights = ours.trunk.state_dict()
        self.backbone.load_state_dict({**self.backbone.state_dict(), **weights})
        self.rpn = RegionProposalNetwork(
            AnchorGenerator(((64, 128, 256, 512),), ((0.5, 1.0, 2.0),)), ours.rpn.head, 0.7, 0.3, 64, 0.5,
            {"training": 6000, "testing": 6000}, {"training": 2000, "testing": proposals}, 0.7,
        )  # fmt: skip
        self.predictor, self.attributes = ours.predictor, ours.attribute_head
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    @torch.no_grad()
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(3, H, W) at the network's size to proposals, features, class and attribute probabilities."""
        height, width = image.shape[1:]
        canvas = F.pad((image[None] - self.mean) / self.deviation, (0, -width % 16, 0, -height % 16))
        net = self.backbone
        maps = net.maxpool(net.relu(net.bn1(net.conv1(canvas))))
        maps = net.layer3(net.layer2(net.layer1(maps)))
        (proposals,), _ = self.rpn(ImageList(canvas, [(height, width)]), {"0": maps})
        crops = roi_align(maps, [proposals], 14, 1 / 16, sampling_ratio=2, aligned=True)
        features = net.layer4(crops).mean((2, 3))
        logits, _ = self.predictor(features)
        probabilities = logits.softmax(1)
        attributes = self.attributes(features, probabilities[:, 1:].argmax(1)).softmax(1)
        return {"proposals": proposals, "features": features, "probabilities": probabilities[:, 1:],
                "attributes": attributes[:, :-1]}  # fmt: skip


def build(proposals: int) -> BottomUpDetector:
    """A detector of the paper's size on torchvision's parts alone, with weights that make lively features."""
    torch.manual_seed(0)
    cfg = replace(preset("paper").detector, anchors="torchvision", roi_pooling="align", background="first",
                  background_box=True, attribute_background=False, attribute_softmax="all", proposal_minimum=1e-3,
                  proposals_test=proposals)  # fmt: skip
    detector = BottomUpDetector(build_trunk(TrunkConfig(weights="none")), cfg, CLASSES, ATTRIBUTES)
    generator = torch.Generator().manual_seed(0)
    for name, value in detector.trunk.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.05, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.8, 1.2, generator=generator)
        elif "bn3.weight" in name:
            value.fill_(0.3)  # the sum of 33 blocks stays within bounds
    for layer in (detector.rpn.head.cls_logits, detector.rpn.head.bbox_pred):
        nn.init.normal_(layer.weight, std=0.05, generator=generator)
    return detector.eval()


def picture() -> Tensor:
    """A picture of 600 x 1000 with structure at many scales."""
    generator = torch.Generator().manual_seed(0)
    layers = [F.interpolate(torch.rand(1, 3, 3 * 2**i, 5 * 2**i, generator=generator), (600, 1000), mode="bicubic")
              for i in range(7)]  # fmt: skip
    return torch.stack(layers).mean(0)[0].clamp(0, 1)


def differences(ours: Detections, theirs: dict[str, Tensor]) -> dict[str, float]:
    """Largest differences, each as a share of the largest value."""
    return {
        name: float((getattr(ours, name) - value).abs().max() / value.abs().max()) for name, value in theirs.items()
    }


def fidelity(reference: Detections, fast: Detections) -> str:
    """How far features of the same boxes are from the exact ones."""
    cosine = F.cosine_similarity(fast.features, reference.features).mean()
    error = (fast.features - reference.features).norm() / reference.features.norm()
    return f"features of the same boxes: cosine {cosine:.4f}, relative error {100 * error:.1f} %"


def shares(look: Callable[[], object]) -> str:
    """Where the time goes, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        look()
    spent = {event.key: event.self_cpu_time_total for event in record.key_averages()}
    whole = sum(spent.values())
    convolutions = sum(value for name, value in spent.items() if "convolution" in name)
    products = sum(spent.get(f"aten::{name}", 0) for name in ("addmm", "mm", "bmm"))
    return f"time in convolutions {100 * convolutions / whole:.0f} %, in matrix products {100 * products / whole:.0f} %"


def records(quick: bool = False) -> list[Record]:
    """Equal outputs sooner, then the ways that change the features; each beside the plain composition."""
    image = picture()[:, :300, :500].contiguous() if quick else picture()
    proposals, rounds = (40, 1) if quick else (PROPOSALS, 3)
    exact = build(proposals=proposals)
    exact.cfg = replace(exact.cfg, image_min=min(image.shape[1:]), image_max=max(image.shape[1:]))  # as it is
    plain, fast = Plain(exact, proposals).eval(), for_inference(exact)
    theirs, ours = plain(image), fast.detect([image])[0]
    worst = max(differences(ours, theirs).values())
    if worst > 1e-4:
        raise RuntimeError(f"outputs differ by {worst:.1e} of their size: this would compare two networks")
    size = f"{image.shape[1]} x {image.shape[2]}, {proposals} proposals"
    note = f"{size}; outputs equal within {worst:.0e}; {shares(lambda: fast.detect([image]))}"
    made = [compare("detector", lambda: plain(image), lambda: fast.detect([image]), 1.25, rounds, note=note)]
    for name, pooled, count in (
        ("detector-third", 14, proposals // 3),
        ("detector-7x7", 7, proposals),
        ("detector-7x7-third", 7, proposals // 3),
    ):
        quicker = for_inference(faster(exact, pooled, count))
        told = fidelity(ours, quicker.encode_boxes([image], [ours.proposals])[0])
        note = f"{size} -> {count}, {pooled} x {pooled}; {told}"
        made.append(
            compare(name, lambda: plain(image), lambda eyes=quicker: eyes.detect([image]), 0.0, rounds, note=note)
        )
    return made


def faster(exact: BottomUpDetector, roi_size: int, proposals: int) -> BottomUpDetector:
    """The fast path: fewer proposals, and 7 x 7 bins through a res5 that keeps its stride at 1."""
    strides = (1, 2, 2, 1) if roi_size == 7 else (1, 2, 2, 2)
    cfg = replace(exact.cfg, roi_size=roi_size, proposals_test=proposals)
    detector = BottomUpDetector(build_trunk(TrunkConfig(weights="none", strides=strides)), cfg, CLASSES, ATTRIBUTES)
    detector.load_state_dict(exact.state_dict())
    return detector.eval()
