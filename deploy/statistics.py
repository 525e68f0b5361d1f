"""Distribution-free statistics: order-statistic intervals, a trend test, and spending of an error level over looks.

No latency distribution is assumed anywhere: latencies are skewed, have several modes and heavy tails.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

FIRST_LOOK = 16
LOOK_GROWTH = 1.3
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


def look_level(look: int, alpha: float) -> float:
    """Return the error level that the look numbered ``look`` (from 0) may spend.

    ``alpha / ((look + 1)(look + 2))`` sums to ``alpha`` over infinitely many looks, so by the union bound the chance
    that any one-sided bound at any look is wrong is at most ``alpha``, however the looking ends.
    """
    return alpha / ((look + 1) * (look + 2))


def look_sizes(limit: int) -> list[int]:
    """Return the sample sizes at which a sequential test may look: 16, 21, 28 ... growing by 1.3, up to ``limit``."""
    sizes: list[int] = []
    size = float(FIRST_LOOK)
    while round(size) <= limit:
        sizes.append(round(size))
        size *= LOOK_GROWTH
    return sizes


def has_trend(values: Sequence[float]) -> bool:
    """Mann-Kendall test (two-sided, 5 %) of whether ``values``, in time order, drift up or down."""
    series = _block_medians(np.asarray(values, dtype=float))
    n = len(series)
    if n < 4:
        return True
    score = float(np.sum(np.triu(np.sign(series[None, :] - series[:, None]), k=1)))
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0)
    return abs(score) / deviation > _TREND_Z


def student_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution, by Fisher's expansion in the normal quantile.

    Good to 1 % for five or more degrees of freedom and probabilities up to 0.995.
    """
    z, n = NormalDist().inv_cdf(probability), float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / n ** (at + 1) for at, term in enumerate(terms))


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
