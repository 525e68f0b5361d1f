"""Erdos-Renyi-kernel: large layers lose more (Evci et al. 2020, Rigging the Lottery, section 3)."""

from __future__ import annotations

import math
from typing import ClassVar

from compress.sparsity.allocation._base import Allocation, Numbers, Ranked


class ErdosRenyiKernel(Allocation):
    """The density of a layer is ``e * (outputs + inputs + kernel sizes) / (outputs * inputs * kernel sizes)``, at most
    1, with one ``e`` for all: a unit goes when ``e`` falls to where its place in the layer leaves it out.
    """

    name: ClassVar[str] = "erk"

    def keys(self, layer: Ranked) -> Numbers:
        density = sum(layer.shape) / math.prod(layer.shape)
        keys: Numbers = (layer.before - 1.0) / density
        return keys
