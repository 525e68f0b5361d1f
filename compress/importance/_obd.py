"""Optimal Brain Damage: the loss's curvature along each weight (LeCun, Denker and Solla 1990)."""

from __future__ import annotations

from collections.abc import Iterator
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

    def passes(self, context: ScoreContext) -> Iterator[dict[str, torch.Tensor]]:
        tensors = context.analysis.program.tensors
        for gradients in weight_gradients(self, context, singles(batches_of(self, context), _SAMPLES)):
            yield {
                name: (tensors[name].detach() * gradient).double().square() / 2 for name, gradient in gradients.items()
            }
