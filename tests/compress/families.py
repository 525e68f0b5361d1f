"""One small member of each family that pruning must work on: the family's own building blocks, few of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

import models
from models.torchvision_shim import ensure

ensure()

from torchvision.models import densenet, efficientnet, mobilenetv2, mobilenetv3, regnet, resnet, vgg  # noqa: E402

IMAGE = (3, 64, 64)


def resnet_basic() -> nn.Module:
    return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)


def resnet_bottleneck() -> nn.Module:
    return resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=10)


def resnext() -> nn.Module:
    return resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=10, groups=8, width_per_group=8)


def vgg_bn() -> nn.Module:
    network = vgg.VGG(vgg.make_layers([16, "M", 32, "M", 48, 48, "M"], batch_norm=True), num_classes=10)
    head = (nn.Linear(48 * 49, 40), nn.ReLU(True), nn.Dropout(), nn.Linear(40, 24), nn.ReLU(True), nn.Linear(24, 10))
    network.classifier = nn.Sequential(*head)  # the original's has 120 million parameters
    return network


def mobilenet_v2() -> nn.Module:
    return mobilenetv2.MobileNetV2(10, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2]])


def mobilenet_v3() -> nn.Module:
    rows = (
        (16, 3, 16, 16, True, "RE", 2, 1, 1),
        (16, 3, 72, 24, False, "RE", 2, 1, 1),
        (24, 3, 88, 24, False, "RE", 1, 1, 1),
        (24, 5, 96, 40, True, "HS", 2, 1, 1),
        (40, 5, 240, 40, True, "HS", 1, 1, 1),
    )
    return mobilenetv3.MobileNetV3([mobilenetv3.InvertedResidualConfig(*row) for row in rows], 128, num_classes=10)


def efficientnet_b() -> nn.Module:
    rows = ((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2))
    stages = [efficientnet.MBConvConfig(*row) for row in rows]
    return efficientnet.EfficientNet(stages, dropout=0.2, num_classes=10, last_channel=96)


def efficientnet_v2() -> nn.Module:
    stages = [
        efficientnet.FusedMBConvConfig(1, 3, 1, 24, 24, 1),
        efficientnet.FusedMBConvConfig(4, 3, 2, 24, 48, 2),
        efficientnet.MBConvConfig(4, 3, 2, 48, 64, 2),
    ]
    return efficientnet.EfficientNet(stages, dropout=0.2, num_classes=10, last_channel=96)


def dense() -> nn.Module:
    return densenet.DenseNet(12, (2, 3, 2), 16, bn_size=2, num_classes=10)


def regnet_x() -> nn.Module:
    return _regnet(None)


def regnet_y() -> nn.Module:
    return _regnet(0.25)


def _regnet(gate: float | None) -> nn.Module:
    blocks = regnet.BlockParams.from_init_params(depth=5, w_0=24, w_a=36.44, w_m=2.49, group_width=8, se_ratio=gate)
    return regnet.RegNet(blocks, num_classes=10)


def squeezenet() -> nn.Module:
    return models.create("torchvision:squeezenet1_1?num_classes=10")


def googlenet() -> nn.Module:
    return models.create("torchvision:googlenet?num_classes=10")


def resnet20_a() -> nn.Module:
    return models.create("models:resnet20")


def resnet20_b() -> nn.Module:
    return models.create("models:resnet20?shortcut=b")


def digitsnet() -> nn.Module:
    return models.create("models:digitsnet")


_AT_IMAGE = (
    resnet_basic, resnet_bottleneck, resnext, vgg_bn, mobilenet_v2, mobilenet_v3, efficientnet_b, efficientnet_v2,
    dense, regnet_x, regnet_y, squeezenet, googlenet,
)  # fmt: skip

FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{build.__name__: (build, IMAGE) for build in _AT_IMAGE},
    "resnet20_a": (resnet20_a, (3, 32, 32)),
    "resnet20_b": (resnet20_b, (3, 32, 32)),
    "digitsnet": (digitsnet, (1, 8, 8)),
}

# The published networks themselves, smallest of each family, at the least input they take; minutes in total.
WHOLE: dict[str, int] = {
    "resnet18": 64,
    "resnext50_32x4d": 64,
    "vgg11_bn": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "mobilenet_v3_large": 64,
    "efficientnet_b0": 64,
    "densenet121": 64,
    "squeezenet1_0": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "inception_v3": 299,  # its auxiliary head takes no less
}
