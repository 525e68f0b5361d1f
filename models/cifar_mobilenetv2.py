"""MobileNetV2 of Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2, for CIFAR.

Pictures of 32 x 32 are too small for five halvings: the stem and the second stage keep their size, as is usual for
CIFAR, so that the last stages see 4 x 4. At width 1, 10 classes: 2,236,682 parameters.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.cifar_resnet import check_sizes

STEM, LAST = 32, 1280
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels at width 1, blocks, and stride of the first of them."""
DIVISOR = 8


class InvertedResidual(nn.Module):
    """1x1 to ``expansion`` times the channels, depthwise 3x3, 1x1 without activation; the input is added if it fits."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand: nn.Module = _normed(in_channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _normed(wide, wide, 3, stride, groups=wide)
        self.project = _normed(wide, channels, 1)[:2]
        self.is_added = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.is_added else out


class CifarMobileNetV2(nn.Module):
    """(N, ``in_channels``, H, W), 32x32 as meant, to logits (N, ``num_classes``)."""

    def __init__(self, num_classes: int, in_channels: int, width: float) -> None:
        super().__init__()
        channels = _scaled(STEM, width)
        self.stem = _normed(in_channels, channels, 3)
        blocks: list[nn.Module] = []
        for expansion, wanted, count, stride in STAGES:
            for number in range(count):
                blocks.append(InvertedResidual(channels, _scaled(wanted, width), 1 if number else stride, expansion))
                channels = _scaled(wanted, width)
        self.blocks = nn.Sequential(*blocks)
        last = _scaled(LAST, max(1.0, width))
        self.last = _normed(channels, last, 1)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(last, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        out = self.last(self.blocks(self.stem(x)))
        return self.classifier(self.dropout(F.adaptive_avg_pool2d(out, 1).flatten(1)))


def mobilenetv2(num_classes: int = 10, in_channels: int = 3, width: float = 1.0) -> CifarMobileNetV2:
    """Create MobileNetV2 for CIFAR with every width but the last multiplied by ``width``, in multiples of 8.

    Raises:
        ValueError: a size below 1, or a width that is not positive.
    """
    check_sizes(num_classes=num_classes, in_channels=in_channels)
    if not width > 0:
        raise ValueError(f"width must be positive, not {width:g}")
    return CifarMobileNetV2(num_classes, in_channels, width)


def _normed(in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU6())


def _scaled(channels: int, width: float) -> int:
    """To the nearest multiple of 8, but not more than a tenth below what was asked for."""
    wanted = channels * width
    nearest = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest + DIVISOR if nearest < 0.9 * wanted else nearest
