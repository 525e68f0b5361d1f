"""Learned scores: the scores themselves are trained through the mask that they make, the weights stay (Ramanujan et al.
2020, What's Hidden in a Randomly Weighted Neural Network, eq. 4; started from the magnitudes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from compress.sparsity.criteria._base import Choose, Criterion, Sums, Tensors


class LearnedScores(Criterion):
    """Gradient descent on the scores, straight through the choice: a score falls by ``w * dL/d(w * mask)``. Needs data.

    Scores start as squared weights over their mean in the layer; a step moves them by :attr:`rate` of their own scale,
    measured on the mean absolute product.
    """

    name: ClassVar[str] = "learned"
    needs_data: ClassVar[bool] = True
    rate: ClassVar[float] = 0.05

    def begin(self, weights: Tensors, sums: Sums, choose: Choose) -> None:
        super().begin(weights, sums, choose)
        self._scores = {name: sums[name](weight.square()) for name, weight in weights.items()}
        self._scale = {name: score.mean().clamp_min(1e-30) for name, score in self._scores.items()}

    def present(self, weights: Tensors) -> Tensors:
        kept = self._choose(self._scores)
        return {name: weight * kept[name].to(weight.device) for name, weight in weights.items()}

    def observe(self, weights: Tensors, gradients: Tensors) -> None:
        for name, gradient in gradients.items():
            products = self._sums[name](weights[name] * gradient)
            usual = products.abs().mean()
            if usual > 0:
                before, scale = self._scores[name].to(products.device), self._scale[name].to(products.device)
                self._scores[name] = before - self.rate * scale * products / usual

    def scores(self, weights: Tensors) -> dict[str, torch.Tensor]:
        return self._scores

    def state(self) -> dict[str, Any]:
        return {"scores": {name: score.cpu() for name, score in self._scores.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, score in state["scores"].items():
            self._scores[name] = score.clone()
