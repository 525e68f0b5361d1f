"""The kept length of any axis as a function of the groups' widths: a sum of products of widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from compress.axes.groups import Group
from compress.axes.labels import Array, Atoms

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Lengths by row: shares of monomials, each a product of groups' widths."""

    shares: csr_array
    powers: Array

    def evaluated(self, choices: NDArray[Any]) -> Figures:
        """All lengths for each choice of widths, of shape (choices, rows + 1); the last column holds ones."""
        ones = np.ones((len(choices), 1))
        products = np.concatenate([choices, ones], axis=1)[:, self.powers].prod(axis=2)
        return np.concatenate([(self.shares @ products.T).T, ones], axis=1)


class Lengths:
    """A table with a row for each distinct length; axes that shrink alike share a row."""

    def __init__(self, atoms: Atoms, groups: Sequence[Group]) -> None:
        self._atoms = atoms
        self.owner = np.full(atoms.reason_index.size, len(groups), np.int64)  # the last number collects what stays
        for position, group in enumerate(groups):
            self.owner[group.atoms] = position
        self._width = np.array([group.width for group in groups] + [1], np.float64)
        self._monomials: dict[tuple[int, ...], int] = {}  # products of widths that lengths are made of
        self._rows: dict[tuple[tuple[int, float], ...], int] = {}
        self._seen: dict[int, int] = {}
        self._known: dict[bytes, int] = {}  # by the classes of an axis' indices
        self._kept_alive: list[Array] = []  # axes are told apart by identity

    def row(self, axis: Array) -> int:
        """The row that holds the axis' length."""
        if id(axis) not in self._seen:
            self._kept_alive.append(axis)
            classes = self._atoms.of(axis)
            content = classes.tobytes()
            if content not in self._known:
                self._known[content] = self._row(self._polynomial(classes))
            self._seen[id(axis)] = self._known[content]
        return self._seen[id(axis)]

    def row_of_group(self, position: int) -> int:
        """The row that holds the width of a group."""
        return self._row({self._monomials.setdefault((position,), len(self._monomials)): 1.0})

    def packed(self) -> Table:
        """The table as it is now, to be evaluated."""
        sizes = [len(length) for length in self._rows]
        columns = [column for length in self._rows for column, _ in length]
        shares = [share for length in self._rows for _, share in length]
        rows = np.repeat(np.arange(len(sizes)), sizes)
        shape = (len(sizes), len(self._monomials))
        return Table(csr_array((shares, (rows, columns)), shape=shape, dtype=np.float64), rectangle([*self._monomials]))

    def _row(self, length: dict[int, float]) -> int:
        return self._rows.setdefault(tuple(sorted(length.items())), len(self._rows))

    def _polynomial(self, classes: Array) -> dict[int, float]:
        """How many indices each kept atom of a group adds: an index of one group adds its width's share, one of a
        product the product of the shares.
        """
        position, atom = self._atoms.expanded(classes)
        owner = self.owner[atom]
        stays = self._width.size - 1
        length: dict[int, float] = {}
        if position.size == classes.size:
            for group, count in _tally(owner[:, None]):
                self._add(length, () if group == (stays,) else group, float(count))
            return length
        parts = np.bincount(position, minlength=classes.size)
        for depth in np.unique(parts).tolist():
            tuples = np.sort(owner[parts[position] == depth].reshape(-1, depth), axis=1)
            for groups, count in _tally(tuples):
                self._add(length, tuple(group for group in groups if group != stays), float(count))
        return length

    def _add(self, length: dict[int, float], groups: tuple[int, ...], count: float) -> None:
        column = self._monomials.setdefault(groups, len(self._monomials))
        length[column] = length.get(column, 0.0) + count / float(np.prod(self._width[list(groups)]))


def rectangle(rows: Sequence[Sequence[int]]) -> Array:
    """Rows of indices, filled up with -1: the last column of a table, which holds ones."""
    depth = max([1, *(len(row) for row in rows)])
    return np.array([[*row, *[-1] * (depth - len(row))] for row in rows], np.int64).reshape(-1, depth)


def _tally(rows: Array) -> list[tuple[tuple[int, ...], int]]:
    """How often each row occurs, in ascending order; neighbours are mostly equal."""
    change = np.ones(len(rows), bool)
    change[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    first = np.flatnonzero(change).tolist()
    counts: dict[tuple[int, ...], int] = {}
    for start, stop in pairwise([*first, len(rows)]):
        one = tuple(rows[start].tolist())
        counts[one] = counts.get(one, 0) + stop - start
    return sorted(counts.items())
