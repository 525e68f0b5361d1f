"""What a criterion is, and how its numbers become one score for each atom of a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.errors import PlanError

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreContext:
    """What a criterion may look at: the analysed network, batches of ``(inputs, target)`` where data was given, a
    seed.
    """

    analysis: Analysis
    batches: Iterable[Any] | None
    seed: int


class Criterion(ABC):
    """Adding one is a class with a name and :meth:`prepare`; :meth:`finish` where the sum needs a last step."""

    name: ClassVar[str]
    needs_data: ClassVar[bool] = False

    @abstractmethod
    def prepare(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        """Return, by tensor name, a value for each element; tensors left out say nothing about importance."""

    def finish(self, total: Scores) -> Scores:
        """Turn the sum over an atom's elements into its score. The sum itself by default."""
        return total


def atom_scores(chosen: Criterion, context: ScoreContext, groups: Iterable[Group]) -> dict[str, Scores]:
    """Score each atom of each group: per tensor the sum over the atom's elements, then the mean over tensors.

    A group that none of the criterion's tensors belongs to is left out.

    Raises:
        PlanError: a score is not finite.
    """
    values = chosen.prepare(context)
    columns: dict[tuple[str, int], Scores] = {}
    result: dict[str, Scores] = {}
    for group in groups:
        totals = []
        for member in group.members:
            if member.tensor not in values:
                continue
            key = (member.tensor, member.dim)
            if key not in columns:
                columns[key] = _along(values[member.tensor], member.dim)
            totals.append(chosen.finish(columns[key][member.indices].sum(axis=1)))
        if totals:
            result[group.name] = np.mean(totals, axis=0)
            if not np.isfinite(result[group.name]).all():
                raise PlanError(
                    f"criterion {chosen.name} finds values that are not finite in {group.name!r}",
                    hint="its weights or gradients hold NaN or infinity: train it again, or leave it out with --ignore",
                )
    return result


def _along(value: torch.Tensor, dim: int) -> Scores:
    """Sum over every dimension but one."""
    others = [other for other in range(value.ndim) if other != dim]
    summed = value.detach().double().sum(dim=others) if others else value.detach().double()
    found: Scores = summed.cpu().numpy()
    return found


def multiplying(context: ScoreContext) -> list[str]:
    """Names of the weights of convolution and linear layers."""
    tensors = context.analysis.program.tensors
    names = context.analysis.program.parameter_names - set(context.analysis.program.tied)
    return sorted(name for name in names if tensors[name].ndim >= 2 and tensors[name].is_floating_point())
