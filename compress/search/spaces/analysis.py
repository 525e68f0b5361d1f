"""What a regime shows: distributions of errors, the buckets of the ratio, and what refining the space brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from compress.search.spaces.distributions import Difference, Distribution, best_of
from compress.search.spaces.ratios import BUCKETS, Band, Bucket, Reading, best_band, buckets, held_out, log_ratios
from compress.search.spaces.space import Space, Widths

Figures = NDArray[np.float64]
RESAMPLINGS = 10


@dataclass(frozen=True)
class Population:
    """Recipes of one regime, of shape (recipes, groups), and their errors."""

    rows: Widths
    errors: Figures

    def first(self, count: int) -> Population:
        """Return the population of its first recipes."""
        return Population(self.rows[:count], self.errors[:count])

    @property
    def best(self) -> int:
        """The recipe with the lowest error; of equal ones the first."""
        return int(np.argmin(self.errors))


@dataclass(frozen=True)
class Found:
    """What one reading of the ratio says of a regime.

    Attributes:
        parts: for the network, or for each stage: its buckets over the whole population.
        band: of the best buckets, over the whole population.
        held_out: how much lower errors in the band are than all, where the band is chosen by every other recipe and
            judged on the rest; ``None`` where none of these lies in it.
    """

    reading: Reading
    parts: tuple[tuple[Bucket, ...], ...]
    band: Band
    held_out: Difference | None


def find(
    space: Space, population: Population, reading: Reading, *, stages: Sequence[int] = (), count: int = BUCKETS
) -> Found:
    """Cut a regime's population into buckets and say which ratio did best.

    Raises:
        PlanError: fewer than two recipes for each bucket.
    """
    ratios = log_ratios(space, population.rows, reading, stages)
    errors = population.errors
    fitted = best_band(ratios[::2], errors[::2], count)
    return Found(
        reading,
        tuple(tuple(buckets(column, errors, count)) for column in ratios.T),
        best_band(ratios, errors, count),
        held_out(ratios[1::2], errors[1::2], fitted),
    )


def every_reading(space: Space, population: Population, *, stages: Sequence[int], count: int = BUCKETS) -> list[Found]:
    """Return what all readings say: the definition is not known, and both are logged."""
    return [find(space, population, reading, stages=stages, count=count) for reading in get_args(Reading)]


@dataclass(frozen=True)
class Refinement:
    """A refined population against the initial one.

    Attributes:
        difference: of their mean errors.
        dominates: whether the refined one is better throughout.
        best: means of the best of so many recipes of the initial and of the refined population.
        of: how many.
    """

    difference: Difference
    dominates: bool
    best: tuple[float, float]
    of: int


def compare(initial: Population, refined: Population, *, seed: int = 0) -> Refinement:
    """Say what refining brought: distributions, and the best of equally many recipes (resampled ten times)."""
    mine, its = Distribution(refined.errors), Distribution(initial.errors)
    of = max(1, min(len(refined.errors), len(initial.errors)) // 2)
    best = [float(best_of(each.errors, of, repeats=RESAMPLINGS, seed=seed).mean()) for each in (initial, refined)]
    return Refinement(mine.against(its, seed=seed), mine.dominates(its), (best[0], best[1]), of)


def as_json(found: Found) -> dict[str, Any]:
    """As JSON types, ratios in MACs per parameter."""
    return {
        "reading": found.reading,
        "parts": [
            [
                {
                    "low": float(np.exp(bucket.low)),
                    "high": float(np.exp(bucket.high)),
                    "centre": float(np.exp(bucket.centre)),
                    "recipes": len(bucket.members),
                    "mean_error": bucket.errors.mean,
                    "best_error": bucket.errors.best,
                }
                for bucket in part
            ]
            for part in found.parts
        ],
        "band": {"low": np.exp(found.band.low).tolist(), "high": np.exp(found.band.high).tolist()},
        "held_out": None if found.held_out is None else vars(found.held_out),
    }
