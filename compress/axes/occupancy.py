"""Occupancy: which atoms lie at which index of which axis, and which of them occupy everything alike."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from compress.axes.labels import Array, Atoms

_NONE = np.zeros(0, np.int64)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
Columns = tuple[Array, ...]


class Occupancy:
    """One flat table of atom, axis and index, sorted in this order.

    Two atoms are exchangeable when their stretches of the table look alike: the same axes, the same *roles* (an atom of
    several labels meets them in the same order everywhere), the same ties between roles, and in products the same
    partners. A convolution group whose first channel was padded in and one whose last was are not: they hold equally
    many, in another order.
    """

    def __init__(self, atoms: Atoms, axes: Iterable[Array]) -> None:
        """Args:
        atoms: the resolved ties.
        axes: label arrays; the position in this list identifies the axis.
        """
        columns = list(axes)
        sizes = np.array([labels.size for labels in columns], np.int64)
        label = np.concatenate([_NONE, *columns])
        position, atom, (meeting,) = atoms.met(label)
        live = np.flatnonzero(~atoms.frozen[atom])
        order = live[_sorting(atom[live], atoms.frozen.size)]
        row = position[order]
        self.atom = atom[order]
        self.axis = np.repeat(np.arange(sizes.size), sizes)[row]
        self.index = row - (np.cumsum(sizes) - sizes)[self.axis]
        self._first = np.flatnonzero(np.diff(self.atom, prepend=-1))
        self._length = np.diff(self._first, append=self.atom.size)
        self._partners = atoms.partners(self.atom, label[row])
        self._label_roles(atoms, meeting[order])

    def _label_roles(self, atoms: Atoms, meeting: Array) -> None:
        """Number each atom's labels in the order in which its stretch meets them; collect the ties between them."""
        place = np.empty(atoms.pairs, np.int64)
        place[meeting[::-1]] = np.arange(meeting.size)[::-1]  # of several assignments the last stands: the first row
        new = place[meeting] == np.arange(meeting.size)
        count = np.cumsum(new) - 1
        number = np.full(atoms.pairs, -1, np.int64)
        number[meeting[new]] = (count - np.repeat(count[self._first], self._length))[new]
        self._role = number[meeting]
        self._ties = self._distinct_ties(atoms, number)

    def _distinct_ties(self, atoms: Atoms, number: Array) -> tuple[Array, Array, Array]:
        """Distinct (stretch, role, role) of all ties between labels of atoms in the table, sorted."""
        left, right = atoms.ties
        stretch = np.full(atoms.frozen.size, -1, np.int64)
        stretch[self.atom[self._first]] = np.arange(self._first.size)
        _, atom, (one, other) = atoms.met(left, right)
        here = stretch[atom]
        kept = np.flatnonzero(here >= 0)
        here, one, other = here[kept], number[one[kept]] + 1, number[other[kept]] + 1
        roles = np.zeros(self._first.size, np.int64)
        np.maximum.at(roles, here, np.maximum(one, other) + 1)
        base = np.cumsum(roles) - roles  # a number for every role of every stretch, so that a tie is one number
        assert roles.sum() < 1 << 31, "more roles than a tie of two can be numbered with"
        keys = np.sort(((base[here] + one) << 32) | (base[here] + other))
        keys = keys[np.diff(keys, prepend=-1) != 0]
        one, other = keys >> 32, keys & ((1 << 32) - 1)
        here = np.repeat(np.arange(roles.size), roles)[one]
        return here, one - base[here], other - base[here]

    def alike(self, stored: int) -> list[Array]:
        """Sets of exchangeable atoms that lie on one of the first ``stored`` axes, those met first in front.

        Each is an array of rows of the table, of shape (atoms, rows per atom).
        """
        chosen = np.flatnonzero(self.axis[self._first] < stored)
        ties = np.bincount(self._ties[0], minlength=self._first.size)
        first_tie = np.cumsum(ties) - ties
        tables = (
            ((self.axis, self._role, self._partners), self._first, self._length),
            (self._ties[1:], first_tie, ties),
        )
        digest = np.zeros(self._first.size, np.uint64)
        for columns, first, length in tables:
            digest = _mixed(digest ^ _digests(columns, first, length))
        order = chosen[np.argsort(digest[chosen], kind="stable")]
        sets = []
        for alike in np.split(order, np.flatnonzero(np.diff(digest[order])) + 1):
            sets += _equal(alike, tables)
        sets.sort(key=lambda same: int(same[0]))
        return [self._first[same][:, None] + np.arange(self._length[same[0]]) for same in sets if same.size]


Stretches = tuple[Columns, Array, Array]  # columns of a table; first row and number of rows of each stretch


def _equal(candidates: Array, tables: Iterable[Stretches]) -> list[Array]:
    """Split stretches of one digest into sets that are equal indeed: one set, but for a collision."""
    contents = [candidates]
    for table in tables:
        contents = [same for one in contents for same in _split(one, table)]
    return contents


def _split(candidates: Array, table: Stretches) -> list[Array]:
    columns, first, length = table
    sets = []
    while candidates.size:
        size = length[candidates[0]]
        like = length[candidates] == size
        rows = first[candidates[like]][:, None] + np.arange(size)
        same = np.ones(len(rows), bool)
        for column in columns:
            content = column[rows]
            same &= (content == content[0]).all(axis=1)
        like[like] = same
        sets.append(candidates[like])
        candidates = candidates[~like]
    return sets


def _digests(columns: Columns, first: Array, length: Array) -> NDArray[np.uint64]:
    """A number for each stretch, equal for equal content."""
    total = (np.arange(columns[0].size) - np.repeat(first, length)).astype(np.uint64)
    for column in columns:
        total *= _FACTOR  # odd: nothing is lost
        total += column.view(np.uint64)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_mixed(total), dtype=np.uint64)])
    return sums[first + length] - sums[first]


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits (the finaliser of splitmix64; Steele, Lea and Flood 2014, figure 17)."""
    value = value + _FACTOR
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value ^= value >> np.uint64(shift)
        value *= np.uint64(factor)
    value ^= value >> np.uint64(31)
    return value


def _sorting(keys: Array, count: int) -> Array:
    """What sorts ``keys`` (below ``count``) stably, by counting: linear where a general sort is not."""
    column = np.arange(keys.size)
    table = coo_array((np.ones(keys.size, np.int8), (keys, column)), shape=(count, max(keys.size, 1)))
    return table.tocsr().indices.astype(np.int64)
