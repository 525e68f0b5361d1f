"""A population's recipes as the trials of a study: known beforehand, judged by any number of workers in any order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from compress.errors import PlanError
from compress.search.clock import Clock
from compress.search.drawing import Drawer
from compress.search.sorting import Array
from compress.search.spaces.space import Space, Widths
from compress.search.study import Study
from compress.training.stopping import Interrupted, StopRequest

Progress = Callable[[float, str], None]


class RecipeSampler(Drawer):
    """Gives a study ``rows``, of shape (recipes, groups), one after the other: what is lost is given again.

    Args:
        space: names the groups and bounds their widths.
    """

    def __init__(self, space: Space, rows: Widths) -> None:
        self._names = tuple(group.name for group in space.analysis.prunable)
        self._bounds = [(int(rungs[0]), int(rungs[-1])) for rungs in space.rungs]
        self._rows = rows

    def space(self) -> dict[str, BaseDistribution]:
        """The widths as optuna knows them."""
        return {name: IntDistribution(low, high) for name, (low, high) in zip(self._names, self._bounds, strict=True)}

    def draw(self, study: optuna.Study, trials: Sequence[FrozenTrial], generation: int) -> Array:
        """Return the first recipe that no trial has, of shape (groups,)."""
        taken = {self.genes(trial).tobytes() for trial in trials if trial.state != TrialState.FAIL}
        left = (row.astype(float) for row in self._rows)
        found = next((row for row in left if row.tobytes() not in taken), None)
        if found is None:
            raise PlanError("every recipe of this population has been judged")
        return found

    def generation_after(self, trials: Sequence[FrozenTrial]) -> int:
        """A population is one generation."""
        return 0

    def left_in(self, trials: Sequence[FrozenTrial], generation: int) -> int:
        """Room is not what ends a population."""
        return sys.maxsize

    def marks(self, generation: int) -> dict[str, Any]:
        """Nothing has to be marked."""
        return {}

    def params(self, point: Array) -> dict[str, int]:
        """Return a recipe as optuna records it."""
        return dict(zip(self._names, (int(width) for width in point), strict=True))

    def genes(self, trial: FrozenTrial | optuna.Trial) -> Array:
        """Return the recipe of a trial, of shape (groups,)."""
        return np.array([float(trial.params[name]) for name in self._names])

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.space()

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        earlier = [other for other in study.get_trials(deepcopy=False) if other.number < trial.number]
        return self.params(self.draw(study, earlier, 0))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise PlanError(f"the study asks for {param_name!r}, which is no width of this space")


def judge(
    study: Study,
    rows: Widths,
    error: Callable[[Widths], float],
    clock: Clock,
    *,
    describe: Callable[[Widths], Mapping[str, Any]],
    progress: Progress = lambda share, text: None,
) -> Array:
    """Judge a population until every recipe has its error, whoever found it.

    Args:
        study: opened with a :class:`RecipeSampler` of the same rows, which differ.
        error: of one recipe.
        describe: what a trial says of itself.

    Returns:
        Errors in the order of ``rows``.

    Raises:
        Interrupted: Ctrl-C or SIGTERM, after the recipe in hand.
        StudyError: the storage could not be reached for too long.
    """
    with StopRequest() as stop:
        while tickets := study.ask(len(rows), 1, lambda point: describe(point.astype(np.int64))):
            with study.at_work(tickets):
                for ticket in tickets:
                    with clock.of("evaluate"):
                        found = error(ticket.genes.astype(np.int64))
                    study.tell(ticket, (found,))
                    progress(min((ticket.number + 1) / len(rows), 1.0), f"recipe {ticket.number}: error {found:.3f}")
                    if stop.wanted:
                        raise Interrupted("stopped after a recipe", hint="--resume goes on from there")
    known = {study.genes(trial).tobytes(): trial.values[0] for trial in study.complete()}
    return np.array([known[row.astype(float).tobytes()] for row in rows])
