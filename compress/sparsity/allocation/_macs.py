"""Where zeros save most for what they cost: the knapsack's greedy order, score for each multiply-accumulate."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from compress.sparsity.allocation._base import Allocation, Numbers, Ranked


class MacsAware(Allocation):
    """The lowest score for each multiply-accumulate saved goes first. Scores below zero (removal helps) go the sooner
    the more they save.
    """

    name: ClassVar[str] = "macs"

    def keys(self, layer: Ranked) -> Numbers:
        macs = max(layer.macs, 1.0)
        return np.where(layer.scores < 0, layer.scores * macs, layer.scores / macs)
