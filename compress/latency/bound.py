"""What a latency model says of one network: milliseconds for any choice of widths and densities, at once for many."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.axes.analysis import Analysis
from compress.errors import InputError
from compress.latency.layers import Layers
from compress.latency.record import KindRecord, ModelRecord
from compress.latency.table import in_regimes

Figures = NDArray[np.float64]


class BoundLatency:
    """Made by :meth:`compress.latency.model.LatencyModel.bind`.

    Attributes:
        groups: names of the prunable groups, in the order of widths.
        layers: names of the weights that have a density, in the order of densities; none where dense weights were
            measured.
    """

    def __init__(self, analysis: Analysis, layers: Layers, record: ModelRecord) -> None:
        self._layers = layers
        self._full = np.array([group.width for group in analysis.prunable], np.int64)
        self.groups = tuple(group.name for group in analysis.prunable)
        self.layers = layers.with_density
        kinds: dict[str, list[int]] = {}
        for at, layer in enumerate(layers.layers):
            kinds.setdefault(layer.kind, []).append(at)
        self._kinds = [(_Lookup(record.kinds[kind]), np.array(at, np.int64)) for kind, at in kinds.items()]

    @cached_property
    def dense(self) -> float:
        """Predicted milliseconds of the whole network, all widths and weights kept."""
        return float(self.milliseconds(self._full)[0])

    def milliseconds(self, widths: NDArray[Any], densities: NDArray[Any] | None = None) -> Figures:
        """Return the predicted end to end latency of each choice, of shape (n,).

        Args:
            widths: atoms kept of each group, of shape (n, groups) or (groups,).
            densities: share of each layer's weights that is not zero, of shape (n, layers) or (layers,); None for
                dense weights.

        Raises:
            InputError: shapes that do not fit, or anything outside what was calibrated.
        """
        return np.asarray(self._each(widths, densities).sum(axis=1), np.float64)

    def parts(self, widths: NDArray[Any], densities: NDArray[Any] | None = None) -> list[tuple[str, float]]:
        """Return what the latency of one choice consists of: (layer, milliseconds), which sum to it. Operators without
        weights are in the times of the layers that read what they give.

        Raises:
            InputError: as :meth:`milliseconds`.
        """
        each = self._each(widths, densities)[0]
        return [(layer.name, float(took)) for layer, took in zip(self._layers.layers, each, strict=True)]

    def points(self, widths: NDArray[Any], densities: NDArray[Any] | None = None) -> Figures:
        """Return output channels, input channels and density of every layer, of shape (n, all layers, 3)."""
        chosen = self._checked(widths, len(self.groups), "widths of groups")
        if ((chosen < 1) | (chosen > self._full)).any():
            raise InputError("a group cannot keep fewer than one or more than all of its atoms")
        if densities is None:
            return self._layers.points(chosen)
        if not self.layers:
            raise InputError(
                "the latency model was calibrated for dense weights", hint="calibrate with --sparse for densities"
            )
        return self._layers.points(chosen, self._checked(densities, len(self.layers), "densities of layers"))

    def _each(self, widths: NDArray[Any], densities: NDArray[Any] | None) -> Figures:
        """Milliseconds of every layer, of shape (n, all layers)."""
        points = self.points(widths, densities)
        found = np.empty(points.shape[:2])
        for kind, at in self._kinds:
            try:
                found[:, at] = kind(points[:, at].reshape(-1, 3)).reshape(len(points), at.size)
            except InputError as error:
                name = self._layers.layers[int(at[0])].name
                others = f" or {at.size - 1} more of its kind" if at.size > 1 else ""
                raise InputError(error.what, where=f"layer {name}{others}", hint=error.hint) from error
        return found

    @staticmethod
    def _checked(given: NDArray[Any], columns: int, what: str) -> NDArray[Any]:
        rows = np.atleast_2d(np.asarray(given))
        if rows.ndim != 2 or rows.shape[1] != columns:
            raise InputError(f"{columns} {what} are needed, {rows.shape[-1]} were given")
        return rows


class _Lookup:
    """The tables of one kind of layer."""

    def __init__(self, record: KindRecord) -> None:
        self._block, self._above = record.block, record.table()
        self._below = None if record.below is None else record.below.table()

    def __call__(self, points: Figures) -> Figures:
        """Milliseconds of ``points``, of shape (n, 3)."""
        below = None if self._below is None else self._below.many
        return in_regimes(points, self._block, self._above.many, below)
