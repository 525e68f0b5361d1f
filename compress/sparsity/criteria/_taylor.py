"""First-order Taylor: how much the loss would change if the unit were zero (Molchanov et al. 2019, Importance
Estimation for Neural Network Pruning, eq. 8).
"""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.sparsity.criteria._base import GatheringCriterion


class Taylor(GatheringCriterion):
    """``|sum w * g|`` over the unit, ``g`` the gradient of a batch's loss; the mean over batches. Needs data."""

    name: ClassVar[str] = "taylor"

    def of_units(self, products: torch.Tensor) -> torch.Tensor:
        return products.abs()
