"""Networks that exist only as costs: chains of layers with random prices, for properties of allocation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.allocation import Part
from compress.axes.groups import Group, Member

Figures = NDArray[np.float64]


def chain_groups(widths: list[int]) -> list[Group]:
    """One group for each width, named after its place."""
    return [
        Group(
            f"layer{at}",
            "exact",
            None,
            (Member(f"layer{at}.weight", 0, np.arange(width)[:, None]),),
            np.arange(width) + sum(widths[:at]),
        )
        for at, width in enumerate(widths)
    ]


class Chain:
    """Layer ``i`` multiplies width ``i`` by width ``i + 1``; each measure has its own price per layer.

    ``memory`` is the largest sum of two neighbouring widths, each at its own price.
    """

    def __init__(self, widths: list[int], prices: dict[str, list[float]]) -> None:
        self.full = np.array(widths, np.int64)
        self._prices = {measure: np.array(found, np.float64) for measure, found in prices.items()}

    def _alive(self, widths: NDArray[Any]) -> Figures:
        sizes = np.atleast_2d(widths) * self._prices["memory"][: self.full.size]
        return np.asarray(sizes[:, :-1] + sizes[:, 1:], np.float64)

    def _cost(self, measure: str, widths: NDArray[Any]) -> Figures:
        rows = np.atleast_2d(widths).astype(np.float64)
        if measure == "memory":
            return np.asarray(self._alive(rows).max(axis=1), np.float64)
        if measure == "ratio":
            return np.asarray(rows.sum(axis=1), np.float64)
        ends = np.concatenate([np.full((len(rows), 1), 3.0), rows, np.full((len(rows), 1), 10.0)], axis=1)
        return np.asarray((ends[:, :-1] * ends[:, 1:]) @ self._prices[measure], np.float64)

    def relative(self, measure: str, widths: NDArray[Any]) -> Figures:
        return np.asarray(self._cost(measure, widths) / self._cost(measure, self.full), np.float64)

    def crowding(self, measure: str, widths: NDArray[Any], share: float) -> Figures:
        rows = np.atleast_2d(widths)
        if measure != "memory":
            return np.zeros(len(rows))
        return np.asarray(
            np.maximum(self._alive(rows) / self._cost("memory", self.full) - share, 0.0).mean(axis=1), np.float64
        )

    def parts(self, measure: str, widths: NDArray[Any]) -> list[Part]:
        share = float(self.relative(measure, widths)[0])
        return [Part(f"layer{at}", at, "", share / self.full.size) for at in range(self.full.size)]
