"""Showing data to a criterion before the masks are chosen at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from compress.errors import PlanError
from compress.importance._gradients import loss_of
from compress.program import Program
from compress.sparsity.criteria import Criterion


def look(criterion: Criterion, program: Program, names: Iterable[str], batches: Iterable[Any] | None) -> None:
    """Let ``criterion`` see the gradients of every batch on a copy of ``program``, which takes its steps.

    The evaluation graph is differentiated: with stored statistics in its norms, scores do not depend on batching.

    Raises:
        PlanError: there are no data, the loss cannot be computed, or a gradient is not finite.
    """
    if batches is None:
        raise PlanError(f"criterion {criterion.name} needs data", hint="give --data, or use the criterion magnitude")
    working = program.copy()
    module, tensors = working.module(), working.tensors
    for tensor in tensors.values():
        tensor.requires_grad_(False)  # noqa: FBT003
    weights = {name: tensors[name].detach().clone() for name in names}
    seen = False
    for inputs, target in batches:
        seen = True
        _show(tensors, criterion.present(weights))
        read = [tensors[name].requires_grad_() for name in weights]
        loss = loss_of(criterion, module(*inputs), target)
        found = torch.autograd.grad(loss, read, allow_unused=True)
        gradients = {name: g for name, g in zip(weights, found, strict=True) if g is not None}
        if not all(bool(gradient.isfinite().all()) for gradient in gradients.values()):
            raise PlanError(
                f"criterion {criterion.name} finds gradients that are not finite",
                hint="check the data, or use the criterion magnitude",
            )
        criterion.observe(weights, gradients)
        if criterion.step_size:
            for name, gradient in gradients.items():
                weights[name].sub_(gradient, alpha=criterion.step_size)
    if not seen:
        raise PlanError(f"criterion {criterion.name} was given no batch", hint="give data with training images")


@torch.no_grad()
def _show(tensors: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> None:
    for name, weight in weights.items():
        tensors[name].copy_(weight)
