"""What several cuts in a row leave of the network that they began with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compress.allocation import Costs
from compress.axes.analysis import Analysis
from compress.axes.groups import Group, Member
from compress.axes.labels import Array
from compress.axes.surgery import kept_atoms


class Lineage:
    """Follows every index of every tensor from the first network (``origin``) through the cuts."""

    def __init__(self, origin: Analysis, costs: Costs) -> None:
        """``costs`` are those of ``origin``."""
        self.origin, self._costs = origin, costs
        self._left = {name: [np.arange(size) for size in t.shape] for name, t in origin.program.tensors.items()}
        self._members: dict[tuple[str, int], list[tuple[Group, Member]]] = {}
        for group in origin.prunable:
            for member in group.members:
                self._members.setdefault((member.tensor, member.dim), []).append((group, member))

    def cut(self, analysis: Analysis, positions: Mapping[str, Array]) -> None:
        """Record that these positions stay of the groups of ``analysis``, the network as the cuts so far left it."""
        kept = kept_atoms(analysis, positions)
        for name, axes in analysis.stored.items():
            left = self._left[name]
            self._left[name] = [at[kept[analysis.atoms.of(labels)]] for at, labels in zip(left, axes, strict=True)]

    def first_width(self, group: Group) -> int:
        """How many atoms the first network had where the present one has ``group``."""
        member = group.members[0]
        before = self._left[member.tensor][member.dim][member.indices]
        total = 0
        for first, place in self._members.get((member.tensor, member.dim), []):
            atom_at = np.full(self.origin.program.tensors[member.tensor].shape[member.dim], -1, np.int64)
            atom_at[place.indices] = np.arange(first.width)[:, None]
            atom = atom_at[before]
            # Heads and the width inside them share an axis: the group meant has one atom for each of these.
            whole = (atom >= 0).all(axis=1) & (atom == atom[:, :1]).all(axis=1)
            if whole.any() and np.unique(atom[whole, 0]).size == whole.sum():
                total += first.width
        return total or group.width

    def kept(self) -> dict[str, Array]:
        """The positions left of each group of the first network that lost any."""
        found = {}
        for group in self.origin.prunable:
            member = group.members[0]
            alive = np.isin(member.indices, self._left[member.tensor][member.dim]).any(axis=1)
            if not alive.all():
                found[group.name] = np.flatnonzero(alive)
        return found

    def relative(self, measure: str) -> float:
        """What is left of the first network in ``measure``, as a share."""
        kept = self.kept()
        widths = [kept[group.name].size if group.name in kept else group.width for group in self.origin.prunable]
        return float(self._costs.relative(measure, np.array(widths, np.int64))[0])
