"""How a weight lies in memory, and as patterns see it: output channels, input channels and kernel positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Layout:
    """Of a convolution's or linear layer's weight. ``transposed``: input channels come first, as in transposed
    convolutions.
    """

    groups: int = 1
    transposed: bool = False

    def opened(self, weight: torch.Tensor) -> torch.Tensor:
        """``weight``, of any kind of elements, as (groups, outputs and inputs of a group, kernel positions)."""
        rows = weight.reshape(self.groups, weight.shape[0] // self.groups, weight.shape[1], -1)
        return rows.transpose(1, 2) if self.transposed else rows

    def closed(self, opened: torch.Tensor, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
        """The inverse of :meth:`opened`: contiguous, in the weight's own ``shape``."""
        rows = opened.transpose(1, 2) if self.transposed else opened
        return rows.contiguous().reshape(shape)
