"""Paths: ever smaller choices of widths, in the order that scope and scores give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compress.allocation._ladder import Widths
from compress.allocation._space import Space, spread

Ranked = Sequence[NDArray[np.float64] | None]  # by group: its scores in ascending order; None where it has none

_ROWS = 2048  # at most, of a path


def by_share(space: Space) -> Widths:
    """The same share of every group, one row for each share that a ladder allows."""
    shares = np.unique(np.concatenate([ladder.rungs / ladder.rungs[-1] for ladder in space.ladders]))
    shares = spread(shares, _ROWS)[::-1]
    return _rows(space, [shares * ladder.rungs[-1] for ladder in space.ladders])


def by_score(space: Space, ranked: Ranked, count: int = _ROWS) -> Widths:
    """All atoms above a common threshold, one row for each of ``count`` thresholds."""
    every = np.unique(np.concatenate([*(scores for scores in ranked if scores is not None), np.zeros(1)]))
    thresholds = spread(every, count)
    columns = [
        np.full(thresholds.size, ladder.rungs[-1], np.float64)
        if scores is None
        else ladder.rungs[-1] - np.searchsorted(scores, thresholds).astype(np.float64)
        for ladder, scores in zip(space.ladders, ranked, strict=True)
    ]
    return _rows(space, columns)


def even(space: Space) -> Ranked:
    """Scores for which a common threshold takes the same share of every group."""
    widths = [int(ladder.rungs[-1]) for ladder in space.ladders]
    return [np.asarray((np.arange(width) + 0.5) / width, np.float64) for width in widths]


def _rows(space: Space, columns: list[NDArray[np.float64]]) -> Widths:
    """Distinct rows in ascending order, for columns that all descend, and the least widths."""
    rows = np.stack([ladder.nearest(column) for ladder, column in zip(space.ladders, columns, strict=True)], axis=1)
    least = np.array([[ladder.rungs[0] for ladder in space.ladders]], np.int64)
    rows = np.concatenate([rows, least])[::-1]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return np.where(space.free, rows[new], space.start)
