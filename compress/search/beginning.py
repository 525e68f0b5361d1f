"""The points that a search begins with: the ends, and what is cut alike everywhere.

A search of few trials would hardly come upon networks that are cut alike in all layers, which are what it has to beat:
they are tried first, and later points are bred of them. The published search begins with random points alone.
"""

from __future__ import annotations

import numpy as np

from compress.search.breeding import Grid
from compress.search.sorting import Array

_SHARES = (
    *((0.0, 1.0), (1.0, 0.0), (0.5, 0.5), (0.5, 1.0), (1.0, 0.5)),
    *((0.25, 0.25), (0.75, 0.75), (0.25, 1.0), (1.0, 0.25), (0.75, 1.0), (1.0, 0.75)),
)
"""Of the way from the lower to the upper bound: of widths, and of densities."""


def alike(grid: Grid, widths: Array, count: int) -> list[Array]:
    """Return the lower bound, the upper bound, and up to ``count`` points at the same shares between them everywhere.

    Args:
        grid: of the genes.
        widths: which genes are widths, bool of shape (genes,); the others are densities.
    """
    found = [grid.low, grid.high]
    known = {point.tobytes() for point in found}
    for width, density in _SHARES:
        share = np.where(widths, width, density)
        point = grid.snap(grid.low + share * (grid.high - grid.low))
        if point.tobytes() not in known:
            known.add(point.tobytes())
            found.append(point)
    return found[: 2 + count]
