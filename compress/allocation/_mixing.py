"""Several targets at once: a family of paths that trades the measures against each other.

A group's atoms keep their order; what differs between the paths is how groups compare. Each group's threshold is raised
by a multiple of how much more its atoms cost in one measure than in the others (the Lagrangian of several constraints):
at the multiple 0 the path is the plain one, far from it groups go in the order of their costs' ratio, which is where
the trade ends.
"""

from __future__ import annotations

import numpy as np

from compress.allocation._ladder import Widths
from compress.allocation._paths import Ranked, by_score
from compress.allocation._space import Figures, Objective, Space
from compress.allocation._target import TOLERANCE

_COUNT = 128  # thresholds per path
_REACH = 4.0 ** np.arange(-2, 4)  # multiples that are tried first, in units of the scores' spread
_ZOOMS, _BETWEEN, _ROUNDS = 3, 5, 2
_LEAST_SLOPE = 1e-4  # of the largest: what a group that costs nothing in a measure is taken to cost


def mixed(space: Space, ranked: Ranked, objective: Objective) -> Widths:
    """Good choices on paths of the family, the best first. Costs' ratios are taken anew where the last round ended."""
    found = [_best(space, by_score(space, ranked, _COUNT), objective)]
    spread = _spread(ranked)
    full = space.end(-1).astype(np.float64)
    references: list[Figures] = [full, np.asarray(full / 2, np.float64)]
    for _ in range(_ROUNDS):
        found += [_along(space, ranked, by * spread, objective) for by in _directions(space, references)]
        rows = np.array(found)
        best = rows[int(space.value(rows, objective).argmin())]
        if float(space.misses(best).max()) <= TOLERANCE / 2:
            break
        references = [best.astype(np.float64)]
    order = np.argsort(space.value(rows, objective), kind="stable")
    sorted_rows: Widths = rows[order]
    return sorted_rows


def _along(space: Space, ranked: Ranked, direction: Figures, objective: Objective) -> Widths:
    """Find the multiple of ``direction`` whose path comes nearest: a coarse ladder of multiples, then between the
    neighbours of the best.
    """
    multiples = np.concatenate([-_REACH[::-1], np.zeros(1), _REACH])
    found: list[tuple[float, Widths]] = []
    best = 0
    for _ in range(_ZOOMS):
        rows = [_best(space, by_score(space, _tilted(ranked, direction * by), _COUNT), objective) for by in multiples]
        values = space.value(np.array(rows), objective)
        best = int(values.argmin())
        found.append((float(values[best]), rows[best]))
        if float(space.misses(rows[best]).max()) <= TOLERANCE / 2:
            break
        low, high = multiples[max(best - 1, 0)], multiples[min(best + 1, multiples.size - 1)]
        multiples = np.linspace(low, high, _BETWEEN + 2)[1:-1]
    return min(found, key=lambda pair: pair[0])[1]


def _best(space: Space, rows: Widths, objective: Objective) -> Widths:
    choice: Widths = rows[int(space.value(rows, objective).argmin())]
    return choice


def _tilted(ranked: Ranked, shift: Figures) -> Ranked:
    return [None if scores is None else scores - by for scores, by in zip(ranked, shift.tolist(), strict=True)]


def _spread(ranked: Ranked) -> float:
    every = np.concatenate([np.zeros(1), *(scores for scores in ranked if scores is not None)])
    low, high = np.quantile(every, [0.05, 0.95])
    return float(high - low) or 1.0


def _directions(space: Space, references: list[Figures]) -> Figures:
    """By measure but the first: how much more each group costs in it than in the others, as standardised logarithms."""
    slopes = np.zeros((len(space.targets), space.start.size))
    for reference in references:
        rows = np.where(np.eye(reference.size, dtype=bool), reference * 0.875, reference)
        slopes += (space.reached(reference) - space.reached(rows)).T
    largest = slopes.max(axis=1, keepdims=True)
    logs = np.log(np.maximum(slopes, np.where(largest > 0, largest, 1.0) * _LEAST_SLOPE))
    compared = (logs - logs.mean(axis=0))[1:]
    centred = compared - compared[:, space.free].mean(axis=1, keepdims=True)
    deviation = centred[:, space.free].std(axis=1, keepdims=True)
    found: Figures = centred / np.where(deviation > 0, deviation, 1.0)
    return found
