"""Empirical distributions of errors, and how sure one can be that one population is better than another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError

Figures = NDArray[np.float64]

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """Mean error of one population minus that of another: the estimate, its bootstrap interval, and ``chance``, the
    share of resamplings in which the first is not lower."""

    mean: float
    low: float
    high: float
    chance: float


class Distribution:
    """The errors of a population, as the step function ``F(x) = share of errors below or at x``.

    Raises:
        PlanError: no errors, or some that are not finite.
    """

    def __init__(self, errors: NDArray[np.floating]) -> None:
        self.errors: Figures = np.sort(np.asarray(errors, dtype=float).reshape(-1))
        if not self.errors.size or not np.isfinite(self.errors).all():
            raise PlanError("a distribution needs errors, all of them finite")

    @property
    def mean(self) -> float:
        """Mean error: the area above the step function, too."""
        return float(self.errors.mean())

    @property
    def best(self) -> float:
        """Lowest error."""
        return float(self.errors[0])

    def __call__(self, error: float) -> float:
        """Return the share of the population whose error is at most ``error``."""
        return float(np.searchsorted(self.errors, error, side="right")) / self.errors.size

    def steps(self) -> tuple[Figures, Figures]:
        """Return where the function rises, ascending and each once, and its value from there on."""
        places, counts = np.unique(self.errors, return_counts=True)
        return places, counts.cumsum() / self.errors.size

    def dominates(self, other: Distribution) -> bool:
        """Whether this population is better throughout (first-order stochastic dominance).

        Its share of errors is at least the other's at every level, and larger at one.
        """
        levels = np.union1d(self.errors, other.errors)
        mine, its = (np.searchsorted(each.errors, levels, side="right") / each.errors.size for each in (self, other))
        return bool((mine >= its).all() and (mine > its).any())

    def against(self, other: Distribution, *, seed: int = 0, draws: int = DRAWS, level: float = LEVEL) -> Difference:
        """Return how much lower its mean error is, with a percentile bootstrap interval (Efron 1979)."""
        random = np.random.default_rng(seed)
        means = [
            each.errors[random.integers(0, each.errors.size, (draws, each.errors.size))].mean(axis=1)
            for each in (self, other)
        ]
        differences = means[0] - means[1]
        tail = (1 - level) / 2
        low, high = np.quantile(differences, [tail, 1 - tail])
        return Difference(self.mean - other.mean, float(low), float(high), float((differences >= 0).mean()))


def best_of(errors: NDArray[np.floating], count: int, *, repeats: int, seed: int = 0) -> Figures:
    """Return the lowest of ``count`` errors drawn without replacement from a table of them, ``repeats`` times.

    Raises:
        PlanError: the table holds fewer.
    """
    if count > len(errors):
        raise PlanError(f"the best of {count} cannot be drawn from {len(errors)} recipes")
    random = np.random.default_rng(seed)
    return np.array([random.choice(errors, count, replace=False).min() for _ in range(repeats)])
