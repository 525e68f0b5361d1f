"""LAMP: a magnitude that can be compared between layers (Lee et al. 2021, Layer-Adaptive Sparsity for the
Magnitude-Based Pruning, eq. 1), with channels in the place of single weights.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from compress.importance._base import ElementCriterion, ScoreContext, Scores, multiplying


class Lamp(ElementCriterion):
    """Squared norm of the channel over the sum of squared norms of all channels of the tensor that are not smaller.

    The largest channel of a tensor scores 1, whatever the tensor's scale: groups are compared as they are.
    """

    name: ClassVar[str] = "lamp"
    normalisation: ClassVar[str] = "none"

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        tensors = context.analysis.program.tensors
        return {name: tensors[name].detach().double().square() for name in multiplying(context)}

    def finish(self, totals: Scores) -> Scores:
        order = np.argsort(totals, kind="stable")
        ranked = totals[order]
        not_smaller = np.cumsum(ranked[::-1])[::-1]
        scores = np.zeros_like(totals)
        scores[order] = np.divide(ranked, not_smaller, out=np.zeros_like(ranked), where=not_smaller > 0)
        return scores
