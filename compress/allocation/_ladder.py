"""The widths that granularity allows."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compress.axes.groups import Group

Widths = NDArray[np.int64]
Granularity = int | Mapping[str, int]
"""What widths are multiples of, in channels: the same for all groups, or by the group's name."""

_FEW = 3  # so few common widths are no choice


class Ladder:
    """The widths that a group may have under a granularity in channels, in ascending order; the full width is the
    last.
    """

    def __init__(self, group: Group, granularity: Granularity, least: float, beside: Sequence[Group] = ()) -> None:
        """Args:
        group: the group.
        granularity: in channels; a mapping names all of the groups.
        least: share of the group that is left at least.
        beside: groups that keep the same share: widths that would be none of theirs are left out. Where hardly any
            is left, it is the groups of one layer together whose channels are multiples of the granularity.
        """
        rungs = _common(group, beside, granularity) if beside else _rungs(group, granularity)
        self._all = np.array(rungs, np.int64)
        floor = min(least * group.width, rungs[-1])
        self.rungs = np.array([rung for rung in rungs if rung >= floor] or rungs[-1:], np.int64)

    def whole(self) -> Ladder:
        """All of the widths, also those below the least share."""
        other = copy.copy(self)
        other.rungs = self._all
        return other

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


def step_of(granularity: Granularity, group: Group) -> int:
    """The step in which the group's channels go."""
    return granularity if isinstance(granularity, int) else granularity[group.name]


def _rungs(group: Group, granularity: Granularity) -> list[int]:
    channels = step_of(granularity, group)
    step = channels // math.gcd(channels, group.cell)
    return [*range(step, group.width, step), group.width]


def _common(leader: Group, beside: Sequence[Group], granularity: Granularity) -> list[int]:
    """The leader's widths at which all of the groups keep the same share."""
    whole = [
        rung for rung in range(1, leader.width + 1) if all(rung * other.width % leader.width == 0 for other in beside)
    ]
    allowed = [(other.width, set(_rungs(other, granularity))) for other in (leader, *beside)]
    strict = [rung for rung in whole if all(rung * width // leader.width in rungs for width, rungs in allowed)]
    if len(strict) >= _FEW:
        return strict
    channels: dict[tuple[str, int], int] = defaultdict(int)
    steps: dict[tuple[str, int], int] = defaultdict(int)
    for group in (leader, *beside):
        place = group.members[0].tensor, group.members[0].dim
        channels[place] += group.width * group.cell
        steps[place] = max(steps[place], step_of(granularity, group))
    return [
        rung
        for rung in whole
        if rung == leader.width
        or all(rung * count % (leader.width * steps[place]) == 0 for place, count in channels.items())
    ]
