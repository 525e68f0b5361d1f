"""Magnitude: a channel whose weights are small contributes little (Li et al. 2017, Pruning Filters for Efficient
ConvNets).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from compress.importance._base import ElementCriterion, ScoreContext, Scores, multiplying


class L1(ElementCriterion):
    """Sum of absolute weights."""

    name: ClassVar[str] = "l1"

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        tensors = context.analysis.program.tensors
        return {name: tensors[name] for name in multiplying(context)}

    def each(self, block: torch.Tensor) -> torch.Tensor:
        return block.abs_()


class L2(ElementCriterion):
    """Euclidean norm of the weights."""

    name: ClassVar[str] = "l2"

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        tensors = context.analysis.program.tensors
        return {name: tensors[name] for name in multiplying(context)}

    def each(self, block: torch.Tensor) -> torch.Tensor:
        return block.square_()

    def finish(self, totals: Scores) -> Scores:
        found: Scores = np.sqrt(totals)
        return found
