"""Groups: sets of exchangeable atoms, the widths that can shrink. Found by what each atom occupies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from compress.axes.labels import Array, Atoms
from compress.axes.occupancy import Occupancy
from compress.axes.trace import Axes


@dataclass(frozen=True)
class Member:
    """Where a group's atoms lie in one dimension of one tensor. ``indices`` has shape (atoms, indices per atom).

    ``produced`` says that this dimension is the width that the tensor's layer produces.
    """

    tensor: str
    dim: int
    indices: Array
    produced: bool = True


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

    @cached_property
    def cell(self) -> int:
        """Neighbouring channels per atom in the producing layer: 1 for a width inside heads, the head's width for
        heads.
        """
        indices = self.members[0].indices
        steps = np.diff(indices, axis=1) == 1
        return int(np.argmin(np.c_[steps, np.zeros(len(steps), bool)], axis=1).min()) + 1

    @cached_property
    def producers(self) -> tuple[str, ...]:
        """Layers whose output is (part of) this group, in graph order."""
        names = [member.tensor.rpartition(".")[0] or member.tensor for member in self.members if member.produced]
        return tuple(dict.fromkeys(names))

    def frozen(self, reason: str) -> Group:
        """The same atoms, never to be removed for ``reason``."""
        return Group(self.name, "frozen", reason, self.members, self.atoms)


def find_groups(
    atoms: Atoms,
    stored: Mapping[str, Axes],
    activations: Iterable[Array],
    names: Mapping[str, int],
    produced: Mapping[str, int],
) -> list[Group]:
    """Exchangeable atoms form a group; one that no stored tensor has is nobody's width.

    Args:
        atoms: the resolved ties.
        stored: axes of every stored tensor.
        activations: distinct axes of values inside the graphs.
        names: order in which tensors are met in the graph, which names and sorts the groups.
        produced: the dimension of each layer's weight that it produces; 0 for tensors that are not listed.
    """
    places = sorted(
        ((name, dim) for name, axes in stored.items() for dim in range(len(axes))), key=lambda p: (names[p[0]], p[1])
    )
    tables = [stored[name][dim] for name, dim in places]
    occupancy = Occupancy(atoms, [*tables, *activations])
    groups = [_group(atoms, occupancy, rows, places, produced) for rows in occupancy.alike(len(tables))]
    groups.sort(
        key=lambda group: (names[group.members[0].tensor], group.members[0].dim, int(group.members[0].indices.min()))
    )
    return _named(groups)


def _group(
    atoms: Atoms, occupancy: Occupancy, rows: Array, places: list[tuple[str, int]], produced: Mapping[str, int]
) -> Group:
    axis, index = occupancy.axis[rows[0]], occupancy.index[rows]
    stored = len(places)
    edges = np.flatnonzero(np.diff(axis, prepend=-1, append=stored + occupancy.axis.size))
    members = []
    for first, last in pairwise(edges.tolist()):
        if axis[first] < stored:
            name, dim = places[axis[first]]
            members.append(Member(name, dim, index[:, first:last], dim == produced.get(name, 0)))
    members.sort(key=lambda member: not member.produced)  # stable: what produces the width comes first
    order = np.argsort(members[0].indices[:, 0], kind="stable")
    ordered = tuple(replace(member, indices=member.indices[order]) for member in members)
    mine = occupancy.atom[rows[:, 0]][order]
    flagged = mine[atoms.statistics_index[mine] >= 0]
    statistic = atoms.statistic(int(flagged[0])) if flagged.size else None
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
