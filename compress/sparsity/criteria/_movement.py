"""Movement: weights that training pulls towards zero go (Sanh et al. 2020, Movement Pruning, section 4: the score is
the sum of ``-w * dL/dw`` over the steps).
"""

from __future__ import annotations

from typing import ClassVar

import torch

from compress.sparsity.criteria._base import GatheringCriterion


class Movement(GatheringCriterion):
    """``-sum w * g`` over the unit, added up while the weights move. Needs data, and is made for the gradual schedule
    of a finetuning on other data: a trained network at rest hardly moves.
    """

    name: ClassVar[str] = "movement"
    step_size: ClassVar[float] = 0.01

    def of_units(self, products: torch.Tensor) -> torch.Tensor:
        return -products
