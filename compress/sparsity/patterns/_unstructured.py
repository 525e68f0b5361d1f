"""Single weights (Han et al. 2015, Learning both Weights and Connections)."""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.sparsity.patterns._base import Pattern


class Unstructured(Pattern):
    """Every element is a unit."""

    name: ClassVar[str] = "unstructured"

    def sums(self, elements: torch.Tensor) -> torch.Tensor:
        return elements

    def spread(self, units: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        return units
