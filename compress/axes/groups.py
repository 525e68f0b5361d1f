"""Groups: sets of exchangeable atoms, the widths that can shrink. Found by what each atom occupies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from compress.axes.labels import Array, Atoms
from compress.axes.trace import Axes


@dataclass(frozen=True)
class Member:
    """Where a group's atoms lie in one dimension of one tensor. ``indices`` has shape (atoms, indices per atom)."""

    tensor: str
    dim: int
    indices: Array


@dataclass(frozen=True)
class Group:
    """Atoms that can replace each other.

    ``kind`` is ``exact`` (removal equals masking), ``statistics-changing`` (``reason`` names the statistic that runs
    over it) or ``frozen`` (``reason`` says why).

    ``width`` is the number of atoms, ``cell`` the number of channels that one atom takes in the layer that produces it.
    """

    name: str
    kind: str
    reason: str | None
    members: tuple[Member, ...]
    atoms: Array

    @property
    def width(self) -> int:
        """Number of atoms."""
        return int(self.atoms.size)

    @property
    def cell(self) -> int:
        """Neighbouring channels per atom in the producing layer: 1 for a width inside heads, the head's width for
        heads.
        """
        indices = self.members[0].indices
        steps = np.diff(indices, axis=1) == 1
        return int(np.argmin(np.c_[steps, np.zeros(len(steps), bool)], axis=1).min()) + 1

    @property
    def producers(self) -> tuple[str, ...]:
        """Layers whose output is (part of) this group, in graph order."""
        names = [member.tensor.rpartition(".")[0] or member.tensor for member in self.members if member.dim == 0]
        return tuple(dict.fromkeys(names))

    def frozen(self, reason: str) -> Group:
        """The same atoms, never to be removed for ``reason``."""
        return Group(self.name, "frozen", reason, self.members, self.atoms)


class Occupancy:
    """Which atoms lie at which index of which axis: one flat table, sorted by atom, axis and index.

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
        columns = list(enumerate(axes))
        none = np.zeros(0, np.int64)
        axis = np.concatenate([none, *(np.full(labels.size, position) for position, labels in columns)])
        index = np.concatenate([none, *(np.arange(labels.size) for _, labels in columns)])
        label = np.concatenate([none, *(labels for _, labels in columns)])
        position, atom = atoms.expanded(atoms.of(label))
        axis, index, label = axis[position], index[position], label[position]
        live = ~atoms.frozen[atom]
        order = np.lexsort((index[live], axis[live], atom[live]))
        self.axis, self.index, label, self.atom = (column[live][order] for column in (axis, index, label, atom))
        self._roles = _Roles(atoms, self.atom, label)
        self._role = self._roles.of(self.atom, label)
        self._ties = self._roles.ties()
        self._partners = atoms.partners(self.atom, label)

    def rows(self) -> tuple[Array, Array]:
        """First row of each atom's stretch of the table, and the row behind its last."""
        edges = np.flatnonzero(self.atom[1:] != self.atom[:-1]) + 1
        bounds = np.r_[0, edges, self.atom.size] if self.atom.size else np.zeros(1, np.int64)
        return bounds[:-1], bounds[1:]

    def likeness(self, start: int, end: int) -> tuple[bytes, ...]:
        """Equal for atoms that are exchangeable; ``start`` and ``end`` delimit the atom's stretch."""
        first, last = np.searchsorted(self._ties[0], [self.atom[start], self.atom[start] + 1])
        stretch = slice(start, end)
        columns = (self.axis[stretch], self._role[stretch], self._partners[stretch], self._ties[1:, first:last])
        return tuple(column.tobytes() for column in columns)


