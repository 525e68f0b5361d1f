"""Blocks of consecutive output channels that share one (input channel, ky, kx) position, so that a sparse kernel loads
an input once for all of them (Zhao et al. 2021, Joint Channel and Weight Pruning, call 4x1 "1x4").
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional as F

from compress.sparsity.patterns._base import Pattern


class Blocks(Pattern):
    """Units of ``rows`` output channels, counted within each convolution group; the last may be incomplete."""

    rows: ClassVar[int]

    def sums(self, elements: torch.Tensor) -> torch.Tensor:
        missing = -elements.shape[1] % self.rows
        padded = F.pad(elements, (0, 0, 0, 0, 0, missing))
        return padded.unflatten(1, (-1, self.rows)).sum(dim=2)

    def spread(self, units: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        return units.repeat_interleave(self.rows, dim=1)[:, : elements.shape[1]]


class FourByOne(Blocks):
    """Four output channels at a time."""

    name: ClassVar[str] = "4x1"
    rows: ClassVar[int] = 4


class TwoByOne(Blocks):
    """Two output channels at a time."""

    name: ClassVar[str] = "2x1"
    rows: ClassVar[int] = 2
