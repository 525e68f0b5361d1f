"""Distribution-free statistics: order-statistic intervals and a trend test.

No latency distribution is assumed anywhere: latencies are skewed, have several modes and heavy tails.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_TREND_Z = 1.96
_MAX_TREND_POINTS = 200


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided interval; a bound is ``None`` where too few values were seen to give one."""

    value: float
    low: float | None
    high: float | None


@functools.lru_cache(maxsize=256)
def lower_rank(n: int, q: float, level: float) -> int:
    """Return the largest rank ``l`` with ``P(Binomial(n, q) <= l - 1) <= level``, or 0 where there is none.

    The ``l``-th smallest of ``n`` independent values exceeds the true ``q``-quantile with probability at most
    ``level``, whatever their distribution: for ``q = 1/2`` this is the sign test turned into a bound.
    """
    below = np.cumsum(_binomial(n, q))
    return int(np.searchsorted(below, level, side="right"))


@functools.lru_cache(maxsize=256)
def upper_rank(n: int, q: float, level: float) -> int:
    """Return the smallest rank ``u`` with ``P(Binomial(n, q) >= u) <= level``, or ``n + 1`` where there is none."""
    return n + 1 - lower_rank(n, 1.0 - q, level)


def quantile_interval(values: Sequence[float], q: float, confidence: float = 0.95) -> Interval:
    """Return the ``q``-quantile of ``values`` with a distribution-free interval (order statistics)."""
    ordered = np.sort(np.asarray(values, dtype=float))
    level = (1.0 - confidence) / 2.0
    low, high = _bounds(ordered, q, level)
    return Interval(float(np.quantile(ordered, q)), low, high)


def median_interval(values: Sequence[float], level: float) -> Interval:
    """Return the median of ``values``; each bound alone is wrong with probability at most ``level``."""
    ordered = np.sort(np.asarray(values, dtype=float))
    low, high = _bounds(ordered, 0.5, level)
    return Interval(float(np.median(ordered)), low, high)


def has_trend(values: Sequence[float]) -> bool:
    """Mann-Kendall test (two-sided, 5 %) of whether ``values``, in time order, drift up or down."""
    series = _block_medians(np.asarray(values, dtype=float))
    n = len(series)
    if n < 4:
        return True
    score = float(np.sum(np.triu(np.sign(series[None, :] - series[:, None]), k=1)))
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0)
    return abs(score) / deviation > _TREND_Z


def _block_medians(
    series: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    if len(series) <= _MAX_TREND_POINTS:
        return series
    return np.array([np.median(block) for block in np.array_split(series, _MAX_TREND_POINTS)])


def _bounds(
    ordered: np.ndarray[tuple[int, ...], np.dtype[np.float64]], q: float, level: float
) -> tuple[float | None, float | None]:
    n = len(ordered)
    low, high = lower_rank(n, q, level), upper_rank(n, q, level)
    return (float(ordered[low - 1]) if low >= 1 else None), (float(ordered[high - 1]) if high <= n else None)


def _binomial(n: int, q: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    k = np.arange(1, n + 1)
    steps = np.log((n - k + 1) / k) + math.log(q / (1.0 - q))
    return np.exp(np.concatenate([[0.0], np.cumsum(steps)]) + n * math.log1p(-q))
