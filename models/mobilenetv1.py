"""MobileNetV1 of Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision", table 1.

A 3x3 stem, thirteen pairs of a depthwise 3x3 and a 1x1 convolution, global average pool, linear; each convolution is
followed by batch norm and ReLU. At width 1 and 224 x 224: 4,231,976 parameters and 568,740,352 multiply-accumulates.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.cifar_resnet import check_sizes

STEM = 32
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Output channels and stride of each pair, at width 1."""
SMALLEST = 8


class SeparableConvolution(nn.Module):
    """Depthwise 3x3, then 1x1: (N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False)
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm2(self.pointwise(F.relu(self.norm1(self.depthwise(x))))))


class MobileNetV1(nn.Module):
    """(N, ``in_channels``, H, W), 224x224 as published, to logits (N, ``num_classes``)."""

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        super().__init__()
        channels = _scaled(STEM, width)
        self.stem = nn.Conv2d(in_channels, channels, 3, 2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        blocks: list[nn.Module] = []
        for wanted, stride in BLOCKS:
            blocks.append(SeparableConvolution(channels, _scaled(wanted, width), stride))
            channels = _scaled(wanted, width)
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        out = self.blocks(F.relu(self.norm(self.stem(x))))
        return self.classifier(F.adaptive_avg_pool2d(out, 1).flatten(1))


def mobilenetv1(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0) -> MobileNetV1:
    """Create MobileNetV1 with every width multiplied by ``width`` and rounded down, but not below 8.

    Raises:
        ValueError: a size below 1, or a width that is not positive.
    """
    check_sizes(num_classes=num_classes, in_channels=in_channels)
    if not width > 0:
        raise ValueError(f"width must be positive, not {width:g}")
    return MobileNetV1(num_classes, in_channels, width)


def _scaled(channels: int, width: float) -> int:
    return max(SMALLEST, int(channels * width))
