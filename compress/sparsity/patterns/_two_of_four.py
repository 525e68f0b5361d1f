"""Two non-zeros in every four along the input channel, as NVIDIA's sparse tensor cores take them (Mishra et al. 2021,
Accelerating Sparse Deep Neural Networks).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional as F

from compress.sparsity.patterns._base import Pattern

_FOUR, _TWO = 4, 2


class TwoOfFour(Pattern):
    """Every element is a unit, and the two best of each four input channels stay. Layers whose inputs are no multiple
    of four stay dense by themselves; where one is masked all the same, an incomplete last four keeps two, too.
    """

    name: ClassVar[str] = "2:4"
    whole: ClassVar[bool] = True

    def unfit(self, inputs: int) -> str | None:
        return None if inputs % _FOUR == 0 else f"{inputs} inputs are no multiple of four"

    def sums(self, elements: torch.Tensor) -> torch.Tensor:
        return elements

    def spread(self, units: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        return units

    def untouchable(self, scores: torch.Tensor) -> torch.Tensor:
        fours = self._fours(scores, float("-inf"))
        order = fours.argsort(dim=3, descending=True, stable=True)
        best = torch.zeros_like(fours, dtype=torch.bool).scatter_(3, order[:, :, :, :_TWO], True)  # noqa: FBT003
        return best.flatten(2, 3)[:, :, : scores.shape[2]]

    def holds(self, kept: torch.Tensor) -> bool:
        return bool((self._fours(kept.int(), 0).sum(dim=3) <= _TWO).all())

    @staticmethod
    def _fours(values: torch.Tensor, missing: float) -> torch.Tensor:
        """(groups, outputs, fours, 4, positions), filled up with ``missing``."""
        padded = F.pad(values, (0, 0, 0, -values.shape[2] % _FOUR), value=missing)
        return padded.unflatten(2, (-1, _FOUR))
