"""Non-dominated sorting and crowding (Deb et al. 2002, NSGA-II). All objectives are minimised."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def dominates(objectives: Array) -> Array:
    """Return ``table[i, j]``: whether ``i`` dominates ``j``, no worse in any objective and better in one.

    Args:
        objectives: of shape (individuals, objectives), finite.
    """
    one, other = objectives[:, None, :], objectives[None, :, :]
    return np.asarray((one <= other).all(axis=2) & (one < other).any(axis=2))


def fronts(objectives: Array) -> list[Array]:
    """Sort individuals into fronts: the first is dominated by nobody, the next by the first alone, and so on.

    Args:
        objectives: of shape (individuals, objectives). A row that is not finite is worse than every finite one.

    Returns:
        Indices in ascending order, front by front; all individuals are in exactly one.
    """
    finite = np.isfinite(objectives).all(axis=1, keepdims=True)
    table = dominates(np.where(finite, objectives, np.inf))
    above = table.sum(axis=0)
    found: list[Array] = []
    left = np.arange(len(objectives))
    while left.size:
        front = left[above[left] == 0]
        found.append(front)
        above = above - table[front].sum(axis=0)
        left = np.setdiff1d(left, front)
    return found


def crowding(objectives: Array) -> Array:
    """Return each individual's crowding distance: the size of the gap around it, summed over the objectives.

    Distances are shares of each objective's range; the two ends of every objective have none beside them and get
    infinity. An objective that is constant tells nothing and adds nothing.

    Args:
        objectives: of one front, of shape (individuals, objectives).

    Returns:
        Distances of shape (individuals,), not negative.
    """
    count = len(objectives)
    distances = np.zeros(count)
    for values in np.asarray(objectives, dtype=float).T:
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        span = ordered[-1] - ordered[0] if count else 0.0
        if count <= 2:
            distances[:] = np.inf
        elif np.isfinite(span) and span > 0:
            distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
            distances[order[[0, -1]]] = np.inf
    return distances
