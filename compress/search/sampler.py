"""optuna's face of the search: parents by our selection, children by our operators, on the grid of an encoding.

Every draw depends on the seed and the trial's number alone: a study that goes on after an interruption continues as one
that was never interrupted, and workers that share a storage need no state of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial

from compress.errors import PlanError
from compress.search.breeding import Grid, children
from compress.search.selection import Selection
from compress.search.sorting import Array


class GridSampler(optuna.samplers.BaseGASampler):
    """Samples points of ``grid``: the first ``population`` at random, later ones bred from the parents selected.

    Args:
        names: of the genes, as the study records them.
        grid: of the same number of genes.
        selection: chooses the parents by the trials' two values.
        population: parents, and trials of a generation.
        corners: begin with the lower and the upper bound, so that the front has its ends.

    Raises:
        PlanError: names that repeat or are not as many as the genes, or a population below two.
    """

    def __init__(
        self,
        names: Sequence[str],
        grid: Grid,
        selection: Selection,
        *,
        population: int,
        seed: int = 0,
        corners: bool = True,
    ) -> None:
        if len(set(names)) != len(names) or len(names) != grid.low.size:
            raise PlanError(f"{len(names)} names (some equal?) for {grid.low.size} decisions")
        if population < 2:
            raise PlanError(f"a population of {population} cannot have children", hint="2 or more; 16 is a beginning")
        super().__init__(population_size=population)
        self._names, self._grid, self._selection = tuple(names), grid, selection
        self._seed = seed
        self._first = [grid.low, grid.high] if corners else []

    def space(self) -> dict[str, BaseDistribution]:
        """The genes as optuna knows them."""
        bounds = zip(self._names, self._grid.low, self._grid.high, strict=True)
        return {name: FloatDistribution(float(low), float(high)) for name, low, high in bounds}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space()

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        random = np.random.default_rng([self._seed, trial.number])
        generation = self.get_trial_generation(study, trial)
        parents = [self.genes(parent) for parent in self.get_parent_population(study, generation)]
        known = {self.genes(other).tobytes() for other in self._others(study, trial)}
        point = self._first_point(trial.number, known, random) if len(parents) < 2 else None
        if point is None:
            point = self._child(parents, known, random) if len(parents) >= 2 else self._grid.sample(random)
        return dict(zip(self._names, (float(gene) for gene in point), strict=True))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise PlanError(f"the study asks for {param_name!r}, which is no decision of this search")

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        pool = self.get_population(study, generation - 1) + self.get_parent_population(study, generation - 1)
        values = np.array([trial.values for trial in pool])
        size = self.population_size
        assert size is not None
        return [pool[index] for index in self._selection.choose(values, size)]

    def genes(self, trial: FrozenTrial | optuna.Trial) -> Array:
        """Return the point of a trial, of shape (genes,)."""
        return np.array([trial.params[name] for name in self._names])

    def _others(self, study: optuna.Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """All trials begun before this one, so that no point is tried twice."""
        trials = study.get_trials(deepcopy=False)
        return [other for other in trials if other.number < trial.number and set(self._names) <= set(other.params)]

    def _first_point(self, number: int, known: set[bytes], random: np.random.Generator) -> Array | None:
        """A corner or a new random point; None where repeated draws find none."""
        if number < len(self._first):
            return self._first[number]
        draws = (self._grid.sample(random) for _ in range(16))
        return next((point for point in draws if point.tobytes() not in known), None)

    def _child(self, parents: list[Array], known: set[bytes], random: np.random.Generator) -> Array:
        """A child that was not tried before; where 16 litters have none, a random point."""
        for _ in range(16):
            for child in children(parents, self._grid, 2, random):
                if child.tobytes() not in known:
                    return child
        warnings.warn("the search finds no new point near its parents: a random one is tried", stacklevel=2)
        return self._grid.sample(random)
