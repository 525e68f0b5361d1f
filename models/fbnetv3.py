"""FBNetV3 of Dai et al. 2020, "FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining": A to G, and A0.

Built from the tables below: stages of inverted residual blocks with hard swish, some with squeeze and excitation. Some
depthwise filters are padded by less than half of their size, which shrinks the maps behind them: without that A would
cost 407.5 instead of 355.5 million multiply-accumulates. Published figures count multiply-accumulates of convolutions
and linear layers plus the elements that average pools read, and parameters without norms and biases.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from models.cifar_resnet import check_sizes

DIVISOR = 8
HEAD = 1984


@dataclass(frozen=True)
class Blocks:
    """``count`` blocks; ``stride`` and ``padding`` (of the depthwise filter; half of it where None) are the first's."""

    kernel: int
    channels: int
    count: int
    expansion: int
    stride: int = 1
    squeeze: bool = False
    padding: int | None = None


@dataclass(frozen=True)
class Member:
    """One of the family: pixels of its pictures, channels of its stem, its stages, expansion before its head, features
    that its classifier reads, ``stride`` of its stem.
    """

    pixels: int
    stem: int
    stages: tuple[Blocks, ...]
    head: int = 6
    features: int = HEAD
    stride: int = 2


def _a_or_b(pixels: int) -> Member:
    return Member(
        pixels,
        16,
        (
            Blocks(3, 16, 2, 1),
            Blocks(5, 24, 1, 4, stride=2),
            Blocks(5, 24, 3, 2),
            Blocks(5, 40, 1, 5, stride=2, squeeze=True),
            Blocks(5, 40, 4, 3, squeeze=True),
            Blocks(5, 72, 1, 5, stride=2, padding=1),
            Blocks(3, 72, 4, 3),
            Blocks(3, 120, 1, 5, squeeze=True),
            Blocks(5, 120, 5, 3, squeeze=True),
            Blocks(3, 184, 1, 6, stride=2, squeeze=True, padding=0),
            Blocks(5, 184, 5, 4, squeeze=True),
            Blocks(5, 224, 1, 6, squeeze=True),
        ),
    )


FAMILY = {
    "a0": Member(
        224,
        12,
        (
            Blocks(3, 12, 1, 1),
            Blocks(3, 24, 1, 4, stride=2),
            Blocks(3, 24, 2, 2),
            Blocks(3, 40, 1, 4, stride=2, squeeze=True),
            Blocks(3, 40, 2, 2, squeeze=True),
            Blocks(5, 72, 1, 4, stride=2),
            Blocks(3, 72, 2, 3),
            Blocks(3, 104, 1, 4, squeeze=True),
            Blocks(5, 104, 3, 3, squeeze=True),
            Blocks(3, 176, 1, 4, stride=2, squeeze=True),
            Blocks(3, 176, 3, 4, squeeze=True),
            Blocks(3, 208, 1, 5, squeeze=True),
        ),
        head=5,
    ),
    "a": _a_or_b(224),
    "b": _a_or_b(248),
    "c": Member(
        248,
        16,
        (
            Blocks(3, 16, 2, 1),
            Blocks(5, 24, 1, 5, stride=2),
            Blocks(3, 24, 4, 3),
            Blocks(5, 48, 1, 5, stride=2, squeeze=True),
            Blocks(5, 48, 4, 2, squeeze=True),
            Blocks(5, 88, 1, 4, stride=2, padding=1),
            Blocks(3, 88, 4, 3),
            Blocks(3, 120, 1, 4, squeeze=True),
            Blocks(5, 120, 5, 3, squeeze=True),
            Blocks(5, 216, 1, 5, stride=2, squeeze=True, padding=1),
            Blocks(5, 216, 5, 5, squeeze=True),
            Blocks(5, 216, 1, 6, squeeze=True),
        ),
    ),
    "d": Member(
        248,
        24,
        (
            Blocks(3, 16, 2, 1),
            Blocks(3, 24, 1, 5, stride=2),
            Blocks(3, 24, 5, 2),
            Blocks(5, 40, 1, 4, stride=2, squeeze=True),
            Blocks(3, 40, 4, 3, squeeze=True),
            Blocks(3, 72, 1, 5, stride=2),
            Blocks(3, 72, 4, 3),
            Blocks(3, 128, 1, 5, squeeze=True),
            Blocks(5, 128, 6, 3, squeeze=True),
            Blocks(3, 208, 1, 6, stride=2, squeeze=True),
            Blocks(5, 208, 5, 5, squeeze=True),
            Blocks(5, 240, 1, 6, squeeze=True),
        ),
    ),
    "e": Member(
        264,
        24,
        (
            Blocks(3, 16, 3, 1),
            Blocks(5, 24, 1, 4, stride=2),
            Blocks(5, 24, 4, 2),
            Blocks(5, 48, 1, 4, stride=2, squeeze=True),
            Blocks(5, 48, 4, 3, squeeze=True),
            Blocks(5, 80, 1, 5, stride=2, padding=1),
            Blocks(3, 80, 4, 3),
            Blocks(3, 128, 1, 5, squeeze=True),
            Blocks(5, 128, 7, 3, squeeze=True),
            Blocks(3, 216, 1, 6, stride=2, squeeze=True),
            Blocks(5, 216, 5, 5, squeeze=True),
            Blocks(5, 240, 1, 6, squeeze=True),
        ),
    ),
    "f": Member(
        272,
        24,
        (
            Blocks(3, 24, 3, 1),
            Blocks(5, 32, 1, 4, stride=2),
            Blocks(5, 32, 4, 2),
            Blocks(5, 56, 1, 4, stride=2, squeeze=True),
            Blocks(5, 56, 4, 3, squeeze=True),
            Blocks(5, 88, 1, 5, stride=2),
            Blocks(3, 88, 4, 3),
            Blocks(3, 144, 1, 5, squeeze=True),
            Blocks(5, 144, 8, 3, squeeze=True),
            Blocks(3, 248, 1, 6, stride=2, squeeze=True, padding=0),
            Blocks(5, 248, 6, 5, squeeze=True),
            Blocks(5, 272, 1, 6, squeeze=True),
        ),
    ),
    "g": Member(
        320,
        32,
        (
            Blocks(3, 24, 3, 1),
            Blocks(5, 40, 1, 4, stride=2),
            Blocks(5, 40, 4, 2),
            Blocks(5, 56, 1, 4, stride=2, squeeze=True),
            Blocks(5, 56, 4, 3, squeeze=True),
            Blocks(5, 104, 1, 5, stride=2),
            Blocks(3, 104, 4, 3),
            Blocks(3, 160, 1, 5, squeeze=True),
            Blocks(5, 160, 8, 3, squeeze=True),
            Blocks(3, 264, 1, 6, stride=2, squeeze=True),
            Blocks(5, 264, 6, 5, squeeze=True),
            Blocks(5, 288, 2, 6, squeeze=True),
        ),
    ),
}


