"""FPGM: a filter near the geometric median of its layer's can be replaced by the others (He et al. 2019, Filter Pruning
via Geometric Median).
"""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.importance._base import SliceCriterion

_ROWS = 256  # distances are worked out for this many channels at a time: memory stays small for wide layers


class Fpgm(SliceCriterion):
    """Sum of the Euclidean distances between the channel's weights and those of every other channel of the group."""

    name: ClassVar[str] = "fpgm"

    def of_slices(self, slices: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.cdist(part, slices).sum(1) for part in slices.split(_ROWS)])
