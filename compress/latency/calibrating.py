"""From measurements of a network's choices to tables of its kinds of layers, and to what should be measured next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compress.axes.analysis import Analysis
from compress.errors import InputError
from compress.latency.fitting import NOISE
from compress.latency.kinds import Kind, best_block, family
from compress.latency.layers import Layers
from compress.latency.measurement import Measurement, choices_of
from compress.latency.record import KindRecord
from compress.latency.space import Choices

Figures = NDArray[np.float64]

_RESOLUTION = 1e-3
"""Milliseconds that an operator's time is uncertain by, however long it takes."""
_ALIKE = 0.15
"""Root mean square distance of two choices, in shares of every axis, below which one of them is enough."""


class Calibration:
    """What was measured of one network, sorted by kinds of layers, with a table for each.

    Args:
        analysis: of the dense network.
        sparse: whether weights have zeros.
        known: tables of kinds that were measured in other networks; their samples count, too.

    Attributes:
        names: of the layers, as reports call them; ``with_density``: of those that have one, by their weight's name.

    Raises:
        InputError: the network has no layer.
    """

    def __init__(self, analysis: Analysis, *, sparse: bool, known: Mapping[str, KindRecord] | None = None) -> None:
        self._layers = Layers(analysis, sparse=sparse)
        named = {layer.weight: layer.name for layer in self._layers.layers}
        self.names = tuple(named.values())
        self.with_density = {weight: named[weight] for weight in self._layers.with_density}
        self._known = dict(known or {})
        self._kinds: dict[str, Kind] = {}
        if not named:
            raise InputError("the network has no convolution or linear layer whose time could be told")

    def points(self, choices: Choices) -> Figures:
        """Return output channels, input channels and density of every layer, of shape (n, layers, 3)."""
        return self._layers.points(choices.widths, choices.densities)

    def fit(self, measurements: Sequence[Measurement]) -> None:
        """Fit a table to every kind of layer; those of a family share the blocks that explain their times best.

        Raises:
            InputError: nothing was measured, or a layer was not seen at all.
        """
        self._kinds = self._sorted([one for one in measurements if one.shares])
        unseen = [layer.name for layer in self._layers.layers if layer.kind not in self._kinds]
        if unseen:
            raise InputError(f"the runtime tells no time of layer {unseen[0]} ({len(unseen)} such layers)")
        for name in dict.fromkeys(map(family, self._kinds)):
            members = [kind for kind in self._kinds.values() if family(kind.name) == name]
            block = best_block(members)
            for kind in members:
                kind.fit(block)

    def predicted(self, choices: Choices) -> Figures:
        """Return the sum over the layers, in milliseconds, of each choice, of shape (n,)."""
        return np.asarray(self._each(choices)[0].sum(axis=1), np.float64)

    def next(self, pool: Choices, count: int) -> list[int]:
        """Return the positions in ``pool`` of the choices to measure next: those whose latency is least sure in
        proportion to it; of choices that are much alike, one.
        """
        points = self.points(pool)
        reach = points.max(axis=0) - points.min(axis=0)
        flat = (points / np.where(reach > 0, reach, 1.0)).reshape(len(pool), -1)
        took, doubt = self._each(pool)
        score = np.sqrt((doubt**2).sum(axis=1)) / took.sum(axis=1)
        chosen: list[int] = []
        while len(chosen) < min(count, len(pool)):
            best = int(np.argmax(score))
            chosen.append(best)
            apart = ((flat - flat[best]) ** 2).mean(axis=1)
            score = score * (1 - np.exp(-apart / _ALIKE**2))
            score[chosen] = -1.0
        return chosen

    def records(self) -> dict[str, KindRecord]:
        """Return the tables to be written down."""
        return {name: kind.record() for name, kind in self._kinds.items()}

    def _sorted(self, measurements: Sequence[Measurement]) -> dict[str, Kind]:
        """The samples of each kind, those of other networks included."""
        points = self.points(choices_of(measurements))
        sharing = Counter(layer.name for layer in self._layers.layers)
        kinds: dict[str, Kind] = {}
        for row, one in enumerate(measurements):
            for at, layer in enumerate(self._layers.layers):
                took = one.milliseconds * one.shares.get(layer.name, 0.0) / sharing[layer.name]
                if took > 0:
                    made, read, density = points[row, at].tolist()
                    noise = float(np.hypot(max(one.noise, NOISE), _RESOLUTION / took))
                    kinds.setdefault(layer.kind, Kind(layer.kind)).samples.append((made, read, density, took, noise))
        for name, kind in kinds.items():
            if name in self._known:
                kind.samples += self._known[name].samples
        return kinds

    def _each(self, choices: Choices) -> tuple[Figures, Figures]:
        """Milliseconds of every layer, and the standard deviations of them, of shape (n, layers)."""
        points = self.points(choices)
        took, doubt = np.zeros(points.shape[:2]), np.zeros(points.shape[:2])
        for name, kind in self._kinds.items():
            at = [index for index, layer in enumerate(self._layers.layers) if layer.kind == name]
            found = kind.predicted(points[:, at].reshape(-1, 3))
            took[:, at], doubt[:, at] = (one.reshape(len(points), len(at)) for one in found)
        return took, doubt
