"""Random scores: the baseline that every criterion has to beat."""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.importance._base import ElementCriterion, ScoreContext, multiplying


class Random(ElementCriterion):
    """Uniform numbers drawn from the seed."""

    name: ClassVar[str] = "random"

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(context.seed)
        tensors = context.analysis.program.tensors
        drawn = {}
        for name in multiplying(context):
            tensor = tensors[name]
            one_per_channel = torch.rand(tensor.shape[0], generator=generator)
            drawn[name] = one_per_channel.reshape(-1, *[1] * (tensor.ndim - 1)).expand(tensor.shape)
        return drawn
