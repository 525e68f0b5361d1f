"""Refining: from a choice of widths to one that is nearer to the targets, by the smallest changes that do it."""

from __future__ import annotations

import itertools
import math

import numpy as np

from compress.allocation._ladder import Widths
from compress.allocation._space import Objective, Space

_CLOSE = 0.001
_PAIRS_TRIED, _ROUNDS, _GAIN = 128, 100, 0.005
_JUMPS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
_MOVES = 1200  # more moves than this are not paired with each other
_FEW = 1 << 16  # so few choices are all looked at


def refined(space: Space, widths: Widths, objective: Objective) -> Widths:
    """Single steps while they help; where a target is still missed, two groups at once, and all choices if few."""
    widths = _by_single_steps(space, widths, objective)
    for jumps in ([1], _JUMPS):
        if space.within(widths):
            return widths
        widths = _by_pairs(space, widths, objective, jumps)
    return widths if space.within(widths) else _of_all(space, widths, objective)


def _by_single_steps(space: Space, widths: Widths, objective: Objective) -> Widths:
    best = float(space.value(widths, objective)[0])
    while float(space.misses(widths).max()) > _CLOSE:
        moves, _ = space.moved(widths, [1])
        if not len(moves):
            break
        values = space.value(moves, objective)
        if float(values.min()) >= best:
            break
        best, widths = float(values.min()), moves[int(values.argmin())]
    return widths


def _by_pairs(space: Space, widths: Widths, objective: Objective, jumps: list[int]) -> Widths:
    """Moves of one or two groups; their effects are added to find the pairs worth computing."""
    best = float(space.value(widths, objective)[0])
    for _ in range(_ROUNDS):
        moves, groups = space.moved(widths, jumps)
        if not len(moves) or space.within(widths):
            break
        reached, crowding = space.reached(moves), space.crowding(moves)
        rows, values = moves, space.valued(reached, crowding, objective)
        if len(moves) <= _MOVES:
            first, second = np.triu_indices(len(moves), 1)
            apart = groups[first] != groups[second]
            first, second = first[apart], second[apart]
            expected = space.valued(
                reached[first] + reached[second] - space.reached(widths),
                crowding[first] + crowding[second] - space.crowding(widths),
                objective,
            )
            top = np.argsort(expected, kind="stable")[:_PAIRS_TRIED]
            pairs = moves[first[top]] + moves[second[top]] - widths
            rows, values = np.concatenate([rows, pairs]), np.concatenate([values, space.value(pairs, objective)])
        if float(values.min()) >= best * (1 - _GAIN):
            break
        best, widths = float(values.min()), rows[int(values.argmin())]
    return widths


def _of_all(space: Space, widths: Widths, objective: Objective) -> Widths:
    """The best of all choices where they are few; of equally good ones that nearest to ``widths``."""
    free = np.flatnonzero(space.free)
    rungs = [space.ladders[position].rungs for position in free.tolist()]
    if not free.size or math.prod(steps.size for steps in rungs) > _FEW:
        return widths
    rows = np.tile(widths, (math.prod(steps.size for steps in rungs), 1))
    rows[:, free] = np.array(list(itertools.product(*rungs)), np.int64)
    values = objective(space.misses(rows))
    if float(values.min()) >= float(objective(space.misses(widths))[0]):
        return widths
    good = rows[values <= values.min() + 1e-12]
    away = np.abs(good - widths) / np.maximum(space.end(-1), 1)
    choice: Widths = good[int(away.sum(axis=1).argmin())]
    return choice
