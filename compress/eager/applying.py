"""Edit a module so that it is the pruned network: slice its tensors, correct its widths, check, or change nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from compress.axes.analysis import analyse
from compress.axes.surgery import remove
from compress.capturing import capture
from compress.eager.comparing import HINT, compare
from compress.eager.layers import described
from compress.eager.recording import Call, Recorder, line_of_error
from compress.eager.scales import Fold
from compress.eager.slicing import slice_tensors
from compress.eager.solving import Solution, solve
from compress.eager.widths import Attribute, rewritten, track
from compress.errors import CaptureError, EagerError, PlanError
from compress.plan import Plan
from compress.program import Program


@dataclass(frozen=True)
class Fit:
    """How a module becomes the pruned network ``small``: numbers to set, and rows of its weights to scale."""

    small: Program
    numbers: Mapping[Attribute, int]
    folds: frozenset[Fold]

    def apply(self, module: nn.Module) -> None:
        """Edit ``module`` in place; it must be (a copy of) the one that was fitted."""
        _edit(module, self.small, self.numbers)
        self.scale(module)

    def scale(self, module: nn.Module) -> None:
        """Scale the rows alone: for weights of the pruned network loaded into an edited module."""
        held: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
        held.update(module.named_buffers(remove_duplicate=False))
        for item in self.folds:
            item.apply(held[item.tensor])


def captured(module: nn.Module, example: Sequence[Any]) -> tuple[Program, list[Call]]:
    """Capture ``module`` with its whole-number attributes tracked. Raises :class:`CaptureError`."""
    tracked = copy.deepcopy(module)
    track(tracked)
    with Recorder() as recorder:
        program = capture(tracked, example)
    return program, recorder.calls


def fit(module: nn.Module, dense: Program, calls: Sequence[Call], small: Program, example: Sequence[Any]) -> Fit:
    """Find out how ``module`` becomes ``small``; the module is left as it is.

    Args:
        module: the dense module.
        dense: its capture, from :func:`captured`.
        calls: likewise.
        small: what pruning made of ``dense``.
        example: inputs, as for ``capture``.

    Raises:
        EagerError: the class spells out a size that changed; the error names the line.
    """
    solution = solve(module, dense, small, calls)
    edited = copy.deepcopy(module)
    _edit(edited, small, solution.numbers)
    with Recorder() as recorder:
        try:
            again = capture(edited, example)
        except CaptureError as error:
            raise _refused(error, solution, len(recorder.calls)) from error
    return Fit(small, solution.numbers, compare(again, small, recorder.calls))


def _edit(module: nn.Module, small: Program, numbers: Mapping[Attribute, int]) -> None:
    slice_tensors(module, small)
    _set(module, numbers)
    _set(module, described(module))


def _set(module: nn.Module, numbers: Mapping[Attribute, int]) -> None:
    parts = dict(module.named_modules())
    for path, name in {(place.module, place.name) for place in numbers}:
        part = parts[path]
        part.__dict__[name] = rewritten(part.__dict__[name], Attribute(path, name), numbers)


def _refused(error: CaptureError, solution: Solution, position: int) -> EagerError:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
    line = line_of_error(error)
    culprit = solution.blame(position, line)
    return EagerError(
        str(culprit) if culprit else f"does not run with the new widths ({type(cause).__name__}: {first[:200]})",
        where=culprit.call.line if culprit else line,
        hint=HINT,
    )


def apply_plan_to(plan: Plan, module: nn.Module, example: Sequence[Any] | None) -> nn.Module:
    """See :meth:`compress.Plan.apply_to`."""
    inputs = _inputs(plan, module) if example is None else tuple(example)
    dense, calls = captured(module, inputs)
    analysis = analyse(dense)
    small = remove(analysis, plan.validated(analysis))
    fit(module, dense, calls, small, inputs).apply(module)
    return module


def _inputs(plan: Plan, module: nn.Module) -> tuple[torch.Tensor, ...]:
    """Inputs of the shapes that the plan was made with, in the type of the module's weights and on their device."""
    if not plan.inputs:
        raise PlanError("records no input shapes", where="plan", hint="give plan.apply_to(module, (example,))")
    first = next((weight for weight in module.parameters() if weight.is_floating_point()), torch.empty(0))
    made = []
    for _, shape, name in plan.inputs:
        dtype = getattr(torch, name)
        dtype = first.dtype if dtype.is_floating_point else dtype
        made.append(torch.zeros((2, *shape[1:]), dtype=dtype, device=first.device))
    return tuple(made)
