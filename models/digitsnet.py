"""A small residual network for 8x8 images of handwritten digits: trains in seconds, wide enough to be pruned.

The shape (three stages of one two-layer block) is the CIFAR ResNet's; the widths 24, 32, 40 put most of the
multiply-accumulates into wide layers, so that halving them is a real choice among many, at 56 thousand parameters.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.cifar_resnet import BasicBlock, check_sizes

WIDTHS = (24, 32, 40)


class DigitsNet(nn.Module):
    """(N, ``in_channels``, H, W), 8x8 in the digits data set, to logits (N, ``num_classes``)."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(first)
        self.stage1 = BasicBlock(first, first, 1, "b")
        self.stage2 = BasicBlock(first, second, 2, "b")
        self.stage3 = BasicBlock(second, third, 2, "b")
        self.classifier = nn.Linear(third, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm(self.stem(x)))
        out = self.stage3(self.stage2(self.stage1(out)))
        return self.classifier(F.adaptive_avg_pool2d(out, 1).flatten(1))


def digitsnet(num_classes: int = 10, in_channels: int = 1) -> DigitsNet:
    """Create the network for 8x8 digits.

    Raises:
        ValueError: a size below 1.
    """
    check_sizes(num_classes=num_classes, in_channels=in_channels)
    return DigitsNet(num_classes, in_channels)
