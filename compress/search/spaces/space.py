"""A space of recipes: the widths that every group of a network may have, and recipes drawn at a given cost.

A recipe says how many atoms each group keeps. Which ones these are is decided by one simple rule for all recipes, so
that structure alone differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.axes.analysis import Analysis
from compress.errors import PlanError
from compress.plan import Kept, Plan
from compress.sizes import SizeModel

Widths = NDArray[np.int64]
Figures = NDArray[np.float64]

LEAST = 0.1
"""Of a group's width, what every recipe keeps."""
TOLERANCE = 0.01
"""Of the dense network's MACs, how far a recipe may lie from its regime."""
_HALVINGS = 60
_TOP_UPS = 16


@dataclass(frozen=True)
class Space:
    """All recipes that keep multiples of a step of each group, and at least a share of it.

    Args:
        analysis: of the dense network.
        sizes: of its prunable groups, in their order.
        rungs: for each group the widths it may have, ascending, the full one last.
    """

    analysis: Analysis
    sizes: SizeModel
    rungs: tuple[Widths, ...]

    def sample(self, share: float, count: int, random: np.random.Generator) -> Widths:
        """Draw recipes whose MACs are ``share`` of the dense network's.

        Keep ratios are drawn uniformly for every group, then scaled together by a factor found by bisection, so that
        the drawn shape is kept (He et al. draw by a rule that is not known). Where the steps of the widths leave a
        recipe more than :data:`TOLERANCE` away, single groups are moved by single steps.

        Returns:
            Atoms kept, of shape (count, groups), each row within :data:`TOLERANCE` of ``share`` or as near to it as
            single steps come. No two rows are equal; fewer come back where the space hardly has so many.

        Raises:
            PlanError: the smallest recipe costs more, or the share is none.
        """
        self.check(share)
        rows = distinct(self._drawn(share, count, random))
        for _ in range(_TOP_UPS):
            if len(rows) >= count:
                break
            rows = distinct(np.concatenate([rows, self._drawn(share, count, random)]))
        return rows[:count]

    def _drawn(self, share: float, count: int, random: np.random.Generator) -> Widths:
        least = np.array([rungs[0] / rungs[-1] for rungs in self.rungs])
        raw = least + (1 - least) * random.random((count, len(self.rungs)))
        low, high = np.zeros(count), (1 / raw).max(axis=1)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = self.macs(self._snapped(raw * middle[:, None])) <= share
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        under, over = (self._snapped(raw * factor[:, None]) for factor in (low, high))
        nearer = np.abs(self.macs(under) - share) <= np.abs(self.macs(over) - share)
        rows = np.where(nearer[:, None], under, over)
        return np.array([self._repaired(row, share, random) for row in rows], np.int64)

    def macs(self, rows: Widths) -> Figures:
        """Return the MACs of each recipe over those of the dense network."""
        return self.sizes.relative("macs", rows)

    def check(self, share: float) -> None:
        """Raise :class:`PlanError` unless there are recipes that cost ``share`` of the dense network's MACs."""
        if not 0 < share <= 1:
            raise PlanError(f"a regime of {share:g} is no share of the network's MACs", hint="0.5 is half of them")
        floor = float(self.macs(np.array([[rungs[0] for rungs in self.rungs]]))[0])
        if floor > share + TOLERANCE:
            raise PlanError(
                f"no recipe of this space has {share:.0%} of the MACs: the smallest has {floor:.1%}",
                hint="allow narrower groups, or choose a larger regime",
            )

    def plan(self, row: Widths, kept: Sequence[NDArray[Any]], settings: dict[str, Any]) -> Plan:
        """Return a recipe as a plan that ``compress prune --plan`` applies.

        Args:
            row: atoms kept of each group.
            kept: for every group its atoms, most important first.
            settings: what the plan records of where it comes from.
        """
        groups = {
            group.name: Kept(group.width, tuple(sorted(int(atom) for atom in order[:count])), group.producers)
            for group, order, count in zip(self.analysis.prunable, kept, row.tolist(), strict=True)
            if count < group.width
        }
        return Plan(groups, settings=settings)

    def _snapped(self, ratios: Figures) -> Widths:
        """The allowed widths nearest to ``ratios`` of the full ones, of shape (recipes, groups)."""
        columns = []
        for column, rungs in zip(ratios.T, self.rungs, strict=True):
            between = (rungs[:-1] + rungs[1:]) / 2
            columns.append(rungs[np.searchsorted(between, column * rungs[-1], side="right")])
        return np.stack(columns, axis=1)

    def _repaired(self, row: Widths, share: float, random: np.random.Generator) -> Widths:
        """Move single groups by single steps while that brings the recipe nearer, until it is near enough."""
        miss = abs(float(self.macs(row[None])[0]) - share)
        while miss > TOLERANCE:
            moves = self._moves(row)
            misses = np.abs(self.macs(moves) - share)
            good = np.flatnonzero(misses <= TOLERANCE)
            best = int(random.choice(good)) if good.size else int(misses.argmin())
            if misses[best] >= miss:
                return row
            row, miss = moves[best], float(misses[best])
        return row

    def _moves(self, row: Widths) -> Widths:
        moves = []
        for index, rungs in enumerate(self.rungs):
            at = int(np.searchsorted(rungs, row[index]))
            for place in (at - 1, at + 1):
                if 0 <= place < rungs.size:
                    moves.append(row.copy())
                    moves[-1][index] = rungs[place]
        return np.array(moves, np.int64)


def space_of(analysis: Analysis, *, granularity: int = 1, least: float = LEAST, ignore: Sequence[int] = ()) -> Space:
    """Return the space of a network's prunable groups.

    Args:
        analysis: of the dense network.
        granularity: widths in channels are multiples of it.
        least: share of its atoms that every group keeps.
        ignore: positions of groups that stay whole.

    Raises:
        PlanError: nothing can be pruned, or ``least`` or ``granularity`` make no sense.
    """
    from compress.allocation import Ladder

    if not 0 < least <= 1:
        raise PlanError(f"a least keep ratio of {least:g} is not above 0 and at most 1")
    if granularity < 1:
        raise PlanError(f"granularity {granularity} is not a positive whole number")
    groups = analysis.prunable
    rungs = tuple(
        np.array([group.width]) if index in ignore else Ladder(group, granularity, least).rungs
        for index, group in enumerate(groups)
    )
    if all(each.size == 1 for each in rungs):
        raise PlanError("the space holds nothing but the dense network: no group has two widths to choose from")
    return Space(analysis, SizeModel(analysis, groups), rungs)


def distinct(rows: Widths) -> Widths:
    """Return the rows that differ, in their order."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]
