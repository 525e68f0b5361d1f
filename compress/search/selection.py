"""Who survives: plain NSGA-II, and selection around uniformly spread latency targets (JCW).

Source: Zhao et al. 2021, Joint Channel and Weight Pruning for Model Acceleration on Mobile Devices, "uniform
non-dominated sorting selection"; NSGA-II by Deb et al. 2002.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compress.errors import PlanError
from compress.search.sorting import Array, crowding, fronts

LOSS, LATENCY = 0, 1


class Selection(ABC):
    """Chooses the individuals that go on, from their losses and latencies, both minimised."""

    @abstractmethod
    def choose(self, objectives: Array, count: int) -> Array:
        """Return the indices of ``count`` individuals (all, where there are no more), best first.

        Args:
            objectives: of shape (individuals, 2): loss, latency.
        """


class NonDominated(Selection):
    """NSGA-II: front by front, the one that does not fit cut by crowding along both objectives."""

    def choose(self, objectives: Array, count: int) -> Array:
        chosen: list[int] = []
        for front in fronts(objectives):
            chosen += _roomiest(front, objectives[front], count - len(chosen))
        return np.array(chosen, dtype=int)


@dataclass(frozen=True)
class UniformTargets(Selection):
    """Fronts of (loss, distance of the latency from a target), for each of several targets in turn.

    Rank by rank and target by target whole fronts are added until the count is reached; the one that does not fit is
    cut by crowding along latency. So the population stays spread over the whole range of latencies, rather than gather
    where shared weights converge first.

    Args:
        targets: latencies, such as :func:`spread_targets` gives.
    """

    targets: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.targets or not np.isfinite(self.targets).all():
            raise PlanError("selection has no latency targets, or some that are not finite")

    def choose(self, objectives: Array, count: int) -> Array:
        sorted_by_target = [fronts(_around(objectives, target)) for target in self.targets]
        chosen: list[int] = []
        for rank in range(max(map(len, sorted_by_target))):
            for ranked in sorted_by_target:
                front = ranked[rank] if rank < len(ranked) else np.array([], dtype=int)
                new = np.setdiff1d(front, chosen)
                chosen += _roomiest(new, objectives[new, LATENCY:], count - len(chosen))
        return np.array(chosen, dtype=int)


def spread_targets(low: float, high: float, count: int = 4) -> tuple[float, ...]:
    """Return ``count`` latencies evenly from ``low`` to ``high``, both included.

    Raises:
        PlanError: fewer than two targets, or a range that is none.
    """
    if count < 2 or not low < high:
        raise PlanError(f"{count} latency targets between {low:g} and {high:g} make no range")
    return tuple(float(target) for target in np.linspace(low, high, count))


def _around(objectives: Array, target: float) -> Array:
    return np.column_stack([objectives[:, LOSS], np.abs(objectives[:, LATENCY] - target)])


def _roomiest(members: Array, values: Array, room: int) -> Sequence[int]:
    """All members where there is room for them, else those with the largest gaps around them."""
    if len(members) <= room:
        return [int(member) for member in members]
    order = np.argsort(-crowding(values), kind="stable")[: max(room, 0)]
    return [int(member) for member in members[order]]
