"""What a study asks of whoever draws its points."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from compress.search.sorting import Array


class Drawer(optuna.samplers.BaseSampler):
    """Draws the points of a study from what earlier trials tell, the same ones for the same trials."""

    @abstractmethod
    def space(self) -> dict[str, BaseDistribution]:
        """The decisions as optuna knows them."""

    @abstractmethod
    def draw(self, study: optuna.Study, trials: Sequence[FrozenTrial], generation: int) -> Array:
        """Return the next point after ``trials``, of shape (decisions,); of those that failed nothing is known."""

    @abstractmethod
    def generation_after(self, trials: Sequence[FrozenTrial]) -> int:
        """Return the generation of a trial that begins after ``trials``."""

    @abstractmethod
    def left_in(self, trials: Sequence[FrozenTrial], generation: int) -> int:
        """Return how many trials the generation still has room for, those that run counted."""

    @abstractmethod
    def marks(self, generation: int) -> dict[str, Any]:
        """Return the system attributes of a trial of ``generation``."""

    @abstractmethod
    def params(self, point: Array) -> Mapping[str, Any]:
        """Return a point as optuna records it."""

    @abstractmethod
    def genes(self, trial: FrozenTrial | optuna.Trial) -> Array:
        """Return the point of a trial, of shape (decisions,)."""
