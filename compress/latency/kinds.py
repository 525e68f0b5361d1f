"""One kind of layer: what was measured of it, the blocks of channels that explain it best, and the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.latency.fitting import FittedTable, Measured
from compress.latency.record import KindRecord, Sample, TableRecord
from compress.latency.table import Array, effective, in_regimes, is_narrow

Figures = NDArray[np.float64]

BLOCKS = (1, 4, 8, 16, 32)
"""Of channels, that runtimes are known to compute at once."""
_NODES = 6  # of an axis
_BETTER = 0.95  # of the error without blocks: less is no reason to believe in them
_FEWEST = 5  # samples of a table of its own for few channels
_APART = 0.7  # of the error in one table: less is no reason for two
_MOST = 200  # samples that a table is fitted to


@dataclass
class Kind:
    """Samples of one kind of layer, and the table once it is fitted; ``below`` is one of its own for layers that read
    fewer channels than a block, which some runtimes compute in another way.
    """

    name: str
    samples: list[Sample] = field(default_factory=list)
    block: tuple[int, int] = (1, 1)
    table: FittedTable | None = None
    below: FittedTable | None = None

    def fit(self, block: int) -> float:
        """Fit the table, widths counted as whole blocks.

        Returns:
            the squared errors of each sample as all others tell it, in proportion to what they take.
        """
        self.block = (block, block)
        rows = np.array(self.samples, np.float64)
        self.table, self.below = fitted(rows, self.block), None
        narrow = is_narrow(rows, self.block)
        if min(narrow.sum(), (~narrow).sum()) < _FEWEST:
            return _surprise(self.table)
        low, high = _reach(rows)
        middle = np.array([high[0], block, high[2]]), np.array([low[0], block, low[2]])
        below = fitted(rows[narrow], (block, 1), (low, middle[0]))
        above = fitted(rows[~narrow], self.block, (middle[1], high))
        apart, together = _surprise(below) + _surprise(above), _surprise(self.table)
        if apart >= _APART * together:
            return together
        self.table, self.below = above, below
        return apart

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
        above, below = self.fitted, self.below
        took = in_regimes(points, self.block, above.table.many, None if below is None else below.table.many)
        doubt = in_regimes(points, self.block, above.deviations, None if below is None else below.deviations)
        return took, doubt

    def record(self) -> KindRecord:
        """Return what is written down."""
        return KindRecord(
            block=self.block,
            **_written(self.fitted),
            below=None if self.below is None else TableRecord(**_written(self.below)),
            samples=[tuple(_short(sample)) for sample in self.samples],  # type: ignore[misc]
        )


def family(name: str) -> str:
    """What kinds of layers share their blocks of channels: convolutions, depthwise ones, products."""
    words = name.split(" on ")[0].split()
    return " ".join(word for word in words if word.isalpha() and word not in ("stride", "dilation"))


def best_block(kinds: Sequence[Kind]) -> int:
    """Return the block of channels with which what is left out is predicted best; 1 where none is clearly better. The
    kinds are left fitted with some block.
    """
    errors = {block: sum(kind.fit(block) for kind in kinds) ** 0.5 for block in BLOCKS}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < _BETTER * errors[1] else 1


def fitted(rows: Figures, block: tuple[int, int], reach: tuple[Figures, Figures] | None = None) -> FittedTable:
    """Return a table over ``reach``: from the least to the most that was measured where none is given.

    Args:
        rows: samples, of shape (n, 5).
        block: widths count as whole ones.
        reach: lowest and highest output channels, input channels and density.
    """
    ends = effective(np.stack(reach or _reach(rows)), block)
    sizes = (*block, 0)
    axes = tuple(_axis(low, high, size) for low, high, size in zip(*ends.tolist(), sizes, strict=True))
    chosen = rows if len(rows) <= _MOST else rows[np.linspace(0, len(rows) - 1, _MOST).round().astype(int)]
    points = effective(chosen[:, :3], block)
    measured = [Measured(*values) for values in np.column_stack([points, chosen[:, 3:]]).tolist()]
    return FittedTable(axes, measured)  # type: ignore[arg-type]


def _reach(rows: Figures) -> tuple[Figures, Figures]:
    return rows[:, :3].min(axis=0), rows[:, :3].max(axis=0)


def _axis(low: float, high: float, block: int) -> Array:
    """At most so many places from the least to the most, none closer to each other than a block."""
    if high == low:
        return np.array([low])
    most = _NODES if block <= 1 else min(_NODES, round((high - low) / block) + 1)
    return np.linspace(low, high, max(most, 2))


def _surprise(table: FittedTable) -> float:
    return float((table.left_out**2 * table.times).sum())


def _written(table: FittedTable) -> dict[str, Any]:
    axes = tuple(_short(axis) for axis in table.table.axes)
    return {"axes": axes, "milliseconds": _short(table.table.milliseconds.reshape(-1))}


def _short(values: Iterable[Any]) -> list[float]:
    """Six digits are more than any measurement has."""
    return [float(f"{value:.6g}") for value in values]
