"""The same share of zeros in every layer."""

from __future__ import annotations

from typing import ClassVar

from compress.sparsity.allocation._base import Allocation, Numbers, Ranked


class Uniform(Allocation):
    """A unit goes when the common share reaches its place in its own layer."""

    name: ClassVar[str] = "uniform"

    def keys(self, layer: Ranked) -> Numbers:
        return layer.before
