"""Magnitude: small weights contribute little (Han et al. 2015, Learning both Weights and Connections)."""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.sparsity.criteria._base import Criterion, Tensors


class Magnitude(Criterion):
    """Squared weights, added up over a unit: what the weight matrix loses in its Frobenius norm."""

    name: ClassVar[str] = "magnitude"

    def scores(self, weights: Tensors) -> dict[str, torch.Tensor]:
        return {name: self._sums[name](weight.square()) for name, weight in weights.items()}
