"""One threshold for all layers (Han et al. 2015; Ghosh et al. 2022, Pruning Compact ConvNets, call it global)."""

from __future__ import annotations

from typing import ClassVar

from compress.sparsity.allocation._base import Allocation, Numbers, Ranked


class Global(Allocation):
    """The lowest scores of all go, wherever they are."""

    name: ClassVar[str] = "global"

    def keys(self, layer: Ranked) -> Numbers:
        return layer.scores
