"""What allocation needs to know of the network: the cost of any choice of widths, and what makes it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Part:
    """A share of a cost, and the width that it is due to: a group by position, or what cannot shrink and why."""

    layer: str
    group: int | None
    reason: str
    share: float


class Costs(Protocol):
    """Costs as functions of the groups' widths; :class:`compress.sizes.SizeModel` is one."""

    full: NDArray[np.int64]

    def relative(self, measure: str, widths: NDArray[Any]) -> NDArray[np.float64]:
        """The cost of each row of ``widths`` (choices, groups) over that of the uncut network."""

    def crowding(self, measure: str, widths: NDArray[Any], share: float) -> NDArray[np.float64]:
        """By how much each row exceeds ``share`` where the cost does not show it (moments below a peak); 0 for sums."""

    def parts(self, measure: str, widths: NDArray[Any]) -> list[Part]:
        """What the cost of one choice is due to; shares of the uncut network's cost that sum to the relative cost."""
