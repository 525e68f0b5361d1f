"""The choices of widths and densities of one network that are measured: at random, from all kept to the least kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.axes.analysis import Analysis
from compress.errors import InputError
from compress.latency.layers import layers_with_density

Figures = NDArray[np.float64]
Whole = NDArray[np.int64]

_SPREAD = 0.15
"""Of the keep ratios around a level that a whole choice shares: half the choices are drawn so, and reach both ends of
the latencies; of independent ratios the sum hardly varies."""


@dataclass(frozen=True)
class Choices:
    """Atoms kept, of shape (n, groups), and densities, of shape (n, layers with a density)."""

    widths: Whole
    densities: Figures

    def __len__(self) -> int:
        return len(self.widths)

    def __getitem__(self, rows: Any) -> Choices:
        return Choices(np.atleast_2d(self.widths[rows]), np.atleast_2d(self.densities[rows]))

    def key(self, row: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return one choice as what tells it from others."""
        return tuple(self.widths[row].tolist()), tuple(self.densities[row].tolist())


def joined(*parts: Choices) -> Choices:
    """Return all choices of ``parts``, in their order."""
    widths = np.concatenate([part.widths for part in parts])
    return Choices(widths, np.concatenate([part.densities for part in parts]))


class Space:
    """What may be chosen: whole multiples of ``step`` channels (or all of them) and any density, from the lowest on.

    Args:
        analysis: of the dense network.
        step: channels.
        lowest_width, lowest_density: shares that are kept at least.
        sparse: whether weights may have zeros.

    Raises:
        InputError: a share is not above 0 and at most 1.
    """

    def __init__(
        self, analysis: Analysis, *, step: int, lowest_width: float, lowest_density: float, sparse: bool
    ) -> None:
        for name, share in (("width", lowest_width), ("density", lowest_density)):
            if not 0 < share <= 1:
                raise InputError(f"a lowest {name} of {share:g} was asked for", hint="give a share above 0, at most 1")
        groups = analysis.prunable
        self.full = np.array([group.width for group in groups], np.int64)
        self._step = np.array([math.lcm(step, group.cell) // group.cell for group in groups], np.int64)
        self._low = self._allowed(np.ceil(self.full * lowest_width))
        self._layers = len(layers_with_density(analysis)) if sparse else 0
        self._lowest_width, self._lowest_density = lowest_width, lowest_density

    def corners(self) -> Choices:
        """Everything kept, and as little as is allowed of widths, of densities, and of both."""
        wide, narrow = self.full, self._low
        most, least = np.ones(self._layers), np.full(self._layers, self._lowest_density)
        pairs = [(wide, most), (narrow, most)]
        pairs += [(wide, least), (narrow, least)] if self._layers else []
        return Choices(np.array([widths for widths, _ in pairs]), np.array([densities for _, densities in pairs]))

    def draw(self, count: int, seed: int) -> Choices:
        """Return ``count`` choices drawn at random."""
        random = np.random.default_rng(seed)
        widths = self._allowed(_ratios(random, count, self.full.size, self._lowest_width) * self.full)
        return Choices(widths, np.round(_ratios(random, count, self._layers, self._lowest_density), 3))

    def _allowed(self, wanted: Figures) -> Whole:
        """The next whole multiple of the step from ``wanted`` on, at most everything."""
        steps = np.ceil(np.round(wanted / self._step, 9)).astype(np.int64) * self._step
        return np.asarray(np.minimum(np.maximum(steps, self._step), self.full), np.int64)


def _ratios(random: np.random.Generator, count: int, columns: int, lowest: float) -> Figures:
    level = random.uniform(lowest, 1, (count, 1))
    around = level + _SPREAD * random.standard_normal((count, columns))
    free = random.uniform(lowest, 1, (count, columns))
    return np.clip(np.where(random.random((count, 1)) < 0.5, around, free), lowest, 1)
