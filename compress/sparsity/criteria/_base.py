"""What a criterion is: a score for each unit of each weight, from the weights or from gradients seen in passing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch

Tensors = Mapping[str, torch.Tensor]
Sums = Mapping[str, Callable[[torch.Tensor], torch.Tensor]]
Choose = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


class Criterion(ABC):
    """Scores units; the lowest go. ``needs_data`` says that it must :meth:`observe` gradients first.

    One-shot masking shows it some batches on a copy of the network (:mod:`.looking`), whose weights then take plain
    gradient steps of ``step_size``; a gradual schedule shows it every step of the training.
    """

    name: ClassVar[str]
    needs_data: ClassVar[bool] = False
    step_size: ClassVar[float] = 0.0

    def begin(self, weights: Tensors, sums: Sums, choose: Choose) -> None:
        """Start anew.

        Args:
            weights: by name.
            sums: for each weight, what turns values of its shape into sums over its units.
            choose: what would be kept (bool, of the weights' shapes) by scores of units.
        """
        self._sums, self._choose = sums, choose

    def present(self, weights: Tensors) -> Tensors:
        """Return the weights that a look at the data is to be taken with; by default as they are."""
        return weights

    def observe(self, weights: Tensors, gradients: Tensors) -> None:
        """Take in the gradient of one batch's mean loss by each weight."""
        raise NotImplementedError(f"criterion {self.name} needs no data")

    @abstractmethod
    def scores(self, weights: Tensors) -> dict[str, torch.Tensor]:
        """Return the score of every unit, by weight."""

    def state(self) -> dict[str, Any]:
        """What :meth:`observe` gathered: tensors and numbers."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; nothing to do where there is none."""
        if state:
            raise ValueError(f"criterion {self.name} gathers nothing")


class GatheringCriterion(Criterion):
    """Adds up a number for each unit over the batches seen; the scores are the means."""

    needs_data: ClassVar[bool] = True

    def begin(self, weights: Tensors, sums: Sums, choose: Choose) -> None:
        super().begin(weights, sums, choose)
        self._totals = {name: sums[name](torch.zeros_like(weight)) for name, weight in weights.items()}
        self._seen = 0

    @abstractmethod
    def of_units(self, products: torch.Tensor) -> torch.Tensor:
        """Return what is added up, from the sums of weight times gradient over each unit."""

    def observe(self, weights: Tensors, gradients: Tensors) -> None:
        self._seen += 1
        for name, gradient in gradients.items():
            found = self.of_units(self._sums[name](weights[name] * gradient))
            self._totals[name] = self._totals[name].to(found.device) + found

    def scores(self, weights: Tensors) -> dict[str, torch.Tensor]:
        return {name: total / max(self._seen, 1) for name, total in self._totals.items()}

    def state(self) -> dict[str, Any]:
        return {"totals": {name: total.cpu() for name, total in self._totals.items()}, "seen": self._seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, total in state["totals"].items():
            self._totals[name] = total.clone()
        self._seen = int(state["seen"])
