"""The CIFAR residual networks of He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2.

Depth 6n+2: a 3x3 stem, three stages of n two-layer blocks at 1, 2 and 4 times ``width`` channels, global average pool,
linear. Parameter names (``conv1 bn1 layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2} linear``) are those of the checkpoints in
circulation for these networks.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

MAX_BLOCKS = 18
Shortcut = Literal["a", "b"]


class SubsampleAndPad(nn.Module):
    """Option A shortcut, without parameters: every second row and column, zero channels on both sides.

    Takes (N, C, H, W), gives (N, C + ``extra``, ceil(H / ``stride``), ceil(W / ``stride``)).
    """

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.before = extra // 2
        self.after = extra - extra // 2
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        subsampled = x[:, :, ::2, ::2] if self.stride == 2 else x
        return F.pad(subsampled, (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut: (N, C_in, H, W) to (N, C_out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(in_channels, channels, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """(N, ``in_channels``, H, W), 32x32 as published, to logits (N, ``num_classes``)."""

    def __init__(self, blocks: int, num_classes: int, in_channels: int, width: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, 1, blocks, shortcut)
        self.layer2 = _stage(width, 2 * width, 2, blocks, shortcut)
        self.layer3 = _stage(2 * width, 4 * width, 2, blocks, shortcut)
        self.linear = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(F.adaptive_avg_pool2d(out, 1).flatten(1))


def resnet(
    depth: int, num_classes: int = 10, in_channels: int = 3, width: int = 16, shortcut: str = "a"
) -> CifarResNet:
    """Create the CIFAR ResNet of ``depth`` layers (6n+2, from 8 to 110).

    Args:
        depth: counted layers: the stem, two per block, the classifier.
        num_classes: width of the output.
        in_channels: channels of the image.
        width: channels of the first stage; the others have twice and four times as many.
        shortcut: ``"a"`` subsample and pad with zero channels, ``"b"`` 1x1 convolution with batch norm.

    Raises:
        ValueError: a depth that is not 6n+2 in that range, another shortcut, or a size below 1.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth {depth} is not 6n+2 from {DEPTHS[0]} to {DEPTHS[-1]}")
    check_sizes(num_classes=num_classes, in_channels=in_channels, width=width)
    return CifarResNet((depth - 2) // 6, num_classes, in_channels, width, _option(shortcut))


DEPTHS = tuple(6 * n + 2 for n in range(1, MAX_BLOCKS + 1))


def check_sizes(**sizes: int) -> None:
    """Raise :class:`ValueError` for the first size that is not a whole number of at least 1."""
    for name, size in sizes.items():
        if type(size) is not int:
            raise ValueError(f"{name} must be a whole number, not {size!r}")
        if size < 1:
            raise ValueError(f"{name} must be at least 1, not {size}")


def _option(shortcut: str) -> Shortcut:
    match str(shortcut).lower():
        case "a":
            return "a"
        case "b":
            return "b"
    raise ValueError(f"shortcut is 'a' or 'b', not '{shortcut}'")


def _stage(in_channels: int, channels: int, stride: int, blocks: int, shortcut: Shortcut) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, shortcut) for _ in range(blocks - 1)))


def _shortcut(in_channels: int, channels: int, stride: int, option: Shortcut) -> nn.Module:
    if stride == 1 and in_channels == channels:
        return nn.Sequential()
    if option == "a":
        return SubsampleAndPad(channels - in_channels, stride)
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(channels),
    )
