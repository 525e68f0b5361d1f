"""The widths that granularity allows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from compress.axes.groups import Group

Widths = NDArray[np.int64]


class Ladder:
    """The widths that a group may have under a granularity in channels, in ascending order; the full width is the
    last.
    """

    def __init__(self, group: Group, granularity: int, least: float) -> None:
        step = granularity // math.gcd(granularity, group.cell)
        rungs = [*range(step, group.width, step), group.width]
        floor = min(least * group.width, rungs[-1])
        self.rungs = np.array([rung for rung in rungs if rung >= floor] or rungs[-1:], np.int64)

    def nearest(self, widths: NDArray[np.float64]) -> Widths:
        """The allowed width nearest to each of ``widths``; of two equally near the wider."""
        between = (self.rungs[:-1] + self.rungs[1:]) / 2
        return np.asarray(self.rungs[np.searchsorted(between, widths, side="right")], np.int64)

    def neighbours(self, width: int) -> list[int]:
        """The next allowed width below and above."""
        return self.jumps(width, [1])

    def jumps(self, width: int, steps: list[int]) -> list[int]:
        """The allowed widths so many steps below and above, those that there are."""
        at = int(np.searchsorted(self.rungs, width))
        positions = [at + sign * step for step in steps for sign in (-1, 1)]
        return [int(self.rungs[position]) for position in positions if 0 <= position < self.rungs.size]
