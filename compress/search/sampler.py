"""optuna's face of the search: parents by our selection, children by our operators, on the grid of an encoding.

Every draw depends on the seed and on how many trials came before that did not fail: a study that goes on after an
interruption draws the trial that was lost again, and continues as one that was never interrupted. Workers that share a
storage need no state of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from compress.errors import PlanError
from compress.search.breeding import Grid, children
from compress.search.drawing import Drawer
from compress.search.selection import Selection
from compress.search.sorting import Array


class GridSampler(optuna.samplers.BaseGASampler, Drawer):
    """Samples points of ``grid``: the first generation those of ``first``, then at random; later ones bred from the
    parents selected.

    One sampler serves one study.

    Args:
        names: of the genes, as the study records them.
        grid: of the same number of genes.
        selection: chooses the parents by the trials' two values.
        population: parents, and trials of a generation.
        first: what to begin with; the lower and the upper bound by default, so that the front has its ends.

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
        first: Sequence[Array] | None = None,
    ) -> None:
        if len(set(names)) != len(names) or len(names) != grid.low.size:
            raise PlanError(f"{len(names)} names (some equal?) for {grid.low.size} decisions")
        if population < 2:
            raise PlanError(f"a population of {population} cannot have children", hint="2 or more; 16 is a beginning")
        super().__init__(population_size=population)
        self._names, self._grid, self._selection = tuple(names), grid, selection
        self._seed = seed
        self._first = [grid.low, grid.high] if first is None else list(first)
        self._points: dict[int, Array] = {}  # by trial: what optuna keeps of them is slow to read
        self._bred: dict[int, list[Array]] = {}

    def space(self) -> dict[str, BaseDistribution]:
        """The genes as optuna knows them."""
        bounds = zip(self._names, self._grid.low, self._grid.high, strict=True)
        return {name: FloatDistribution(float(low), float(high)) for name, low, high in bounds}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space()

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        earlier = [other for other in study.get_trials(deepcopy=False) if other.number < trial.number]
        return self.params(self.draw(study, earlier, self.get_trial_generation(study, trial)))

    def draw(self, study: optuna.Study, trials: Sequence[FrozenTrial], generation: int) -> Array:
        """Return the next point after ``trials``, of shape (genes,); of those that failed nothing is known."""
        mine = [trial for trial in trials if trial.state != TrialState.FAIL and self._has_genes(trial)]
        random = np.random.default_rng([self._seed, len(mine)])
        known = {self.genes(trial).tobytes() for trial in mine}
        parents = self._parents(study, generation)
        point = self._first_point(len(mine), known, random) if len(parents) < 2 else None
        if point is None:
            point = self._child(parents, known, random) if len(parents) >= 2 else self._grid.sample(random)
        return point

    def generation_after(self, trials: Sequence[FrozenTrial]) -> int:
        """Return the generation of a trial that begins after ``trials``."""
        key = self._get_generation_key()
        done = [trial.system_attrs.get(key, -1) for trial in trials if trial.state == TrialState.COMPLETE]
        newest = max(done, default=0)
        size = self.population_size
        assert size is not None
        return newest + (done.count(newest) >= size)

    def left_in(self, trials: Sequence[FrozenTrial], generation: int) -> int:
        """Return how many trials the generation still has room for, those that run counted."""
        size = self.population_size
        assert size is not None
        key = self._get_generation_key()
        return size - sum(
            trial.state in (TrialState.COMPLETE, TrialState.RUNNING) and trial.system_attrs.get(key) == generation
            for trial in trials
        )

    def marks(self, generation: int) -> dict[str, Any]:
        """Return the system attributes of a trial of ``generation``."""
        return {self._get_generation_key(): generation}

    def params(self, point: Array) -> dict[str, float]:
        """Return a point as optuna records it."""
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

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The complete trials of a generation as they are now: optuna's own would keep what it once read."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial for trial in complete if trial.system_attrs.get(self._get_generation_key()) == generation]

    def genes(self, trial: FrozenTrial | optuna.Trial) -> Array:
        """Return the point of a trial, of shape (genes,)."""
        found = self._points.get(trial._trial_id)
        if found is None:
            found = self._points[trial._trial_id] = np.array([trial.params[name] for name in self._names])
        return found

    def _has_genes(self, trial: FrozenTrial) -> bool:
        return trial._trial_id in self._points or set(self._names) <= set(trial.params)

    def _parents(self, study: optuna.Study, generation: int) -> list[Array]:
        """The parents of a generation in the order of their numbers, whoever selected them."""
        if generation not in self._bred:
            found = sorted(self.get_parent_population(study, generation), key=lambda trial: trial.number)
            self._bred = {generation: [self.genes(parent) for parent in found]}
        return self._bred[generation]

    def _first_point(self, number: int, known: set[bytes], random: np.random.Generator) -> Array | None:
        """One of the first points, or a new random one; None where repeated draws find none."""
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
