"""The detector that only looks says what the detector says."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from updown_lab.config import TrunkConfig, preset
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.inference import for_inference
from updown_lab.vision.trunk import build_trunk, freeze

TINY, PUBLISHED = preset("tiny"), preset("visual-genome")
SMALL = replace(PUBLISHED.trunk, layers=(1, 2, 1, 2), widths=(4, 6, 8, 10), stem_width=5)
SEEN = replace(PUBLISHED.detector, image_min=64, image_max=96, anchor_sizes=(16, 32), roi_size=6, proposals_test=20)


def lively(trunk, cfg):
    """A detector whose BatchNorms do something."""
    torch.manual_seed(0)
    detector = BottomUpDetector(build_trunk(trunk), cfg, classes=5, attributes=4).eval()
    for name, value in detector.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif name.endswith(("running_mean", "bn1.bias", "bn3.bias")):
            value.normal_(0.0, 0.1)
    return detector


@pytest.mark.parametrize(
    ("trunk", "cfg"),
    [(SMALL, SEEN), (SMALL, replace(SEEN, roi_pooling="align")), (TINY.trunk, TINY.detector)],
    ids=["published", "published with RoIAlign", "tiny"],
)
def test_folding_changes_nothing_that_can_be_seen(trunk, cfg):
    detector = lively(trunk, cfg)
    image = torch.rand(3, 70, 90, generator=torch.Generator().manual_seed(1))

    fast = for_inference(detector)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.trunk.modules())
    before, after = detector.detect([image])[0], fast.detect([image])[0]
    for name in ("proposals", "features", "probabilities", "attributes", "deltas"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=1e-4, atol=1e-4)


def test_the_original_stays_as_it_was():
    detector = lively(SMALL, SEEN).train()
    freeze(detector.trunk, SMALL)
    before = {name: value.clone() for name, value in detector.state_dict().items()}

    fast = for_inference(detector)

    assert detector.training and not fast.training
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
    assert not any(value.requires_grad for value in fast.parameters())
    assert any(value.requires_grad for value in detector.parameters())


def test_a_trunk_without_foldable_names_still_looks():
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install 'updown_lab[imagenet]'")
    lite = lively(TrunkConfig(family="efficientnet_lite0", weights="none"), TINY.detector)
    image = torch.rand(3, 128, 128)

    before, after = lite.encode_boxes([image], [torch.tensor([[0.0, 0, 99, 99]])])[0], for_inference(lite)
    torch.testing.assert_close(
        after.encode_boxes([image], [torch.tensor([[0.0, 0, 99, 99]])])[0].features,
        before.features,
        rtol=1e-3,
        atol=1e-4,
    )
