"""First-order Taylor: how much the loss would change if the channel were zero (Molchanov et al. 2019, Importance
Estimation for Neural Network Pruning).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch

from compress.importance._base import ElementCriterion, ScoreContext, Scores
from compress.importance._gradients import batches_of, weight_gradients


class Taylor(ElementCriterion):
    """``|sum w * g|`` over the channel's weights, ``g`` the gradient of a batch's loss; the mean over batches.

    The absolute value is taken for each batch, as the paper accumulates it: in a trained network the gradients of
    different batches cancel, and that of all data says nothing.
    """

    name: ClassVar[str] = "taylor"
    needs_data: ClassVar[bool] = True

    def passes(self, context: ScoreContext) -> Iterator[dict[str, torch.Tensor]]:
        tensors = context.analysis.program.tensors
        for gradients in weight_gradients(self, context, batches_of(self, context)):
            yield {name: (tensors[name].detach() * gradient).double() for name, gradient in gradients.items()}

    def finish(self, totals: Scores) -> Scores:
        found: Scores = np.abs(totals)
        return found