class _Roles:
    """Numbers each atom's labels in the order in which its stretch of the table meets them."""

    def __init__(self, atoms: Atoms, atom: Array, label: Array) -> None:
        self._atoms = atoms
        keys, first = np.unique(self._key(atom, label), return_index=True)
        order = np.argsort(first)
        owner = atom[first[order]]
        self._keys, self._numbers = keys, np.empty(keys.size, np.int64)
        self._numbers[order] = np.arange(keys.size) - np.searchsorted(owner, owner)

    def _key(self, atom: Array, label: Array) -> Array:
        return atom * self._atoms.atom.size + label

    def of(self, atom: Array, label: Array) -> Array:
        """The role of each (atom, label); -1 for labels on no axis."""
        if not self._keys.size:
            return np.full(atom.size, -1, np.int64)
        wanted = self._key(atom, label)
        at = np.minimum(np.searchsorted(self._keys, wanted), self._keys.size - 1)
        return np.where(self._keys[at] == wanted, self._numbers[at], -1)

    def ties(self) -> Array:
        """Distinct (atom, role, role) of all ties, sorted by atom, of shape (3, ties)."""
        left, right = self._atoms.ties
        position, atom = self._atoms.expanded(self._atoms.of(left))
        columns = np.stack([atom, self.of(atom, left[position]), self.of(atom, right[position])])
        columns = columns[:, np.lexsort(columns[::-1])]
        again = (columns[:, 1:] == columns[:, :-1]).all(axis=0)
        return columns[:, np.r_[True, ~again][: columns.shape[1]]]


def find_groups(
    atoms: Atoms,
    stored: Mapping[str, Axes],
    activations: Iterable[Array],
    names: Mapping[str, int],
) -> list[Group]:
    """Exchangeable atoms form a group; one that no stored tensor has is nobody's width.

    Args:
        atoms: the resolved ties.
        stored: axes of every stored tensor.
        activations: distinct axes of values inside the graphs.
        names: order in which tensors are met in the graph, which names and sorts the groups.
    """
    places = sorted(
        ((name, dim) for name, axes in stored.items() for dim in range(len(axes))), key=lambda p: (names[p[0]], p[1])
    )
    tables = [stored[name][dim] for name, dim in places]
    occupancy = Occupancy(atoms, [*tables, *activations])
    classes: dict[tuple[bytes, ...], list[tuple[int, int]]] = {}
    for start, end in zip(*occupancy.rows(), strict=True):
        if occupancy.axis[start] < len(tables):
            classes.setdefault(occupancy.likeness(start, end), []).append((int(start), int(end)))
    groups = [_group(atoms, occupancy, rows, places, len(tables)) for rows in classes.values()]
    groups.sort(
        key=lambda group: (names[group.members[0].tensor], group.members[0].dim, int(group.members[0].indices.min()))
    )
    return _named(groups)


def _group(
    atoms: Atoms, occupancy: Occupancy, rows: list[tuple[int, int]], places: list[tuple[str, int]], stored: int
) -> Group:
    starts = np.array([start for start, _ in rows])
    length = rows[0][1] - rows[0][0]
    table = starts[:, None] + np.arange(length)[None, :]
    axis, index = occupancy.axis[table[0]], occupancy.index[table]
    members = []
    for position in np.unique(axis[axis < stored]):
        name, dim = places[position]
        members.append(Member(name, dim, index[:, axis == position]))
    members.sort(key=lambda member: (member.dim != 0,))  # stable: what produces the width comes first
    order = np.argsort(members[0].indices[:, 0], kind="stable")
    ordered = tuple(Member(member.tensor, member.dim, member.indices[order]) for member in members)
    mine = occupancy.atom[starts][order]
    statistic = next((found for atom in mine if (found := atoms.statistic(int(atom)))), None)
    kind = "exact" if statistic is None else "statistics-changing"
    return Group("", kind, statistic, ordered, mine)


def _named(groups: list[Group]) -> list[Group]:
    used: dict[str, int] = {}
    named = []
    for group in groups:
        base = (group.producers or (group.members[0].tensor,))[0]
        used[base] = used.get(base, 0) + 1
        name = base if used[base] == 1 else f"{base}#{used[base]}"
        named.append(Group(name, group.kind, group.reason, group.members, group.atoms))
    return named


def frozen_groups(atoms: Atoms, stored: Mapping[str, Axes], layers: Iterable[tuple[str, int]]) -> list[Group]:
    """One entry for each width in ``layers`` (tensor, dimension) and reason, of the indices that can never be
    removed.
    """
    found = []
    for name, dim in layers:
        atom = atoms.of(stored[name][dim])
        frozen = atoms.frozen[atom]
        for reason in np.unique(atoms.reason_index[atom[frozen]]):
            at = np.flatnonzero(frozen & (atoms.reason_index[atom] == reason))
            layer = name.rpartition(".")[0] or name
            found.append(Group(layer, "frozen", atoms.reasons[reason], (Member(name, dim, at[:, None]),), atom[at]))
    return found
