"""Bounds from counts, exact at any size: how much accuracy was lost, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STEPS = 60


@dataclass(frozen=True)
class Loss:
    """The share of samples lost (negative where it gained), its bounds, and the samples that differ."""

    share: float
    low: float
    high: float
    only_base: int
    only_new: int


def accuracy_loss(base: Sequence[bool], new: Sequence[bool], *, low_level: float, high_level: float) -> Loss:
    """Return how much less often ``new`` is right than ``base`` on the same samples, and bounds on that.

    Only samples on which one is right and the other wrong tell anything (McNemar, Psychometrika 12, 1947). Their share
    of all samples, and the share of them that only the base gets right, are binomial; exact bounds of both (Clopper and
    Pearson, Biometrika 26, 1934), each at half the level, bound ``differing * (2 * base's share - 1)``.

    Args:
        low_level: probability that the lower bound is wrong, at most; ``high_level`` of the upper one.

    Raises:
        ValueError: the sequences differ in length, or are empty.
    """
    if len(base) != len(new) or not len(base):
        raise ValueError(f"{len(base)} and {len(new)} samples cannot be paired")
    only_base = sum(first and not second for first, second in zip(base, new, strict=True))
    only_new = sum(second and not first for first, second in zip(base, new, strict=True))
    lower = _least(only_base, only_new, len(base), low_level / 2)
    upper = -_least(only_new, only_base, len(base), high_level / 2)
    return Loss((only_base - only_new) / len(base), lower, upper, only_base, only_new)


def _least(lost: int, won: int, samples: int, level: float) -> float:
    """The least that ``lost - won`` of all samples can be in truth, each of its two shares wrong at ``level``."""
    differing = lost + won
    tilt = 2 * _lower(lost, differing, level) - 1
    # Whichever way the scales tilt, as little as possible is in favour.
    rate = _lower(differing, samples, level) if tilt > 0 else 1 - _lower(samples - differing, samples, level)
    return tilt * rate


def _lower(hits: int, trials: int, level: float) -> float:
    """Clopper and Pearson's lower bound: the share at which ``hits`` or more have probability ``level``."""
    if hits == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_least(hits, trials, middle) < level else (low, middle)
    return low


def _at_least(hits: int, trials: int, share: float) -> float:
    """P(Binomial(trials, share) >= hits)."""
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    counts = np.arange(hits, trials + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    logs = log_factorials[trials] - log_factorials[counts] - log_factorials[trials - counts]
    return float(np.exp(logs + counts * math.log(share) + (trials - counts) * math.log1p(-share)).sum())
