"""Refining: from a choice of widths to one that is nearer to the targets, by the smallest changes that do it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.allocation._ladder import Widths
from compress.allocation._space import Objective, Space

_CLOSE = 0.001
_PAIRS_TRIED, _ROUNDS, _GAIN = 128, 60, 0.005
_JUMPS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
_MANY = 512  # of more moves than this several are made at once
_MOVES = 400  # of more moves than this only so many are paired with each other


def refined(space: Space, widths: Widths, objective: Objective) -> Widths:
    """Single steps while they help; where a target is still missed, two groups at once, and all choices if few."""
    widths = _by_single_steps(space, widths, objective)
    for jumps in ([1], _JUMPS):
        if space.within(widths):
            return widths
        widths = _by_pairs(space, widths, objective, jumps)
    return widths if space.within(widths) else _of_all(space, widths, objective)


def refined_from_any(space: Space, starts: Widths, objective: Objective) -> Widths:
    """Refine the first start; where a target is still missed the others too, and take the best of them."""
    best = refined(space, starts[0], objective)
    for start in starts[1:]:
        if space.within(best):
            return best
        found = refined(space, start, objective)
        if float(objective(space.misses(found))[0]) < float(objective(space.misses(best))[0]):
            best = found
    return best


def _by_single_steps(space: Space, widths: Widths, objective: Objective) -> Widths:
    best = float(space.value(widths, objective)[0])
    while float(space.misses(widths).max()) > _CLOSE:
        moves, groups = space.moved(widths, [1])
        if not len(moves):
            break
        values = space.value(moves, objective)
        if len(moves) > _MANY:
            bundles = _bundles(widths, moves, groups, values)
            moves, values = (
                np.concatenate([moves, bundles]),
                np.concatenate([values, space.value(bundles, objective)]),
            )
        if float(values.min()) >= best:
            break
        best, widths = float(values.min()), moves[int(values.argmin())]
    return widths


def _bundles(widths: Widths, moves: Widths, groups: NDArray[np.int64], values: NDArray[np.float64]) -> Widths:
    """The best 2, 4, 8 ... moves of different groups at once: where there are many groups one is a small step."""
    order = np.argsort(values, kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    best = order[np.sort(first)]
    together = widths + np.cumsum(moves[best] - widths, axis=0)
    return together[[(1 << power) - 1 for power in range(1, best.size.bit_length())]]


def _by_pairs(space: Space, widths: Widths, objective: Objective, jumps: list[int]) -> Widths:
    """Moves of one or two groups; their effects are added to find the pairs worth computing."""
    best = float(space.value(widths, objective)[0])
    for _ in range(_ROUNDS):
        moves, groups = space.moved(widths, jumps)
        if not len(moves) or space.within(widths):
            break
        reached, crowding = space.reached(moves), space.crowding(moves)
        rows, values = moves, space.valued(reached, crowding, objective)
        first, second = _pairs(groups)
        expected = space.valued(
            reached[first] + reached[second] - space.reached(widths),
            crowding[first] + crowding[second] - space.crowding(widths),
            objective,
        )
        top = np.argsort(expected, kind="stable")[:_PAIRS_TRIED]
        if top.size:
            pairs = moves[first[top]] + moves[second[top]] - widths
            rows, values = np.concatenate([rows, pairs]), np.concatenate([values, space.value(pairs, objective)])
        if float(values.min()) >= best * (1 - _GAIN):
            break
        best, widths = float(values.min()), rows[int(values.argmin())]
    return widths


def _pairs(groups: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of any two moves of different groups, from evenly spread ones where there are many."""
    chosen = np.unique(np.linspace(0, groups.size - 1, min(groups.size, _MOVES)).astype(np.int64))
    first, second = np.triu_indices(chosen.size, 1)
    first, second = chosen[first], chosen[second]
    apart = groups[first] != groups[second]
    return first[apart], second[apart]


def _of_all(space: Space, widths: Widths, objective: Objective) -> Widths:
    """The best of all choices where they are few; of equally good ones that nearest to ``widths``."""
    rows = space.every()
    if rows is None:
        return widths
    values = objective(space.misses(rows))
    if float(values.min()) >= float(objective(space.misses(widths))[0]):
        return widths
    good = rows[values <= values.min() + 1e-12]
    away = np.abs(good - widths) / np.maximum(space.end(-1), 1)
    choice: Widths = good[int(away.sum(axis=1).argmin())]
    return choice