class SqueezeExcite(nn.Module):
    """Scales each channel of (N, C, H, W) by what the means of all of them say."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        said = self.expand(F.hardswish(self.reduce(F.adaptive_avg_pool2d(x, 1))))
        return x * F.hardsigmoid(said)


class InvertedResidual(nn.Module):
    """1x1 to more channels, depthwise, 1x1 back without activation; the input is added where it fits."""

    def __init__(self, in_channels: int, channels: int, blocks: Blocks, *, first: bool) -> None:
        super().__init__()
        stride = blocks.stride if first else 1
        padding = blocks.padding if first else None
        wide = round8(in_channels * blocks.expansion)
        self.expand: nn.Module = nn.Identity() if wide == in_channels else _normed(in_channels, wide, 1)
        self.depthwise = _normed(wide, wide, blocks.kernel, stride, padding, groups=wide)
        squeezed = round8(int(wide * 0.25 / blocks.expansion))
        self.squeeze: nn.Module = SqueezeExcite(wide, squeezed) if blocks.squeeze else nn.Identity()
        norm = nn.BatchNorm2d(channels)
        self.project = nn.Sequential(nn.Conv2d(wide, channels, 1, bias=False), norm)
        self.is_added = stride == 1 and in_channels == channels
        if self.is_added:
            nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + out if self.is_added else out


class FBNetV3(nn.Module):
    """(N, ``in_channels``, H, W), the member's own pixels as published, to logits (N, ``num_classes``)."""

    def __init__(self, member: Member, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = member.stem
        self.stem = _normed(in_channels, channels, 3, member.stride)
        blocks: list[nn.Module] = []
        for stage in member.stages:
            for number in range(stage.count):
                blocks.append(InvertedResidual(channels, stage.channels, stage, first=number == 0))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.last = _normed(channels, channels * member.head, 1)
        self.head = nn.Linear(channels * member.head, member.features, bias=False)
        self.classifier = nn.Linear(member.features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        out = self.last(self.blocks(self.stem(x)))
        out = F.hardswish(self.head(F.adaptive_avg_pool2d(out, 1).flatten(1)))
        return self.classifier(out)


def fbnetv3(member: str, num_classes: int = 1000, in_channels: int = 3) -> FBNetV3:
    """Create the member called ``a0``, ``a`` ... ``g``. Raises ``ValueError`` for a size below 1."""
    check_sizes(num_classes=num_classes, in_channels=in_channels)
    return FBNetV3(FAMILY[member], num_classes, in_channels)


def round8(channels: float) -> int:
    """To the nearest multiple of 8, at least 8, and the next one where that lost more than a twentieth."""
    nearest = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest + DIVISOR if nearest < 0.95 * channels else nearest


def _normed(
    in_channels: int, channels: int, kernel: int, stride: int = 1, padding: int | None = None, groups: int = 1
) -> nn.Sequential:
    around = kernel // 2 if padding is None else padding
    convolution = nn.Conv2d(in_channels, channels, kernel, stride, around, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.Hardswish())
