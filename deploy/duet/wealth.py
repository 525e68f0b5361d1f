"""Bounds that hold at every moment at once, from differences that are as often too high as too low.

**The bet.** ``x_1, x_2 ...`` are differences such that, whatever came before, ``x_i - theta`` is as likely to be ``+v``
as ``-v`` for every ``v``. Whoever bets against that starts with one unit and multiplies it by
``1 + k tanh((x_i - theta) / s)`` at each step, where ``0 < k < 1`` and the scale ``s`` were fixed before. As ``tanh``
is odd, the expected factor is 1: the wealth is a non-negative martingale, and so is the mean of the wealths of several
``k``. By Ville's inequality

    P(the wealth ever reaches 1 / alpha) <= alpha

however long one goes on and whatever makes one stop (Ville 1939; Shafer 2021 for the reading as a bet; bets on signs
with stakes that know the size are due to de la Pena, Annals of Probability 27, 1999). ``tanh`` rises, so where the true
centre lies below ``theta`` the expected factor is below 1: the same bound covers "at most theta". Turned round, all
``theta`` at which the wealth has reached ``1 / alpha`` are excluded, and the largest of them is a lower bound, valid
at all times together. Upper bounds are the mirror image.

No variance and no distribution is assumed: ``s`` only decides how soon the wealth grows, and one outlier can cost no
more than one stake.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

STAKES = (0.3, 0.6, 0.95)
_STEPS = 60
Array = np.ndarray[Any, np.dtype[Any]]


def wealth(values: Sequence[float], theta: float, scale: float) -> float:
    """Return the logarithm of what betting on "above ``theta``" has made of one unit after all ``values``."""
    return _log_mean(_log_factors((np.asarray(values, dtype=float) - theta) / scale).sum(axis=0))


def least(values: Sequence[float], scale: float, alpha: float) -> float | None:
    """Return the lower bound after all ``values``: wrong with probability at most ``alpha``, now and ever.

    ``None`` where even certainty would need more values.
    """
    need = math.log(1 / alpha)
    if not can_decide(len(values), alpha):
        return None
    low, high = min(values) - 4 * scale, max(values) + scale
    while wealth(values, low, scale) < need:  # ends: all factors come close to 1 + k
        low -= high - low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if wealth(values, middle, scale) >= need:
            low = middle
        else:
            high = middle
    return low


def bounds(values: Sequence[float], scale: float, alpha: float) -> tuple[float | None, float | None]:
    """Return the lower and the upper bound; each is wrong with probability at most ``alpha``, now and ever."""
    mirrored = least([-value for value in values], scale, alpha)
    return least(values, scale, alpha), None if mirrored is None else -mirrored


def can_decide(count: int, alpha: float) -> bool:
    """Return whether ``count`` values can exclude anything: nine can at 1 %."""
    return _log_mean(count * np.log1p(np.asarray(STAKES))) > math.log(1 / alpha) + 1e-9


def fewest(alpha: float) -> int:
    """Return how many values it takes at least to exclude anything."""
    return next(count for count in itertools.count(1) if can_decide(count, alpha))


def half_width(noise: Sequence[float], count: int, scale: float, alpha: float) -> float | None:
    """Return how far a bound will lie from the centre after ``count`` values that scatter as ``noise`` does around 0.

    ``None`` where ``count`` values cannot exclude anything.
    """
    if not can_decide(count, alpha):
        return None
    both = np.concatenate([np.asarray(noise, dtype=float), -np.asarray(noise, dtype=float)])
    need, low, high = math.log(1 / alpha), 0.0, scale
    while _expected(both, high, count, scale) < need:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _expected(both, middle, count, scale) >= need else (middle, high)
    return high


def spread(noise: Sequence[float]) -> float:
    """Return a scale for bets: the normal standard deviation that goes with the median distance of ``noise`` from 0."""
    return max(1.4826 * float(np.median(np.abs(np.asarray(noise, dtype=float)))), 1e-6)


def _expected(noise: Array, shift: float, count: int, scale: float) -> float:
    return _log_mean(_log_factors((noise + shift) / scale).mean(axis=0) * count)


def _log_factors(differences: Array) -> Array:
    return np.log1p(np.outer(np.tanh(differences), STAKES))


def _log_mean(logs: Array) -> float:
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))
