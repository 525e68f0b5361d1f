"""What a criterion is, and the ready-made kinds: by element, by slice of a weight. :mod:`._signals` holds those that
look at the signals themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from compress.axes.analysis import Analysis
from compress.axes.groups import Group, Member
from compress.importance._sums import sums_along

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
    """Gives every atom of a group a number for each *place* it lies in; :func:`.aggregate` makes one score of them.

    ``normalisation`` is how groups are made comparable where the user does not say (see :data:`.NORMALISATIONS`).
    """

    name: ClassVar[str]
    needs_data: ClassVar[bool] = False
    normalisation: ClassVar[str] = "mean"

    def __init_subclass__(cls) -> None:
        """A class that gives no name goes by its own."""
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            cls.name = cls.__name__

    @abstractmethod
    def places(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, list[Scores]]:
        """Return, by group name, one vector over the group's atoms for each place, what produces the atoms first.

        Groups left out are not scored, hence stay whole.
        """


class ElementCriterion(Criterion):
    """A number for each element of a tensor, which adds up over the elements that an atom takes in it."""

    def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
        """Return, by tensor name, a value for each element; tensors left out say nothing about importance."""
        raise NotImplementedError(f"{type(self).__name__} defines neither values() nor passes()")

    def passes(self, context: ScoreContext) -> Iterator[dict[str, torch.Tensor]]:
        """Yield :meth:`values`; criteria that see data yield some for each batch. The mean of the scores counts."""
        yield self.values(context)

    def each(self, block: torch.Tensor) -> torch.Tensor:
        """Turn values into the numbers that add up. ``block`` is a copy in float64 and may be overwritten."""
        return block

    def finish(self, totals: Scores) -> Scores:
        """Turn the atoms' sums in one tensor, of shape (atoms,), into their scores. The sums themselves by default."""
        return totals

    def places(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, list[Scores]]:
        sums: dict[str, list[Scores]] = {}
        count = 0
        for values in self.passes(context):
            count += 1
            for name, places in self._scored(values, groups).items():
                before = sums.get(name)
                sums[name] = places if before is None else [old + new for old, new in zip(before, places, strict=True)]
        return {name: [total / count for total in totals] for name, totals in sums.items()}

    def _scored(self, values: Mapping[str, torch.Tensor], groups: Sequence[Group]) -> dict[str, list[Scores]]:
        wanted: dict[str, set[int]] = {}
        for member in (member for group in groups for member in group.members):
            wanted.setdefault(member.tensor, set()).add(member.dim)
        sums = {name: sums_along(value, wanted[name], self.each) for name, value in values.items() if name in wanted}

        def score(member: Member) -> Scores:
            return self.finish(sums[member.tensor][member.dim][member.indices].sum(axis=1))

        return _by_group(groups, values, score)


class SliceCriterion(Criterion):
    """A number from the whole of what each atom takes of a weight, seen beside the other atoms of its group."""

    @abstractmethod
    def of_slices(self, slices: torch.Tensor) -> torch.Tensor:
        """Return a score for each row of ``slices``, of shape (atoms, elements), in float64."""

    def places(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, list[Scores]]:
        tensors = context.analysis.program.tensors

        def score(member: Member) -> Scores:
            weight = tensors[member.tensor].detach().double().movedim(member.dim, 0)
            rows = weight[torch.from_numpy(member.indices.ravel())]
            found: Scores = self.of_slices(rows.reshape(len(member.indices), -1)).cpu().numpy()
            return found

        return _by_group(groups, set(multiplying(context)), score)


def _by_group(
    groups: Sequence[Group], tensors: Container[str], score: Callable[[Member], Scores]
) -> dict[str, list[Scores]]:
    """Score every member that lies in one of ``tensors``; groups without any are left out."""
    found = {group.name: [score(member) for member in group.members if member.tensor in tensors] for group in groups}
    return {name: places for name, places in found.items() if places}


def multiplying(context: ScoreContext) -> list[str]:
    """Names of the weights of convolution and linear layers."""
    tensors = context.analysis.program.tensors
    names = context.analysis.program.parameter_names - set(context.analysis.program.tied)
    return sorted(name for name in names if tensors[name].ndim >= 2 and tensors[name].is_floating_point())
