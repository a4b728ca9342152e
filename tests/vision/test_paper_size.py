"""The paper's detector has the shapes of the published file; counted without making 65 million numbers."""

from dataclasses import replace

import pytest
import torch

from updown_lab.config import preset
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.published import published_state
from updown_lab.vision.trunk import build_trunk


@pytest.mark.parametrize("name", ["paper", "visual-genome"])
def test_the_authors_network_has_the_published_shapes(name):
    """65,545,318 numbers under 640 names, 48 of them anchors; counted from the published file's table."""
    config = preset(name)
    with torch.device("meta"):
        trunk = build_trunk(replace(config.trunk, weights="none"))
        state = published_state(BottomUpDetector(trunk, config.detector, classes=1600, attributes=400))

    assert len(state) == 640
    assert sum(value.numel() for value in state.values()) == 65_545_318
    head = "roi_heads.box_predictor"
    shapes = {key: tuple(state[f"{head}.{key}.weight"].shape)
              for key in ("cls_score", "bbox_pred", "cls_embedding", "fc_attr", "attr_score")}  # fmt: skip
    assert shapes == {"cls_score": (1601, 2048), "bbox_pred": (6400, 2048), "cls_embedding": (1601, 256),
                      "fc_attr": (512, 2304), "attr_score": (401, 512)}  # fmt: skip
    assert tuple(state["proposal_generator.rpn_head.anchor_deltas.weight"].shape) == (48, 512, 1, 1)
