"""One kind of layer: what was measured of it, the blocks of channels that explain it best, and the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.latency.fitting import FittedTable, Measured
from compress.latency.record import KindRecord, Sample
from compress.latency.table import Array, effective

Figures = NDArray[np.float64]

BLOCKS = (1, 4, 8, 16, 32)
"""Of channels, that runtimes are known to compute at once."""
_NODES = 6  # of an axis
_BETTER = 0.95  # of the error without blocks: less is no reason to believe in them
_MOST = 400  # samples that a table is fitted to


@dataclass
class Kind:
    """Samples of one kind of layer, and the table once it is fitted."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    block: tuple[int, int] = (1, 1)
    table: FittedTable | None = None

    def fit(self, block: int) -> None:
        """Fit the table, widths counted as whole blocks."""
        self.block = (block, block)
        self.table = fitted(self.samples, self.block)

    @property
    def fitted(self) -> FittedTable:
        """The table. It must have been fitted."""
        assert self.table is not None, "fit first"
        return self.table

    def predicted(self, points: Figures) -> tuple[Figures, Figures]:
        """Return milliseconds and their standard deviations for ``points`` of shape (n, 3).

        Raises:
            InputError: outside what was measured.
        """
        at = effective(points, self.block)
        return self.fitted.table.many(at), self.fitted.deviations(at)

    def record(self) -> KindRecord:
        """Return what is written down."""
        table = self.fitted.table
        return KindRecord(
            block=self.block,
            axes=tuple(_short(axis) for axis in table.axes),  # type: ignore[arg-type]
            milliseconds=_short(table.milliseconds.reshape(-1)),
            samples=[tuple(_short(sample)) for sample in self.samples],  # type: ignore[misc]
        )


def family(name: str) -> str:
    """What kinds of layers share their blocks of channels: convolutions, depthwise ones, products."""
    words = name.split(" on ")[0].split()
    return " ".join(word for word in words if word.isalpha() and word not in ("stride", "dilation"))


def best_block(kinds: Sequence[Kind]) -> int:
    """Return the block of channels with which what is left out is predicted best; 1 where none is clearly better."""
    errors = {block: sum(_surprise(kind.samples, (block, block)) for kind in kinds) ** 0.5 for block in BLOCKS}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < _BETTER * errors[1] else 1


def fitted(samples: Sequence[Sample], block: tuple[int, int]) -> FittedTable:
    """Return a table from the least to the most that was measured."""
    rows = np.array(samples, np.float64)
    if len(rows) > _MOST:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST).round().astype(int)]
    points = effective(rows[:, :3], block)
    every = effective(np.array(samples, np.float64)[:, :3], block)
    sizes = (*block, 0)
    axes = tuple(_axis(column, size) for column, size in zip(every.T, sizes, strict=True))
    measured = [Measured(*values) for values in np.column_stack([points, rows[:, 3:]]).tolist()]
    return FittedTable(axes, measured)  # type: ignore[arg-type]


def _axis(values: Array, block: int) -> Array:
    """At most so many places from the least to the most, none closer to each other than a block."""
    low, high = float(values.min()), float(values.max())
    if high == low:
        return np.array([low])
    most = _NODES if block <= 1 else min(_NODES, round((high - low) / block) + 1)
    return np.linspace(low, high, max(most, 2))


def _surprise(samples: Sequence[Sample], block: tuple[int, int]) -> float:
    """The squared errors of each sample by all others, in proportion to what they take."""
    table = fitted(samples, block)
    return float((table.left_out**2 * table.times).sum())


def _short(values: Iterable[Any]) -> list[float]:
    """Six digits are more than any measurement has."""
    return [float(f"{value:.6g}") for value in values]
