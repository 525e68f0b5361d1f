"""A latency table fitted to measurements that lie anywhere, with the doubt that is left at every point of it.

The table's values are unknowns with a prior: a cost that is linear in each of the widths and the density (what a kernel
would take that does its work at a constant rate), plus a smooth deviation from it. Each measurement is trilinear in
them, so that their distribution given all measurements has a closed form (Gaussian process regression on the table's
crossings; Rasmussen and Williams 2006, section 2.2). Where the doubt is largest is where to measure next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import nnls

from compress.errors import InputError
from compress.latency.table import AXES, Array, LatencyTable, places_of

NOISE = 0.03
"""Of a measurement, relative to it, where it does not tell its own."""
DEVIATION = 0.25
"""Of a table's value from the linear cost, relative to it."""
_REACH = 0.5  # of a deviation, in shares of an axis
_ROUNDS = 4  # of weighing anew


@dataclass(frozen=True)
class Measured:
    """Milliseconds of a layer of so many channels, at a density of its weights; ``noise`` is relative to them."""

    output_channels: float
    input_channels: float
    density: float
    milliseconds: float
    noise: float = NOISE

    @property
    def at(self) -> tuple[float, float, float]:
        """Where it lies in a table."""
        return self.output_channels, self.input_channels, self.density


class FittedTable:
    """A table over ``axes`` that knows its doubt.

    Args:
        axes: output channels, input channels and densities, strictly ascending.
        measured: at least one measurement; all within the axes.

    Attributes:
        times: milliseconds measured, of shape (measurements,).
        left_out: by how much each of them differs, relative to it, from what the others tell (leave one out; Rasmussen
            and Williams 2006, equation 5.12, with the linear cost held).

    Raises:
        InputError: no measurements, some outside the axes, or times that are not above 0.
    """

    def __init__(self, axes: tuple[Array, Array, Array], measured: Sequence[Measured]) -> None:
        if not measured:
            raise InputError("a latency table cannot be fitted to no measurements", hint="calibrate first")
        times = np.array([one.milliseconds for one in measured])
        if not np.isfinite(times).all() or (times <= 0).any():
            raise InputError("a latency was measured as none, or not as a number", hint="calibrate again")
        self.axes = axes
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        points = np.array([one.at for one in measured], dtype=float)
        weights = self._weights(points)
        linear = _linear(points, times, self._full)
        mean = np.maximum(linear @ self._features(nodes).T, 1e-6 * times.mean())
        prior = DEVIATION**2 * np.outer(mean, mean) * self._kinship(nodes)
        noise = np.diag((np.array([one.noise for one in measured]) * (weights @ mean)) ** 2)
        spread = prior @ weights.T
        factor = cho_factor(weights @ spread + noise + 1e-12 * np.eye(len(times)) * times.mean() ** 2)
        unexplained = cho_solve(factor, times - weights @ mean)
        self._values = np.maximum(mean + spread @ unexplained, 0.0)
        self.times = times
        self.left_out = unexplained / np.diag(cho_solve(factor, np.eye(len(times)))) / times
        self._covariance = prior - spread @ cho_solve(factor, spread.T)

    @property
    def table(self) -> LatencyTable:
        """The expected times."""
        shape = tuple(axis.size for axis in self.axes)
        return LatencyTable(self.axes, self._values.reshape(shape))

    def doubt(self, output_channels: float, input_channels: float, density: float) -> float:
        """Return the standard deviation of the time at a point, relative to the time; inside the axes only."""
        point = np.array([[output_channels, input_channels, density]])
        return float(self.deviations(point)[0]) / max(float(self.table.many(point)[0]), 1e-12)

    def deviations(self, points: Array) -> Array:
        """Return the standard deviation of the time in milliseconds at each of ``points``, of shape (n, 3)."""
        weights = self._weights(points)
        return np.sqrt(np.maximum(((weights @ self._covariance) * weights).sum(axis=1), 0.0))

    @property
    def _full(self) -> Array:
        return np.array([axis[-1] for axis in self.axes])

    def _features(self, points: Array) -> Array:
        return _products(points / self._full)

    def _kinship(self, nodes: Array) -> Array:
        apart = (nodes[:, None, :] - nodes[None, :, :]) / self._full / _REACH
        return np.asarray(np.exp(-0.5 * (apart**2).sum(axis=2)))

    def _weights(self, points: Array) -> Array:
        """How much each of the table's values counts at each point: trilinear; of shape (n, values)."""
        parts = []
        rows = np.arange(len(points))
        for name, axis, column in zip(AXES, self.axes, points.T, strict=True):
            low, share = places_of(name, axis, column)
            part = np.zeros((len(points), axis.size))
            part[rows, low] = 1 - share
            part[rows, np.minimum(low + 1, axis.size - 1)] += share
            parts.append(part)
        return np.einsum("ni,nj,nk->nijk", *parts).reshape(len(points), -1)


def _linear(points: Array, times: Array, full: Array) -> Array:
    """Coefficients, none negative, of the cost that is linear in each axis, by least squares of relative errors.

    Errors are relative to the cost, not to what was measured: else what was measured short would count for more.
    """
    products = _products(points / full)
    cost = np.full(len(times), times.mean())
    for _ in range(_ROUNDS):
        coefficients, _ = nnls(products / cost[:, None], times / cost)
        cost = np.maximum(products @ coefficients, 1e-3 * times.mean())
    return np.asarray(coefficients)


def _products(shares: Array) -> Array:
    """All products of different axes, with 1: what spans the functions that are linear in each."""
    output, inputs, density = shares.T
    return np.column_stack(
        [
            np.ones(len(shares)),
            output,
            inputs,
            density,
            output * inputs,
            output * density,
            inputs * density,
            output * inputs * density,
        ]
    )
