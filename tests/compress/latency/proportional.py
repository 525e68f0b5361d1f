"""A latency model that is made up: what allocation and the pipeline ask of one, without a calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.axes.analysis import Analysis


@dataclass
class Proportional:
    """Milliseconds are ``overhead`` and as much again as the share of the MACs to the power of ``curve``; ``block``
    rounds widths up first.
    """

    overhead: float = 0.1
    curve: float = 1.0
    block: int = 1
    runtime: str = "onnxruntime-cpu"
    key: Any = field(init=False)

    def __post_init__(self) -> None:
        self.key = SimpleNamespace(runtime=self.runtime, threads=1)

    def bind(self, analysis: Analysis) -> Bound:
        return Bound(self, analysis)


class Bound:
    """For one network."""

    def __init__(self, model: Proportional, analysis: Analysis) -> None:
        self._model, self._sizes = model, analysis.sizes
        self._full = analysis.sizes.full
        self.groups = tuple(group.name for group in analysis.prunable)
        self.dense = float(self.milliseconds(self._full[None])[0])

    def milliseconds(self, widths: Any, densities: Any = None) -> NDArray[np.float64]:
        assert densities is None
        rows = np.atleast_2d(widths)
        assert np.issubdtype(rows.dtype, np.integer)
        assert (rows >= 1).all()
        padded = np.minimum(-(-rows // self._model.block) * self._model.block, self._full)
        share = self._sizes.relative("macs", padded) ** self._model.curve
        return np.asarray(self._model.overhead + share, np.float64)

    def parts(self, widths: Any, densities: Any = None) -> list[tuple[str, float]]:
        (whole,) = self.milliseconds(widths)
        found = {part.layer: 0.0 for part in self._sizes.parts("macs", np.asarray(widths))}
        for part in self._sizes.parts("macs", np.asarray(widths)):
            found[part.layer] += part.share
        total = sum(found.values())
        own = {layer: (whole - self._model.overhead) * share / total for layer, share in found.items()}
        return [*own.items(), ("start of a run", self._model.overhead)]
