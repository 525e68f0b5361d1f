"""Latency as a measure: what a cost model of a runtime predicts, beside the costs that are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compress.allocation._costs import Costs, Part
from compress.allocation._target import LATENCY
from compress.axes.groups import Group

if TYPE_CHECKING:
    from compress.axes.analysis import Analysis

_UNDECIDED = "time that no width decides"


class BoundModel(Protocol):
    """A latency model of one network; :class:`compress.latency.BoundLatency` is one."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups whose widths it takes, in the order of ``analysis.prunable``."""

    @property
    def dense(self) -> float:
        """Predicted milliseconds of the whole network."""

    def milliseconds(self, widths: Any, densities: Any = None) -> NDArray[np.float64]:
        """Predicted milliseconds of each row of ``widths``, whole numbers of shape (choices, groups)."""

    def parts(self, widths: Any, densities: Any = None) -> Sequence[tuple[str, float]]:
        """What the milliseconds of one row are made up of: (layer or operator, milliseconds)."""


class CostModel(Protocol):
    """Predicts the latency of networks on one runtime; :class:`compress.latency.LatencyModel` is one."""

    @property
    def key(self) -> Any:
        """Under what it was measured; ``key.runtime`` is the runtime's name."""

    def bind(self, analysis: Analysis) -> BoundModel:
        """The model of one network. Raises :class:`CompressError` where it was not calibrated for its layers."""


class WithLatency:
    """Costs with the measure ``latency``; all others are those of ``counted``."""

    def __init__(self, counted: Costs, groups: Sequence[Group], bound: BoundModel) -> None:
        self._counted, self._bound = counted, bound
        self._owner = {layer: position for position, group in enumerate(groups) for layer in group.producers}
        self.full = counted.full

    def relative(self, measure: str, widths: NDArray[Any]) -> NDArray[np.float64]:
        """As :meth:`Costs.relative`; of latency what is predicted."""
        if measure != LATENCY:
            return self._counted.relative(measure, widths)
        rows = np.maximum(np.rint(np.atleast_2d(widths)).astype(np.int64), 1)
        return np.asarray(self._bound.milliseconds(rows), np.float64) / self._bound.dense

    def crowding(self, measure: str, widths: NDArray[Any], share: float) -> NDArray[np.float64]:
        """As :meth:`Costs.crowding`: latency is a sum."""
        if measure != LATENCY:
            return self._counted.crowding(measure, widths, share)
        return np.zeros(len(np.atleast_2d(widths)))

    def parts(self, measure: str, widths: NDArray[Any]) -> list[Part]:
        """As :meth:`Costs.parts`: each layer's time is due to the width that it produces."""
        if measure != LATENCY:
            return self._counted.parts(measure, widths)
        row = np.asarray(widths, np.int64).reshape(-1)
        return [
            Part(name, owner, "" if owner is not None else _UNDECIDED, spent / self._bound.dense)
            for name, spent in self._bound.parts(row, None)
            for owner in [self._owner.get(name.removesuffix(".weight"))]
        ]
