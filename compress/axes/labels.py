"""Labels: one integer per index of every axis; ties and products between them, and why some can never be removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.axes._resolution import Atoms, Products, resolve

Array = NDArray[np.int64]
FIXED = 0  # the label of every index that is fixed from the start: batch, space, single elements

__all__ = ["FIXED", "Array", "Atoms", "Labels", "fixed"]


@cache
def fixed(size: int) -> Array:
    """``size`` fixed indices, in constant memory."""
    return np.broadcast_to(np.int64(FIXED), (size,))


@dataclass
class _Marks:
    """Labels marked for a reason, in the order of marking."""

    marked: list[tuple[Array, int]] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    _known: dict[int, Array] = field(default_factory=dict)

    def add(self, labels: Array, reason: str) -> None:
        if id(labels) in self._known:
            return  # of several reasons the first counts
        self._known[id(labels)] = labels
        live = labels[labels != FIXED]
        if live.size:
            self.marked.append((live, self.reasons.setdefault(reason, len(self.reasons))))


class Labels:
    """Collects labels and ties; memory and time grow with the number of indices that are mentioned.

    Both graphs of a network say nearly the same: what was said of the same arrays before is not noted again.
    """

    def __init__(self) -> None:
        self._count = 1
        self._left: list[Array] = []
        self._right: list[Array] = []
        self._frozen = _Marks()
        self._statistics = _Marks()
        self._products = Products()
        self._tied: dict[tuple[int, int], tuple[Array, Array]] = {}  # arrays are kept: their identity is the key
        self._made: dict[tuple[Any, ...], tuple[Sequence[Array], list[Array]]] = {}
        self._known: dict[int, Array] = {}
        self._equal: dict[bytes, Array] = {}

    def shared(self, axis: Array) -> Array:
        """The array met first of those that hold the same labels."""
        found = self._known.get(id(axis))
        if found is not axis:
            found = self._equal.setdefault(axis.tobytes(), axis) if axis.any() else fixed(axis.size)
            self._known[id(found)] = found
        return found

    def fresh(self, size: int) -> Array:
        """``size`` new labels, tied to nothing yet."""
        made = np.arange(self._count, self._count + size, dtype=np.int64)
        self._count += size
        return made

    def tie(self, left: Array, right: Array, reason: str) -> None:
        """Let indices at equal positions go together. A partner that is fixed freezes the other, with ``reason``."""
        if left is right or (id(left), id(right)) in self._tied:
            return
        self._tied[id(left), id(right)] = left, right
        if left.shape != right.shape:
            raise AssertionError(f"axes of {left.size} and {right.size} indices cannot be tied")
        both = (left != FIXED) & (right != FIXED)
        if both.all():
            self._left.append(left)
            self._right.append(right)
        else:
            self._left.append(left[both])
            self._right.append(right[both])
            self.freeze(left[~both], reason)
            self.freeze(right[~both], reason)

    def freeze(self, labels: Array, reason: str) -> None:
        """Let none of these indices ever be removed."""
        self._frozen.add(labels, reason)

    def flag(self, labels: Array, reason: str) -> None:
        """Say that a statistic runs over these indices: they may go, but removal is then more than masking."""
        self._statistics.add(labels, reason)

    def product(self, factors: Sequence[Array]) -> Array:
        """The axis that merges ``factors`` row by row: an index goes when its index in any factor goes."""
        key = ("product", *map(id, factors))
        if key not in self._made:
            merged = factors[0]
            for factor in factors[1:]:
                merged = self._grid(merged, factor)
            self._made[key] = tuple(factors), [merged]
        return self._made[key][1][0]

    def _grid(self, rows: Array, columns: Array) -> Array:
        row, column = np.repeat(rows, columns.size), np.tile(columns, rows.size)
        both = (row != FIXED) & (column != FIXED)
        merged = np.where(row != FIXED, row, column)
        if both.any():
            merged[both] = self.fresh(int(both.sum()))
            self._products.add(merged[both], row[both], column[both], (rows.size, columns.size))
        return merged

    def factors(self, axis: Array, sizes: Sequence[int], reason: str) -> list[Array]:
        """Split ``axis`` into factors of ``sizes`` (row by row): the inverse of :meth:`product`."""
        if not axis.any():
            return [fixed(size) for size in sizes]
        key = ("factors", id(axis), *sizes)
        if key not in self._made:
            made = [self.fresh(size) if size > 1 else fixed(size) for size in sizes]
            self.tie(axis, self.product(made), reason)
            self._made[key] = (axis,), made
        return list(self._made[key][1])

    def resolve(self) -> Atoms:
        """Close ties and products; see :func:`compress.axes._resolution.resolve`."""
        return resolve(
            self._count,
            (np.concatenate([*self._left, _NONE]), np.concatenate([*self._right, _NONE])),
            self._products,
            (self._frozen.marked, list(self._frozen.reasons)),
            (self._statistics.marked, list(self._statistics.reasons)),
        )


_NONE = np.zeros(0, np.int64)
