"""What a search minimises beside the loss: predicted milliseconds, or multiply-accumulates with zeros not counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from compress.errors import PlanError
from compress.search.encoding import Candidate, Encoding
from compress.search.sorting import Array

LATENCY, MACS = "latency", "macs"


class Predictor(Protocol):
    """A latency model bound to a network, as :mod:`compress.latency.model` makes it.

    ``groups`` names the columns of ``widths`` and ``layers`` (by weight) those of ``densities``.
    """

    @property
    def groups(self) -> tuple[str, ...]: ...

    @property
    def layers(self) -> tuple[str, ...]: ...

    @property
    def dense(self) -> float: ...

    def milliseconds(self, widths: Array, densities: Array | None = None) -> Array:
        """Return milliseconds of shape (n,) for atoms kept of shape (n, groups) and densities of (n, layers)."""
        ...


class Cost(Protocol):
    """A figure that can be worked out of any candidate without running it; ``dense`` is the whole network's."""

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def dense(self) -> float: ...

    def of(self, candidates: Sequence[Candidate]) -> Array:
        """Return the costs, of shape (candidates,), in :attr:`unit`."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return what tells this cost from another, as JSON types."""
        ...


class LatencyCost:
    """Milliseconds that ``predictor`` expects.

    Args:
        encoding: of the candidates; :func:`without_density` names what the predictor cannot tell.
        settings: what tells the predictor from another: device, runtime, threads ...

    Raises:
        PlanError: the predictor is of another network.
    """

    name, unit = LATENCY, "ms"

    def __init__(self, encoding: Encoding, predictor: Predictor, settings: dict[str, Any]) -> None:
        present = {group.name: group.width for group in encoding.analysis.prunable}
        missing = sorted(set(predictor.groups) ^ set(present))
        if missing:
            raise PlanError(f"the latency model and the network disagree about the width {missing[0]!r}")
        self._predictor, self._settings, self._full = predictor, settings, present

    @property
    def dense(self) -> float:
        return float(self._predictor.dense)

    def of(self, candidates: Sequence[Candidate]) -> Array:
        groups, layers = self._predictor.groups, self._predictor.layers
        widths = np.array([[one.widths.get(name, self._full[name]) for name in groups] for one in candidates])
        densities = np.array([[one.densities.get(name, 1.0) for name in layers] for one in candidates])
        whole = widths.reshape(len(candidates), -1).astype(int)
        return np.asarray(self._predictor.milliseconds(whole, densities if layers else None), float)

    def settings(self) -> dict[str, Any]:
        return {"cost": self.name, **self._settings}


def without_density(encoding: Encoding, predictor: Predictor) -> list[str]:
    """Return the weights that have a density in the encoding and none in the predictor: zeros there save nothing."""
    known = set(predictor.layers)
    return [gene.weight for gene in encoding.densities if gene.weight not in known]


class MacsCost:
    """Multiply-accumulates at batch 1 by the rule of :mod:`compress.counting`, zeros counted as removed.

    This is no measure of time: zeros make nothing faster by themselves.
    """

    name, unit = MACS, "MACs"

    def __init__(self, encoding: Encoding) -> None:
        self._sizes = encoding.analysis.sizes
        self._groups = [(group.name, group.width) for group in encoding.analysis.prunable]
        self._layers = {gene.layer: gene.weight for gene in encoding.densities}
        self.dense = float(self.of([Candidate({}, {})])[0])

    def of(self, candidates: Sequence[Candidate]) -> Array:
        widths = np.array([[one.widths.get(name, width) for name, width in self._groups] for one in candidates])
        names, figures = self._sizes.by_layer("macs", widths.reshape(len(candidates), -1))
        shares = [[one.densities.get(self._layers.get(name, ""), 1.0) for name in names] for one in candidates]
        return np.asarray((figures * np.array(shares)).sum(axis=1))

    def settings(self) -> dict[str, Any]:
        return {"cost": self.name, "counted": "zeros as removed, batch 1"}
