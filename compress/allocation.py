"""Allocation: how many atoms each group keeps so that a target is met, given scores, scope and granularity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.axes.groups import Group
from compress.errors import PlanError
from compress.sizes import SizeModel, Widths

MEASURES = ("macs", "params", "ratio")
TOLERANCE = 0.01  # what "within 1 %" means: achieved / dense within this of the request
LEAST = 0.1  # global ranking leaves at least this share of every group: an emptied layer cannot recover
_CLOSE = 0.001


@dataclass(frozen=True)
class Target:
    """What to reach: ``measure`` (macs, params, or ratio of channels) as a share of the network as it is."""

    measure: str
    share: float

    def __str__(self) -> str:
        return f"{self.measure}={self.share:g}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``macs=0.5``. Raises :class:`PlanError` for anything else."""
        measure, _, number = text.partition("=")
        if measure not in MEASURES:
            raise PlanError(f"target {text!r} is not understood", hint="write macs=0.5, params=0.5 or ratio=0.5")
        try:
            share = float(number)
        except ValueError:
            raise PlanError(f"target {text!r} has no number", hint=f"write {measure}=0.5") from None
        if not 0 < share <= 1:
            raise PlanError(f"target {text!r} is not between 0 and 1", hint=f"{measure}=0.5 keeps half")
        return cls(measure, share)


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
        at = int(np.searchsorted(self.rungs, width))
        return [int(self.rungs[position]) for position in (at - 1, at + 1) if 0 <= position < self.rungs.size]


@dataclass(frozen=True)
class Allocation:
    """Chosen width per group, the share reached, and a remark where it is not what was asked for."""

    widths: Widths
    achieved: float
    note: str | None


def allocate(
    model: SizeModel,
    groups: Sequence[Group],
    scores: Mapping[str, NDArray[np.float64]],
    target: Target,
    *,
    scope: str,
    granularity: int,
    fixed_ratios: Mapping[str, float],
    least: Mapping[str, float] | None = None,
) -> Allocation:
    """Choose widths whose cost is as near to ``target`` as the granularity allows.

    Args:
        model: cost of any choice of widths.
        groups: the groups that may shrink.
        scores: importance of each atom by group, comparable between groups; groups without scores stay whole.
        target: what to reach.
        scope: ``global`` ranks all atoms together, ``local`` keeps the same
            share of every group.
        granularity: channel counts are multiples of this.
        fixed_ratios: keep ratios that the caller decided, by group name.
        least: share that each group keeps at least, by group name; :data:`LEAST` for global scope, 0 for local where
            not given.
    """
    usual = LEAST if scope == "global" else 0.0
    ladders = [Ladder(group, granularity, (least or {}).get(group.name, usual)) for group in groups]
    free = np.array([group.name in scores and group.name not in fixed_ratios for group in groups], bool)
    start = np.array([group.width for group in groups], np.int64)
    for position, group in enumerate(groups):
        if group.name in fixed_ratios:
            wanted = np.array([fixed_ratios[group.name] * group.width])
            start[position] = Ladder(group, granularity, 0.0).nearest(wanted)[0]
    widths = start
    if free.any():
        choices = _path(groups, ladders, scores, start, free, scope)
        widths = _settle(model, target, choices, ladders, free)
    achieved = float(model.relative(target.measure, widths)[0])
    return Allocation(widths, achieved, _remark(model, target, achieved, ladders, start, free))


def _path(
    groups: Sequence[Group],
    ladders: Sequence[Ladder],
    scores: Mapping[str, NDArray[np.float64]],
    start: Widths,
    free: NDArray[np.bool_],
    scope: str,
) -> Widths:
    """Ever smaller choices of widths, from everything to the least, one row each."""
    if scope == "local":
        shares = np.unique(np.concatenate([ladder.rungs / ladder.rungs[-1] for ladder in ladders]))[::-1]
        columns = [shares * group.width for group in groups]
    else:
        ranked = {name: np.sort(score) for name, score in scores.items()}
        every = np.unique(np.concatenate([*ranked.values(), np.zeros(1)]))
        thresholds = every[np.unique(np.linspace(0, every.size - 1, 2048).astype(int))]
        columns = [
            group.width - np.searchsorted(ranked[group.name], thresholds)
            if group.name in ranked
            else np.full(thresholds.size, group.width)
            for group in groups
        ]
    rows = np.stack([ladder.nearest(column) for ladder, column in zip(ladders, columns, strict=True)], axis=1)
    least = np.array([[ladder.rungs[0] for ladder in ladders]], np.int64)
    rows = np.unique(np.concatenate([rows, least]), axis=0)
    return np.where(free, rows, start)


def _settle(
    model: SizeModel, target: Target, choices: Widths, ladders: Sequence[Ladder], free: NDArray[np.bool_]
) -> Widths:
    """Take the nearest choice, then move single groups by one step while that brings the cost nearer."""
    miss = np.abs(model.relative(target.measure, choices) - target.share)
    best, widths = float(miss.min()), choices[int(miss.argmin())]
    while best > _CLOSE:
        moves = []
        for position in np.flatnonzero(free).tolist():
            for width in ladders[position].neighbours(int(widths[position])):
                moved = widths.copy()
                moved[position] = width
                moves.append(moved)
        if not moves:
            break
        misses = np.abs(model.relative(target.measure, np.array(moves)) - target.share)
        if float(misses.min()) >= best:
            break
        best, widths = float(misses.min()), moves[int(misses.argmin())]
    return widths


def _remark(
    model: SizeModel, target: Target, achieved: float, ladders: Sequence[Ladder], start: Widths, free: NDArray[np.bool_]
) -> str | None:
    if abs(achieved - target.share) <= TOLERANCE:
        return None
    if not free.any():
        return "no group is free to shrink"
    ends = [np.where(free, [ladder.rungs[end] for ladder in ladders], start) for end in (0, -1)]
    floor, ceiling = model.relative(target.measure, np.array(ends))
    if target.share < floor:
        return f"the floor is {target.measure}={floor:.3f}: what is protected, frozen or at its least width"
    if target.share > ceiling:
        return f"the ceiling is {target.measure}={ceiling:.3f}: the keep ratios given cut that far by themselves"
    return f"{target.measure}={achieved:.3f} is the nearest that this granularity allows"
