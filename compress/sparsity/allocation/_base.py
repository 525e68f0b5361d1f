"""What an allocation is: an order in which units of all layers go, of which a target takes a prefix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """A layer whose units stand in ascending order of their scores.

    Attributes:
        shape: of the weight: outputs, inputs (of a group), kernel sizes.
        scores: the mean score of each unit's elements.
        before: the share of the layer's elements that lie before the middle of each unit.
        macs: multiply-accumulates that one element stands for.
    """

    shape: tuple[int, ...]
    scores: Numbers
    before: Numbers
    macs: float


class Allocation(ABC):
    """Decides how the zeros are shared out between layers."""

    name: ClassVar[str]

    @abstractmethod
    def keys(self, layer: Ranked) -> Numbers:
        """Return an ascending number for each unit: of all layers' units, those with the lowest go first.

        Taking a prefix meets any target to one unit, whatever it counts; the keys decide from which layers.
        """
