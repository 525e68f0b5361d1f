"""``allocate``: choose how many atoms each group keeps, given scores, scope and granularity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compress.allocation._costs import Costs
from compress.allocation._ladder import Granularity, Ladder, Widths
from compress.allocation._mixing import mixed
from compress.allocation._paths import Ranked, by_score, by_share, even
from compress.allocation._refining import refined_from_any
from compress.allocation._returning import PEAKS, returned
from compress.allocation._searching import searched
from compress.allocation._shortfall import Said, Shortfall, floor_causes
from compress.allocation._space import Space, in_order, largest
from compress.allocation._target import TOLERANCE, Target
from compress.allocation._tied import Sets, Tied
from compress.axes.groups import Group

LEAST = 0.1  # global ranking leaves at least this share of every group: an emptied layer cannot recover
_EQUAL = 1e-9
_STARTS = 3  # so many on each side of a target that a path steps over


@dataclass(frozen=True)
class Allocation:
    """Chosen width per group, the share reached per target, and what is in the way of targets that were missed."""

    widths: Widths
    achieved: tuple[float, ...]
    shortfalls: tuple[Shortfall, ...]

    def miss(self, targets: Sequence[Target]) -> tuple[float, ...]:
        """By how much each of the targets that were asked for is missed beyond the tolerance."""
        return tuple(
            max(abs(share - target.share) - TOLERANCE, 0.0)
            for share, target in zip(self.achieved, targets, strict=True)
        )

    @property
    def note(self) -> str | None:
        """The shortfalls in words, or None."""
        return "; ".join(str(shortfall) for shortfall in self.shortfalls) or None


def allocate(
    model: Costs,
    groups: Sequence[Group],
    scores: Mapping[str, NDArray[np.float64]],
    targets: Target | Sequence[Target],
    *,
    scope: str,
    granularity: Granularity,
    fixed_ratios: Mapping[str, float],
    least: Mapping[str, float] | None = None,
    stays: Mapping[str, tuple[str, str]] | None = None,
    tied: Sequence[Tied] = (),
) -> Allocation:
    """Choose widths whose costs are as near to ``targets`` as the search finds them.

    Several targets are all met where widths that do are found; else the first that can be met comes first.

    Args:
        model: cost of any choice of widths.
        groups: the groups that may shrink.
        scores: importance of each atom by group, comparable between groups; groups without scores stay whole.
        targets: what to reach, one or several.
        scope: ``global`` ranks all atoms together, ``local`` keeps the same share of every group.
        granularity: channel counts are multiples of this; a mapping gives a step for each group by name.
        fixed_ratios: keep ratios that the caller decided, by group name.
        least: share that each group keeps at least, by group name; :data:`LEAST` for global scope, 0 for local where
            not given.
        stays: status and reason of groups whose width is decided, for the explanation of a floor.
        tied: sets of groups that keep one share, whatever it is; where one of a set is decided, all are.
    """
    asked = (targets,) if isinstance(targets, Target) else tuple(targets)
    usual = LEAST if scope == "global" else 0.0
    sets = Sets(groups, tied)
    leaders, levels = sets.leaders, sets.scores(scores)
    ladders = sets.ladders(granularity, least or {}, usual)
    space = Space(sets.costs(model), asked, ladders, *_decided(leaders, levels, ladders, sets.ratios(fixed_ratios)))
    space = space.for_targets(_possible(space))
    ranked = _ranked(leaders, levels) if scope == "global" else even(space)
    widths = _chosen(space, ranked, scope) if space.free.any() else space.start
    reached = tuple(space.reached(widths)[0].tolist())
    shortfalls = []
    for position, target in enumerate(asked):
        if abs(reached[position] - target.share) > TOLERANCE:
            found = _shortfall(space, ranked, position, reached, target)
            if found.obstacle == "floor":
                said = Said(sets.said(stays or {}), sets.ties, granularity)
                found = replace(found, causes=floor_causes(space, target, leaders, said))
            shortfalls.append(found)
    return Allocation(sets.spread(widths), reached, tuple(shortfalls))


def _possible(space: Space) -> tuple[Target, ...]:
    """The targets, those beyond the least or the most that there is put there: the others are then met as they can."""
    least, most = space.reached(np.array([space.end(0), space.end(-1)])).tolist()
    return tuple(
        replace(target, share=min(max(target.share, low), high))
        for target, low, high in zip(space.targets, least, most, strict=True)
    )


def _decided(
    groups: Sequence[Group],
    scores: Mapping[str, NDArray[np.float64]],
    ladders: Sequence[Ladder],
    fixed_ratios: Mapping[str, float],
) -> tuple[Widths, NDArray[np.bool_]]:
    """The width that each group starts from, and whether it may change."""
    free = np.array([group.name in scores and group.name not in fixed_ratios for group in groups], bool)
    start = np.array([group.width for group in groups], np.int64)
    for position, group in enumerate(groups):
        if group.name in fixed_ratios:
            wanted = np.array([fixed_ratios[group.name] * group.width])
            start[position] = ladders[position].whole().nearest(wanted)[0]
    return start, free


def _ranked(groups: Sequence[Group], scores: Mapping[str, NDArray[np.float64]]) -> Ranked:
    found = {name: np.sort(score) for name, score in scores.items()}
    return [found.get(group.name) for group in groups]


def _chosen(space: Space, ranked: Ranked, scope: str) -> Widths:
    if len(space.targets) == 1:
        paths = [by_share(space), by_score(space, ranked)]
        if scope == "local":
            return refined_from_any(space, _around(space, paths), largest)
        widths = refined_from_any(space, _around(space, paths[::-1]), largest)
        return returned(space, ranked, widths) if space.targets[0].measure in PEAKS else widths
    widths = refined_from_any(space, mixed(space, ranked, largest)[:_STARTS], largest)
    if space.within(widths):
        return widths
    ordered = refined_from_any(space, np.concatenate([widths[None], mixed(space, ranked, in_order)[:1]]), in_order)
    if space.within(ordered) or space.every() is not None:
        return ordered
    return min(
        searched(space, np.array([widths, ordered])), ordered, key=lambda one: float(in_order(space.misses(one))[0])
    )


def _around(space: Space, paths: Sequence[Widths]) -> Widths:
    """The choice on the first path that comes nearest, and then those of all paths next above and next below."""
    found = [paths[0][int(space.misses(paths[0]).argmin())]]
    for rows in paths:
        beyond = space.reached(rows)[:, 0] - space.targets[0].share
        order = np.argsort(np.abs(beyond), kind="stable")
        found += [row for side in (beyond[order] > 0, beyond[order] <= 0) for row in rows[order[side][:_STARTS]]]
    return np.array(found, np.int64)


def _shortfall(space: Space, ranked: Ranked, position: int, reached: tuple[float, ...], asked: Target) -> Shortfall:
    """What is in the way of the target ``asked``; ``space`` is for those targets that are possible by themselves."""
    possible = space.targets[position]
    lowest, highest = space.reached(np.array([space.end(0), space.end(-1)]))[:, position].tolist()
    found = Shortfall(str(asked), reached[position], "search", lowest, highest, ())
    if asked.share != possible.share:
        return replace(found, obstacle="floor" if asked.share < lowest else "ceiling", shown=True)
    met = [
        other
        for other, share in zip(space.targets, reached, strict=True)
        if other is not possible and abs(share - other.share) <= TOLERANCE
    ]
    shown = _shown(space, found, position, met)
    if shown is None and met:
        low, high = (_extreme(space, ranked, (*met, replace(possible, share=share))) for share in (lowest, highest))
        found = replace(found, lowest=min(low, reached[position]), highest=max(high, reached[position]))
    found = shown or found
    if met and not found.lowest - TOLERANCE <= asked.share <= found.highest + TOLERANCE:
        return replace(found, obstacle=" and ".join(map(str, met)))
    return found


def _shown(space: Space, found: Shortfall, position: int, met: Sequence[Target]) -> Shortfall | None:
    """The shortfall with the exact range, where all choices can be looked at and none that keeps ``met`` is nearer."""
    rows = space.every()
    if rows is None:
        return None
    kept = (space.for_targets((*met, space.targets[position])).misses(rows)[:, :-1] <= TOLERANCE).all(axis=1)
    reached = space.reached(rows[kept])[:, position]
    share = space.targets[position].share
    if float(np.abs(reached - share).min()) < abs(found.achieved - share) - _EQUAL:
        return None
    return replace(found, obstacle="granularity", lowest=float(reached.min()), highest=float(reached.max()), shown=True)


def _extreme(space: Space, ranked: Ranked, targets: tuple[Target, ...]) -> float:
    """How far towards the last target one comes while the others are met."""
    within = space.for_targets(targets)
    widths = refined_from_any(within, mixed(within, ranked, in_order)[:1], in_order)
    return float(within.reached(widths)[0, -1])
