"""A search begins with the ends and with what is cut alike everywhere."""

from __future__ import annotations

import numpy as np

from compress.search.beginning import alike
from compress.search.breeding import Grid

GRID = Grid(np.array([0.5, 0.5, 0.2, 0.2]), np.ones(4))
WIDTHS = np.array([True, True, False, False])


def test_the_ends_and_the_same_shares_everywhere() -> None:
    found = alike(GRID, WIDTHS, 6)
    np.testing.assert_array_equal(found[0], GRID.low)
    np.testing.assert_array_equal(found[1], GRID.high)
    assert len(found) == len({point.tobytes() for point in found}) == 8
    for point in found:
        assert point[0] == point[1]
        assert point[2] == point[3]
        assert (GRID.snap(point) == point).all()
    assert [0.5, 0.5, 1.0, 1.0] in [point.tolist() for point in found]
    assert [1.0, 1.0, 0.2, 0.2] in [point.tolist() for point in found]


def test_widths_alone_have_no_doubles() -> None:
    grid = GRID.of(WIDTHS)
    found = alike(grid, np.array([True, True]), 10)
    assert len(found) == len({point.tobytes() for point in found})
    assert 3 <= len(found) <= 12
