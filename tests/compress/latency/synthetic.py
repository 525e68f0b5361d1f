"""A runtime that takes exactly as long as a formula says, for whole networks, and models calibrated on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compress.axes.analysis import Analysis
from compress.latency.calibrating import Calibration
from compress.latency.measurement import Measurement, choices_of
from compress.latency.model import LatencyModel
from compress.latency.record import VERSION, HeldOut, Key, KindRecord, ModelRecord, Network
from compress.latency.space import Choices, Space
from compress.latency.table import Array

Cost = Callable[[Array], Array]
KEY = Key(device="a processor", runtime="onnxruntime-cpu", version="1.0", threads=1)
SPARSE_KEY = KEY.model_copy(update={"pattern": "4x1"})


def blocked(points: Array) -> Array:
    """Milliseconds of layers, points of shape (..., 3): blocks of 16 channels, a part that stays, a gain from zeros."""
    whole = np.ceil(points[..., :2] / 16)
    return np.asarray(0.01 + 0.004 * whole.sum(axis=-1) + 0.02 * whole.prod(axis=-1) * (0.4 + 0.6 * points[..., 2]))


def network(name: str = "net", error: float = 0.02) -> Network:
    return Network(
        name=name,
        fingerprint=name,
        milliseconds=1.0,
        drift=0.0,
        configurations=12,
        held_out=HeldOut(error=error, spearman=0.99, configurations=8),
    )


def record_of(kinds: dict[str, KindRecord], key: Key = KEY) -> ModelRecord:
    return ModelRecord(version=VERSION, key=key, step=4, kinds=kinds, networks=[network()])


def measured(
    calibration: Calibration, choices: Choices, cost: Cost, *, noise: float = 0.0, seed: int = 0
) -> list[Measurement]:
    """Run the formula: every layer's time, and end to end, with noise."""
    random = np.random.default_rng(seed)
    found = []
    for row, times in enumerate(cost(calibration.points(choices))):
        off = np.exp(noise * random.standard_normal(len(times) + 1))
        times = times * off[1:]
        shares: dict[str, float] = {}
        for name, time in zip(calibration.names, times.tolist(), strict=True):
            shares[name] = shares.get(name, 0.0) + time / times.sum()
        widths, densities = choices.key(row)
        found.append(
            Measurement(
                widths=widths,
                densities=densities,
                milliseconds=float(times.sum() * off[0]),
                noise=max(noise, 0.005),
                shares=shares,
            )
        )
    return found


def space_of(analysis: Analysis, *, sparse: bool = False, step: int = 4) -> Space:
    return Space(analysis, step=step, lowest_width=0.25, lowest_density=0.2, sparse=sparse)


def calibrated(analysis: Analysis, *, count: int = 40, sparse: bool = False, cost: Cost = blocked) -> LatencyModel:
    """A model of one network, from ``count`` choices of it."""
    space, calibration = space_of(analysis, sparse=sparse), Calibration(analysis, sparse=sparse)
    found = [
        *measured(calibration, space.corners(), cost),
        *measured(calibration, space.draw(count, seed=1), cost, noise=0.01),
    ]
    calibration.fit(found)
    return LatencyModel(record_of(calibration.records(), SPARSE_KEY if sparse else KEY))


def error_of(calibration: Calibration, choices: Choices, cost: Cost) -> Array:
    """Relative errors of predictions."""
    true = cost(calibration.points(choices)).sum(axis=1)
    return np.asarray(np.abs(calibration.predicted(choices) / true - 1))


__all__ = ["KEY", "SPARSE_KEY", "blocked", "calibrated", "choices_of", "error_of", "measured", "record_of", "space_of"]
