"""What a pattern is: which elements of a weight become zero together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch


class Pattern(ABC):
    """Cuts a weight into *units*, each of which is dropped or kept whole. Weights come as :meth:`.Layout.opened` gives
    them: (groups, outputs, inputs, positions).

    ``whole`` says that the pattern itself fixes how many zeros there are: it holds only when every unit that may be
    dropped is.
    """

    name: ClassVar[str]
    whole: ClassVar[bool] = False

    def unfit(self, inputs: int) -> str | None:
        """Why a layer with so many inputs (of a group) stays dense unless asked for. None by default: it does not."""
        del inputs
        return None

    @abstractmethod
    def sums(self, elements: torch.Tensor) -> torch.Tensor:
        """Return the sum over the elements of each unit; an incomplete unit sums over what there is of it."""

    @abstractmethod
    def spread(self, units: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        """Return a value for each element from values for each unit; ``elements`` gives the shape."""

    def untouchable(self, scores: torch.Tensor) -> torch.Tensor:
        """Which units (bool) may not be dropped, given their scores. None by default."""
        return torch.zeros_like(scores, dtype=torch.bool)

    def holds(self, kept: torch.Tensor) -> bool:
        """Whether ``kept`` (bool, a value for each element) has this pattern: units are whole."""
        return torch.equal(self.spread(self.sums(kept.int()) > 0, kept), kept)
