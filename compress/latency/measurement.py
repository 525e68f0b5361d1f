"""One choice of widths and densities of a network, measured as a whole and taken apart into layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from compress.latency.record import Positive, Record
from compress.latency.space import Choices


class Tried(Record):
    """A choice: atoms kept of each group, and the density of each layer that has one."""

    widths: tuple[int, ...]
    densities: tuple[float, ...] = ()

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """What tells it from others."""
        return self.widths, self.densities


class Measurement(Tried):
    """A choice and its latency.

    Attributes:
        milliseconds: end to end; ``noise`` of that, relative.
        shares: of the time, by the layer's name; empty where the choice is held out, and was not taken apart.
    """

    milliseconds: Positive
    noise: float = Field(ge=0)
    shares: dict[str, float] = Field(default_factory=dict)


class Failed(Tried):
    """A choice that could not be measured, and why."""

    reason: str


def choices_of(measurements: Sequence[Measurement]) -> Choices:
    """Return the choices that were measured."""
    rows = len(measurements)
    widths = np.array([one.widths for one in measurements], np.int64).reshape(rows, -1)
    return Choices(widths, np.array([one.densities for one in measurements], np.float64).reshape(rows, -1))
