"""What a front is worth: the area that it dominates (Zitzler and Thiele 1999), and how it covers a range."""

from __future__ import annotations

import numpy as np

from compress.search.sorting import Array


def hypervolume(objectives: Array, reference: tuple[float, float]) -> float:
    """Return the area dominated by the points and bounded by ``reference``, in the product of both units.

    Args:
        objectives: of shape (points, 2), both minimised. Points that do not dominate ``reference`` add nothing.
        reference: a point worse than those that are to count.
    """
    points = np.asarray(objectives, dtype=float).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1) & (points < np.asarray(reference)).all(axis=1)]
    area, ceiling = 0.0, float(reference[1])
    for first, second in points[np.lexsort((points[:, 1], points[:, 0]))]:
        if second < ceiling:
            area += (reference[0] - first) * (ceiling - second)
            ceiling = second
    return float(area)


def coverage(values: Array, low: float, high: float, bins: int = 8) -> float:
    """Return the share of ``bins`` equal parts of the range from ``low`` to ``high`` that hold at least one value."""
    within = np.asarray(values)[(np.asarray(values) >= low) & (np.asarray(values) <= high)]
    places = np.minimum(((within - low) / (high - low) * bins).astype(int), bins - 1)
    return len(np.unique(places)) / bins
