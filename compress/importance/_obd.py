"""Optimal Brain Damage: the loss's curvature along each weight (LeCun, Denker and Solla 1990)."""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.importance._base import ElementCriterion, ScoreContext
from compress.importance._gradients import batches_of, singles, weight_gradients

_SAMPLES = 128  # one pass for each: gradients of single samples cannot be had from a batch's


class Obd(ElementCriterion):
    """Sum over the channel's weights of ``1/2 h w**2``: the saliency of LeCun et al. 1990.

    The second derivative ``h`` is the diagonal of the empirical Fisher information: the mean over (the first 128)
    samples of the squared gradient of the sample's own loss. Cross terms between weights are left out.
    """

    name: ClassVar[str] = "obd"
    needs_data: ClassVar[bool] = True

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        tensors, count = context.analysis.program.tensors, 0
        sums: dict[str, torch.Tensor] = {}
        for gradients in weight_gradients(self, context, singles(batches_of(self, context), _SAMPLES)):
            count += 1
            for name, gradient in gradients.items():
                sums[name] = sums.get(name, 0) + gradient.double().square()
        return {name: total / count * tensors[name].detach().double().square() / 2 for name, total in sums.items()}
