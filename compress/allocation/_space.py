"""The choices that there are: which groups may have which widths, and how far each choice is from the targets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.allocation._costs import Costs
from compress.allocation._ladder import Ladder, Widths
from compress.allocation._target import TOLERANCE, Target

Figures = NDArray[np.float64]
Objective = Callable[[Figures], Figures]
_MOVABLE = 512  # groups: so many make a difference small enough, and each costs an evaluation of the whole network
_FEW = 1 << 16  # so few choices are all looked at
_CROWDING = 0.3  # of a peak's distance counts what exceeds the target at other moments: lowering one of two equal peaks


def spread(values: NDArray[Any], most: int) -> NDArray[Any]:
    """All values, or so many evenly spread ones where there are more."""
    return values[np.unique(np.linspace(0, values.size - 1, most).astype(np.int64))] if values.size > most else values


def largest(misses: Figures) -> Figures:
    """The farthest of all targets, for misses of shape (choices, targets)."""
    found: Figures = misses.max(axis=1)
    return found


def in_order(misses: Figures) -> Figures:
    """The first target within the tolerance before all else, then the second ...; among equals the farthest."""
    excess = np.maximum(misses - TOLERANCE, 0.0)
    weights = 1000.0 ** np.arange(misses.shape[1])[::-1]
    found: Figures = excess @ weights + 0.001 * misses.max(axis=1)
    return found


@dataclass(frozen=True)
class Space:
    """All groups start at ``start``; those that are ``free`` may have any width of their ladder."""

    model: Costs
    targets: tuple[Target, ...]
    ladders: Sequence[Ladder]
    start: Widths
    free: NDArray[np.bool_]

    def reached(self, choices: NDArray[Any]) -> Figures:
        """Relative cost in each target's measure, of shape (choices, targets)."""
        rows = np.atleast_2d(choices)
        return np.stack([self.model.relative(target.measure, rows) for target in self.targets], axis=1)

    def misses(self, choices: NDArray[Any]) -> Figures:
        """Distance from each target, of shape (choices, targets)."""
        return np.abs(self.reached(choices) - np.array([target.share for target in self.targets]))

    def crowding(self, choices: NDArray[Any]) -> Figures:
        """What exceeds the targets without showing in the costs, for each choice."""
        rows = np.atleast_2d(choices)
        return np.sum([self.model.crowding(target.measure, rows, target.share) for target in self.targets], axis=0)

    def value(self, choices: NDArray[Any], objective: Objective) -> Figures:
        """What the search makes small, for each choice: the objective, and crowding where it is as good."""
        return self.valued(self.reached(choices), self.crowding(choices), objective)

    def valued(self, reached: Figures, crowding: Figures, objective: Objective) -> Figures:
        """The value of choices that reach so much and are so crowded."""
        misses = np.abs(reached - np.array([target.share for target in self.targets]))
        return np.asarray(objective(misses) + _CROWDING * np.maximum(crowding, 0.0), np.float64)

    def within(self, widths: Widths) -> bool:
        """Whether one choice meets every target."""
        return float(self.misses(widths).max()) <= TOLERANCE

    def end(self, rung: int) -> Widths:
        """Every free group at its first (0) or last (-1) allowed width."""
        return np.where(self.free, [int(ladder.rungs[rung]) for ladder in self.ladders], self.start)

    def moved(self, widths: Widths, steps: list[int]) -> tuple[Widths, NDArray[np.int64]]:
        """Every choice in which one free group went so many steps up or down, and the group that went; of very many
        groups evenly spread ones.
        """
        moves, groups = [], []
        for position in spread(np.flatnonzero(self.free), _MOVABLE).tolist():
            for width in self.ladders[position].jumps(int(widths[position]), steps):
                moved = widths.copy()
                moved[position] = width
                moves.append(moved)
                groups.append(position)
        return np.array(moves, np.int64).reshape(-1, widths.size), np.array(groups, np.int64)

    def every(self) -> Widths | None:
        """All choices that there are; None where they are too many to be looked at."""
        free = np.flatnonzero(self.free)
        rungs = [self.ladders[position].rungs for position in free.tolist()]
        count = math.prod(steps.size for steps in rungs)
        if count > _FEW:
            return None
        rows = np.tile(self.start, (count, 1))
        rows[:, free] = np.array(list(itertools.product(*rungs)), np.int64).reshape(count, free.size)
        return rows

    def for_targets(self, targets: tuple[Target, ...]) -> Space:
        """The same choices for other targets."""
        return Space(self.model, targets, self.ladders, self.start, self.free)
