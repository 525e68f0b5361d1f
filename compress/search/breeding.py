"""Individuals on a grid within bounds, and a generation of children from their parents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from compress.errors import PlanError
from compress.search.sorting import Array
from compress.search.variation import crossover, mutate

STEP = 0.1
_RETRIES = 16


@dataclass(frozen=True)
class Grid:
    """Genes between ``low`` and ``high``, both of shape (genes,), in multiples of ``step``; those that have ``choices``
    (ascending, both bounds among them) take the nearest of these instead.

    Raises:
        PlanError: on making it, bounds that are not finite, of different shapes, or in the wrong order.
    """

    low: Array
    high: Array
    step: float = STEP
    choices: Mapping[int, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = self.low.shape == self.high.shape and self.low.ndim == 1 and self.low.size > 0
        if not shapes or not np.isfinite([self.low, self.high]).all() or (self.low > self.high).any():
            raise PlanError("the bounds of the search are not a lower and an upper one for every gene")
        if not self.step > 0:
            raise PlanError(f"a grid step of {self.step:g} is not above 0")

    def snap(self, genes: Array) -> Array:
        """Return the nearest multiples of the step, or the bound where those lie outside."""
        # Rounded once more, so that equal points are equal bit by bit: 3 * 0.1 is not 0.3.
        points = np.round(np.round(np.asarray(genes, dtype=float) / self.step) * self.step, 10)
        for gene, choices in self.choices.items():
            points[gene] = choices[np.argmin(np.abs(choices - genes[gene]))]
        return np.clip(points, self.low, self.high)

    def of(self, genes: Array) -> Grid:
        """Return the grid of some genes: ``genes`` are bool, of shape (genes,)."""
        places = {int(gene): at for at, gene in enumerate(np.flatnonzero(genes))}
        choices = {places[gene]: values for gene, values in self.choices.items() if gene in places}
        return Grid(self.low[genes], self.high[genes], self.step, choices)

    def sample(self, random: np.random.Generator) -> Array:
        """Draw a point, every gene uniformly."""
        return self.snap(self.low + random.random(self.low.shape) * (self.high - self.low))


def first_generation(grid: Grid, count: int, random: np.random.Generator) -> list[Array]:
    """Draw ``count`` different points, or as many as repeated draws find in a small grid."""
    return _distinct(lambda: (grid.sample(random),), count, (), tries=count * _RETRIES)


def children(parents: list[Array], grid: Grid, count: int, random: np.random.Generator) -> list[Array]:
    """Breed up to ``count`` children: random pairs, crossover, mutation; none equal to a parent or to another child.

    Fewer come back where repeated tries (16 for each pair) find no new point.

    Raises:
        PlanError: there are fewer than two parents.
    """
    if len(parents) < 2:
        raise PlanError(f"{len(parents)} parents cannot have children: the population is too small")

    def litter() -> tuple[Array, ...]:
        one, other = random.choice(len(parents), size=2, replace=False)
        pair = crossover(parents[one], parents[other], random)
        return tuple(grid.snap(mutate(grid.snap(child), grid.low, grid.high, random)) for child in pair)

    return _distinct(litter, count, parents, tries=(count + 1) // 2 * _RETRIES)


def _distinct(draw: Callable[[], Iterable[Array]], count: int, known: Iterable[Array], *, tries: int) -> list[Array]:
    seen = {point.tobytes() for point in known}
    found: list[Array] = []
    for _ in range(tries):
        for point in draw():
            if len(found) < count and point.tobytes() not in seen:
                seen.add(point.tobytes())
                found.append(point)
        if len(found) == count:
            break
    return found
