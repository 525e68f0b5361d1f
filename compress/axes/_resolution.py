"""Resolving: ties and products between labels are closed to classes, and classes are told apart into atoms and
products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.int64]
Mask = NDArray[np.bool_]
Marked = tuple[Sequence[tuple[Array, int]], list[str]]
_NONE = np.zeros(0, np.int64)
_NEVER = np.iinfo(np.int64).max
_TWO_WAYS = "reshaped in two ways that do not fit together"
_ALONE = "one channel: nothing to remove"
_WHOLE = "part of an index that can never be removed"


@dataclass
class Products:
    """Labels that stand for a pair: ``whole`` goes when ``row`` or ``column`` goes. ``grid`` is the shape they form."""

    _parts: list[tuple[Array, Array, Array, int]] = field(default_factory=list)
    grids: list[tuple[int, int]] = field(default_factory=list)

    def add(self, whole: Array, row: Array, column: Array, grid: tuple[int, int]) -> None:
        """Record one merge."""
        self._parts.append((whole, row, column, len(self.grids)))
        self.grids.append(grid)

    def table(self) -> tuple[Array, Array, Array, Array]:
        """Whole, row, column and number of the grid, for every pair."""
        none = np.zeros(0, np.int64)
        whole, row, column = (np.concatenate([none, *(part[at] for part in self._parts)]) for at in range(3))
        grid = np.concatenate([none, *(np.full(part[0].size, part[3]) for part in self._parts)])
        return whole, row, column, grid


@dataclass(frozen=True)
class Atoms:
    """Classes of labels. A class is an atom, or a product of atoms, or frozen.

    ``atom[label]`` numbers the classes; ``reason_index`` says for each why it is frozen (-1: it is not), ``statistics``
    likewise why removing it is more than masking. ``part_of`` and ``part`` list the atoms that each product is made of.
    ``ties`` are the pairs of labels that were tied, of shape (2, ties).
    """

    atom: Array
    frozen: Mask
    reason_index: Array
    reasons: tuple[str, ...]
    statistics_index: Array
    statistics_reasons: tuple[str, ...]
    part_of: Array
    part: Array
    ties: Array

    def of(self, labels: Array) -> Array:
        """The class of each index."""
        return self.atom[labels]

    def reason(self, atom: int) -> str | None:
        """Why ``atom`` cannot be removed, or None where it can."""
        index = self.reason_index[atom]
        return self.reasons[index] if index >= 0 else None

    def statistic(self, atom: int) -> str | None:
        """Which statistic runs over ``atom``, or None."""
        index = self.statistics_index[atom]
        return self.statistics_reasons[index] if index >= 0 else None

    def closed(self, kept: Mask) -> Mask:
        """Extend a mask over atoms to products: one of these stays only if all its parts stay."""
        result = kept.copy()
        result[self.part_of[~kept[self.part]]] = False
        return result

    def partners(self, atom: Array, label: Array) -> Array:
        """For each (atom, label): the other atoms of the product that the label is, as one number; 0 where it is
        none.
        """
        if not self.part_of.size:
            return np.zeros(atom.size, np.int64)
        found = self._sums[self.of(label)]
        return np.where(found > 0, found - atom - 1, 0)

    def expanded(self, classes: Array) -> tuple[Array, Array]:
        """The atoms behind ``classes``: (position in ``classes``, atom), a product once for each of its parts."""
        if not self.part_of.size:
            return np.arange(classes.size), classes
        first, count = self._behind
        position, offset = _repeated(count[classes])
        return position, self._behind_atoms[first[classes][position] + offset]

    def met(self, labels: Array, *alike: Array) -> tuple[Array, Array, list[Array]]:
        """As :meth:`expanded` of the labels' classes, and the number of each pair of a label and an atom behind it:
        equal for equal pairs, below :attr:`pairs`. ``alike`` are labels of the same classes, numbered as well.
        """
        classes = self.of(labels)
        if not self.part_of.size:
            return np.arange(classes.size), classes, [labels, *alike]
        first, count = self._behind[0][classes], self._behind[1][classes]
        position = np.repeat(np.arange(classes.size), count)
        row, begin = np.arange(position.size), np.cumsum(count) - count
        numbers = [row + np.repeat(self._first_pair[one] - begin, count) for one in (labels, *alike)]
        return position, self._behind_atoms[row + np.repeat(first - begin, count)], numbers

    @property
    def pairs(self) -> int:
        """How many pairs of a label and an atom behind it there are."""
        return int(self._first_pair[-1]) if self.part_of.size else self.atom.size

    @cached_property
    def _first_pair(self) -> Array:
        return np.concatenate([_NONE, [0], np.cumsum(self._behind[1][self.atom])])

    @cached_property
    def _behind(self) -> tuple[Array, Array]:
        """For each class where its atoms begin in :attr:`_behind_atoms`, and how many there are."""
        count = np.maximum(np.bincount(self.part_of, minlength=self.reason_index.size), 1)
        return np.cumsum(count) - count, count

    @cached_property
    def _behind_atoms(self) -> Array:
        first, count = self._behind
        atoms = np.repeat(np.arange(count.size), count)
        order = np.argsort(self.part_of, kind="stable")
        whole = self.part_of[order]
        atoms[first[whole] + np.arange(whole.size) - np.searchsorted(whole, whole)] = self.part[order]
        return atoms

    @cached_property
    def _sums(self) -> Array:
        total = np.zeros(self.reason_index.size, np.int64)
        np.add.at(total, self.part_of, self.part + 1)
        return total


def _repeated(count: Array) -> tuple[Array, Array]:
    """Each position as often as ``count`` says, and the number of each repetition."""
    position = np.repeat(np.arange(count.size), count)
    return position, np.arange(position.size) - np.repeat(np.cumsum(count) - count, count)


def _distinct(left: Array, right: Array, count: int) -> tuple[Array, Array]:
    """Distinct pairs of numbers below ``count``, sorted."""
    keys = np.sort(left * count + right)
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return keys // count, keys % count


def resolve(count: int, ties: tuple[Array, Array], products: Products, frozen: Marked, statistics: Marked) -> Atoms:
    """Close the ties transitively, and let products agree with what they are tied to.

    A frozen index freezes all that it is tied to, with the first reason given. A product with a frozen factor is tied
    to the other one; a frozen product freezes its factors; two products of one index tie their factors pairwise where
    they come from grids of one shape, and else give up the smaller factor of each.
    """
    solver = _Solver(count, ties, products, frozen)
    while solver.step():
        pass
    atom, reason = solver.classes()
    flags = _First(statistics[0], count)
    flags.merge(atom, reason.size)
    flagged = flags.reasons()
    part_of, part = solver.parts(atom)
    marked = flagged[part_of] >= 0
    flagged[part[marked]] = flagged[part_of[marked]]
    return Atoms(
        atom, reason >= 0, reason, tuple(solver.reasons), flagged, tuple(statistics[1]), part_of, part, solver.ties()
    )


class _First:
    """For each label, later for each class, the first mark that was given to it."""

    def __init__(self, marks: Sequence[tuple[Array, int]], count: int) -> None:
        self._reasons = [reason for _, reason in marks]
        self._first = np.full(count, _NEVER)
        for number in reversed(range(len(marks))):  # of several assignments the last one stands: the earliest mark
            self._first[marks[number][0]] = number

    def add(self, at: Array, reason: int) -> None:
        """Mark what was not marked before."""
        self._first[at] = np.minimum(self._first[at], len(self._reasons))
        self._reasons.append(reason)

    def merge(self, into: Array, count: int) -> None:
        """Go over to ``count`` classes of what was marked so far; ``into`` says which."""
        marked = np.flatnonzero(self._first != _NEVER)
        merged = np.full(count, _NEVER)
        np.minimum.at(merged, into[marked], self._first[marked])
        self._first = merged

    def reasons(self) -> Array:
        """The reason of each first mark, -1 where there is none."""
        found = np.full(self._first.size, -1, np.int64)
        marked = self._first != _NEVER
        found[marked] = np.array(self._reasons, np.int64)[self._first[marked]]
        return found


class _Solver:
    """The ties between labels are closed once; what follows from the products then merges classes."""

    def __init__(self, count: int, ties: tuple[Array, Array], products: Products, frozen: Marked) -> None:
        self._atom, self._classes = np.arange(count), count
        self._left, self._right = [ties[0]], [ties[1]]
        self._closed = 0  # this many of the lists of ties are in the classes
        self._grids = products.grids
        self._whole, self._row, self._column, self._grid = products.table()
        self.reasons = [*frozen[1], _ALONE, _TWO_WAYS, _WHOLE]
        self._marks = _First([*frozen[0], (np.zeros(1, np.int64), len(frozen[1]))], count)
        self._active = np.ones(self._whole.size, bool)

    def classes(self) -> tuple[Array, Array]:
        """The class of each label, and for each class the reason why it is frozen or -1."""
        left, right = (np.concatenate([_NONE, *side[self._closed :]]) for side in (self._left, self._right))
        self._closed = len(self._left)
        if left.size:
            pairs = (np.ones(left.size, np.int8), (self._atom[left], self._atom[right]))
            self._classes, merged = connected_components(
                coo_array(pairs, shape=(self._classes, self._classes)), directed=False
            )
            self._atom = merged.astype(np.int64)[self._atom]
            self._marks.merge(merged, self._classes)
        return self._atom, self._marks.reasons()

    def ties(self) -> Array:
        """All pairs of labels that are tied."""
        return np.stack([np.concatenate(self._left), np.concatenate(self._right)])

    def step(self) -> bool:
        """Draw what follows from the products once; say whether anything did."""
        if not self._active.any():
            return False
        atom, reason = self.classes()
        frozen = reason >= 0
        whole, row, column = (atom[part] for part in (self._whole, self._row, self._column))
        if self._settle(frozen[whole], frozen[row], frozen[column], reason[whole]):
            return True
        circular = self._active & ((whole == row) | (whole == column))
        if circular.any():
            self._freeze(self._whole[circular], self.reasons.index(_TWO_WAYS))
            return True
        return self._agree(whole, row, column)

    def _settle(self, whole: Mask, row: Mask, column: Mask, reason: Array) -> bool:
        """Products of which a part or the whole is frozen become ties."""
        done = self._active & (whole | row | column)
        if not done.any():
            return False
        for at in np.unique(reason[done & whole]):
            stuck = done & whole & (reason == at)
            self._freeze(np.concatenate([self._row[stuck], self._column[stuck]]), int(at))
        self._tie(self._whole[done & ~whole & row], self._column[done & ~whole & row])
        self._tie(self._whole[done & ~whole & ~row], self._row[done & ~whole & ~row])
        self._active &= ~done
        return True

    def _agree(self, whole: Array, row: Array, column: Array) -> bool:
        """Let several products of one class name the same factors."""
        at = np.flatnonzero(self._active)
        order = at[np.lexsort((self._grid[at], whole[at]))]
        before, after = order[:-1], order[1:]
        clash = (whole[before] == whole[after]) & ((row[before] != row[after]) | (column[before] != column[after]))
        if not clash.any():
            return False
        before, after = before[clash], after[clash]
        shapes = np.array(self._grids, np.int64).reshape(-1, 2)
        same = (shapes[self._grid[before]] == shapes[self._grid[after]]).all(axis=1)
        self._tie(self._row[before[same]], self._row[after[same]])
        self._tie(self._column[before[same]], self._column[after[same]])
        for grid in np.unique(self._grid[np.concatenate([before[~same], after[~same]])]):
            mine = self._grid == grid
            smaller = self._row if shapes[grid][0] <= shapes[grid][1] else self._column
            self._freeze(smaller[mine], self.reasons.index(_TWO_WAYS))
        return True

    def parts(self, atom: Array) -> tuple[Array, Array]:
        """Pairs (product, atom) of the products that remain, nested ones opened."""
        whole, row, column = (atom[part[self._active]] for part in (self._whole, self._row, self._column))
        outer, part = _distinct(np.concatenate([whole, whole]), np.concatenate([row, column]), self._classes)
        first, behind = np.searchsorted(outer, part), np.searchsorted(outer, part, side="right")
        while (nested := first < behind).any():
            place, offset = _repeated((behind - first)[nested])
            opened = part[first[nested][place] + offset]
            outer, part = _distinct(
                np.concatenate([outer[~nested], outer[nested][place]]),
                np.concatenate([part[~nested], opened]),
                self._classes,
            )
            first, behind = np.searchsorted(outer, part), np.searchsorted(outer, part, side="right")
        return outer, part

    def _tie(self, left: Array, right: Array) -> None:
        self._left.append(left)
        self._right.append(right)

    def _freeze(self, labels: Array, reason: int) -> None:
        self._marks.add(self._atom[labels], reason)
