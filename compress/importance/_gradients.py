"""The loss that gradient criteria differentiate, and the gradients of weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch.nn import functional as F

from compress.errors import PlanError
from compress.importance._base import Criterion, ScoreContext, multiplying


class Named(Protocol):
    """A criterion, as messages call it."""

    @property
    def name(self) -> str:
        """What it is chosen by."""


Batch = tuple[tuple[torch.Tensor, ...], Any]


def batches_of(chosen: Criterion, context: ScoreContext) -> Iterator[Batch]:
    """Yield the batches given. Raises :class:`PlanError` where there are no data, or no batch in them."""
    if context.batches is None:
        raise PlanError(f"criterion {chosen.name} needs data", hint="give --data, or use --criterion l2")
    empty = True
    for inputs, target in context.batches:
        empty = False
        yield inputs, target
    if empty:
        raise PlanError(f"criterion {chosen.name} was given no batch", hint="give --data with training images")


def singles(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """Yield the first ``count`` samples as batches of one."""
    for inputs, target in batches:
        for at in range(len(inputs[0])):
            if count == 0:
                return
            count -= 1
            yield tuple(value[at : at + 1] for value in inputs), target[at : at + 1]


def weight_gradients(
    chosen: Criterion, context: ScoreContext, batches: Iterable[Batch]
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield for each batch the gradient of its mean loss, by name, for the weights that are trained and used.

    The evaluation graph is differentiated: with stored statistics in its norms, scores do not depend on batching.

    Raises:
        PlanError: no weight is trained, or the loss cannot be computed.
    """
    program = context.analysis.program
    tensors, module = program.tensors, program.module()
    trained = [name for name in multiplying(context) if tensors[name].requires_grad]
    if not trained:
        raise PlanError(f"criterion {chosen.name} needs weights that can be trained", hint="use --criterion l2")
    for inputs, target in batches:
        loss = loss_of(chosen, module(*inputs), target)
        found = torch.autograd.grad(loss, [tensors[name] for name in trained], allow_unused=True)
        yield {name: gradient for name, gradient in zip(trained, found, strict=True) if gradient is not None}


def loss_of(chosen: Named, outputs: Any, target: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the first output. Raises :class:`PlanError` where outputs and target do not allow it."""
    main = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
    try:
        return F.cross_entropy(main, target)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise PlanError(
            f"criterion {chosen.name} cannot compute cross-entropy of the first output ({str(error).splitlines()[0]})",
            hint="it ranks classifiers and segmentation networks; use a criterion that needs no data",
        ) from error
