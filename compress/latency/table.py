"""A table of one layer's latency over output channels, input channels and weight density, interpolated between.

Source: Zhao et al. 2021 (JCW): latency is the sum over layers of a measured table, by trilinear interpolation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from compress.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

AXES = ("output channels", "input channels", "density")
_SLACK = 1e-9


class LatencyTable:
    """Milliseconds at the crossings of three axes.

    Args:
        axes: three strictly ascending sequences: output channels, input channels, density. One of length 1 is a layer
            that was measured at that value alone.
        milliseconds: of shape (output channels, input channels, densities), finite and not negative.

    Raises:
        InputError: an axis or the shape of the values is wrong.
    """

    def __init__(self, axes: tuple[Array, Array, Array], milliseconds: Array) -> None:
        self.axes = tuple(np.asarray(axis, dtype=float) for axis in axes)
        self.milliseconds = np.asarray(milliseconds, dtype=float)
        for name, axis in zip(AXES, self.axes, strict=True):
            if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
                raise InputError(f"the {name} of a latency table do not ascend: {axis.tolist()}")
        wanted = tuple(axis.size for axis in self.axes)
        if self.milliseconds.shape != wanted:
            raise InputError(f"a latency table of shape {self.milliseconds.shape} has axes of lengths {wanted}")
        if not np.isfinite(self.milliseconds).all() or (self.milliseconds < 0).any():
            raise InputError("a latency table holds times that are negative or not finite")

    def __call__(self, output_channels: float, input_channels: float, density: float) -> float:
        """Return milliseconds, exact at the measured points and for any function linear in each of the three.

        Raises:
            InputError: outside what was measured, on any axis.
        """
        values = self.milliseconds
        for name, axis, at in zip(AXES, self.axes, (output_channels, input_channels, density), strict=True):
            low, share = place(name, axis, at)
            values = values[low] if share == 0 else (1 - share) * values[low] + share * values[low + 1]
        return float(values)

    def many(self, points: Array) -> Array:
        """Return milliseconds for each row of ``points``, of shape (n, 3); as calling it, but all at once.

        Raises:
            InputError: as calling it; the first axis and point outside are named.
        """
        places = [
            places_of(name, axis, points[:, at]) for at, (name, axis) in enumerate(zip(AXES, self.axes, strict=True))
        ]
        found = np.zeros(len(points))
        for corner in itertools.product((0, 1), repeat=len(AXES)):
            weight = np.ones(len(points))
            index = []
            for (low, share), axis, side in zip(places, self.axes, corner, strict=True):
                weight = weight * (share if side else 1 - share)
                index.append(np.minimum(low + side, axis.size - 1))
            found += weight * self.milliseconds[tuple(index)]
        return found


def effective(points: Array, block: tuple[int, int]) -> Array:
    """Return ``points`` of shape (n, 3) with the channels rounded up to whole blocks."""
    sizes = np.array([*block, 1.0])
    return np.where(sizes > 1, np.ceil(np.round(points / sizes, 9)) * sizes, points)


def is_narrow(points: Array, block: tuple[int, int]) -> Array:
    """Which of ``points``, of shape (n, 3 or more), read fewer channels than a block."""
    return np.asarray(points[:, 1] < block[1])


def in_regimes(
    points: Array,
    block: tuple[int, int],
    above: Callable[[Array], Array],
    below: Callable[[Array], Array] | None,
) -> Array:
    """Return ``above`` of ``points``, of shape (n, 3), in whole blocks; of those that are narrow, where there is a
    ``below``, that, their input channels as they are.
    """
    if below is None:
        return above(effective(points, block))
    narrow = is_narrow(points, block)
    found = np.empty(len(points))
    found[~narrow] = above(effective(points[~narrow], block))
    found[narrow] = below(effective(points[narrow], (block[0], 1)))
    return found


def places_of(name: str, axis: Array, at: Array) -> tuple[Array, Array]:
    """Return what :func:`place` does for each of ``at``, of shape (n,)."""
    slack = _SLACK * max(1.0, abs(float(axis[-1])))
    outside = ~((at >= axis[0] - slack) & (at <= axis[-1] + slack))
    if outside.any():
        place(name, axis, float(at[np.flatnonzero(outside)[0]]))
    at = np.clip(at, axis[0], axis[-1])
    if axis.size == 1:
        return np.zeros(len(at), np.int64), np.zeros(len(at))
    low = np.minimum(np.searchsorted(axis, at, side="right") - 1, axis.size - 2)
    return low, (at - axis[low]) / (axis[low + 1] - axis[low])


def place(name: str, axis: Array, at: float) -> tuple[int, float]:
    """Return the index of the measured value at or below ``at``, and the share of the way to the next (0 to 1).

    Raises:
        InputError: outside what was measured.
    """
    slack = _SLACK * max(1.0, abs(float(axis[-1])))
    if not axis[0] - slack <= at <= axis[-1] + slack:
        raise InputError(
            f"{name} of {at:g} are outside what was measured ({axis[0]:g} to {axis[-1]:g})",
            hint="calibrate over a wider range; a latency is not guessed",
        )
    at = float(np.clip(at, axis[0], axis[-1]))
    low = min(int(np.searchsorted(axis, at, side="right")) - 1, axis.size - 2) if axis.size > 1 else 0
    return low, 0.0 if axis.size == 1 else float((at - axis[low]) / (axis[low + 1] - axis[low]))
