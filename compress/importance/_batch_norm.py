"""Batch-norm scale: the factor that a channel's signal is multiplied with (Liu et al. 2017, Network Slimming)."""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.errors import PlanError
from compress.importance._base import ElementCriterion, ScoreContext


class BatchNormScale(ElementCriterion):
    """Absolute scale of the normalisation behind the channel. Groups without one are not scored, hence not pruned."""

    name: ClassVar[str] = "bn-scale"

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        program = context.analysis.program
        scales = {
            str(node.args[1].target)
            for node in program.graphs[False].nodes
            if node.target is torch.ops.aten.batch_norm.default and node.args[1] is not None
        }
        if not scales:
            raise PlanError(
                "criterion bn-scale needs batch normalisation, and this network has none", hint="use --criterion l2"
            )
        tensors = program.tensors
        return {name: tensors[name].detach().abs() for name in sorted(scales)}
