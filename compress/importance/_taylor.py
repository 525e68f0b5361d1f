"""First-order Taylor: how much the loss would change if the channel were zero (Molchanov et al. 2019, eq. 8)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from compress.importance._base import ElementCriterion, ScoreContext, Scores
from compress.importance._gradients import batches_of, weight_gradients


class Taylor(ElementCriterion):
    """Absolute sum over the channel's weights of weight times gradient, averaged over the batches given."""

    name: ClassVar[str] = "taylor"
    needs_data: ClassVar[bool] = True

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        tensors, count = context.analysis.program.tensors, 0
        sums: dict[str, torch.Tensor] = {}
        for gradients in weight_gradients(self, context, batches_of(self, context)):
            count += 1
            for name, gradient in gradients.items():
                sums[name] = sums.get(name, 0) + (tensors[name].detach() * gradient).double()
        return {name: total / count for name, total in sums.items()}

    def finish(self, totals: Scores) -> Scores:
        found: Scores = np.abs(totals)
        return found
