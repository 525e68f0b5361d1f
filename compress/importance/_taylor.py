"""First-order Taylor: how much the loss would change if the channel were zero (Molchanov et al. 2019, eq. 8)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from compress.errors import PlanError
from compress.importance._base import Criterion, ScoreContext, Scores, multiplying


class Taylor(Criterion):
    """Absolute sum over the channel's weights of weight times gradient, averaged over the batches given."""

    name: ClassVar[str] = "taylor"
    needs_data: ClassVar[bool] = True

    def prepare(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        if context.batches is None:
            raise PlanError("criterion taylor needs data for its gradients", hint="give --data, or use --criterion l2")
        program = context.analysis.program
        names = multiplying(context)
        module = program.module()  # with stored statistics in its norms, scores do not depend on batching
        tensors = program.tensors
        trained = [name for name in names if tensors[name].requires_grad]
        if not trained:
            raise PlanError("criterion taylor needs weights that can be trained", hint="use --criterion l2")
        sums = {name: torch.zeros_like(tensors[name], dtype=torch.float64) for name in trained}
        count = 0
        for inputs, target in context.batches:
            loss = _loss(module(*inputs), target)
            gradients = torch.autograd.grad(loss, [tensors[name] for name in trained], allow_unused=True)
            for name, gradient in zip(trained, gradients, strict=True):
                if gradient is not None:
                    sums[name] += (tensors[name].detach() * gradient).double()
            count += 1
        if not count:
            raise PlanError("criterion taylor was given no batch", hint="give --data with training images")
        return {name: total / count for name, total in sums.items()}

    def finish(self, total: Scores) -> Scores:
        found: Scores = np.abs(total)
        return found


def _loss(outputs: Any, target: torch.Tensor) -> torch.Tensor:
    main = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    try:
        return F.cross_entropy(main, target)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise PlanError(
            f"criterion taylor cannot compute cross-entropy of the first output ({str(error).splitlines()[0]})",
            hint="it ranks classifiers and segmentation networks; use --criterion l2",
        ) from error
