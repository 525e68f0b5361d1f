"""Labels: one integer per index of every axis; ties between them, and the reasons why some can never be removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.int64]
FIXED = 0  # the label of every index that is fixed from the start: batch, space, single elements


def fixed(size: int) -> Array:
    """``size`` fixed indices, in constant memory."""
    return np.broadcast_to(np.int64(FIXED), (size,))


@dataclass(frozen=True)
class Atoms:
    """The result of resolving all ties. ``atom[label]`` numbers the classes; ``reason[atom]`` is why one is
    frozen, or None. ``ties`` are the pairs of labels that were tied, of shape (2, ties).
    """

    atom: Array
    frozen: NDArray[np.bool_]
    reason_index: Array
    reasons: tuple[str, ...]
    ties: Array

    def of(self, labels: Array) -> Array:
        """The atom of each index."""
        return self.atom[labels]

    def reason(self, atom: int) -> str | None:
        """Why ``atom`` cannot be removed, or None where it can."""
        index = self.reason_index[atom]
        return self.reasons[index] if index >= 0 else None


class Labels:
    """Collects labels and ties; memory and time grow with the number of indices that are mentioned."""

    def __init__(self) -> None:
        self._count = 1
        self._left: list[Array] = []
        self._right: list[Array] = []
        self._frozen: list[tuple[Array, int]] = []
        self._reasons: dict[str, int] = {}

    def fresh(self, size: int) -> Array:
        """``size`` new labels, tied to nothing yet."""
        made = np.arange(self._count, self._count + size, dtype=np.int64)
        self._count += size
        return made

    def tie(self, left: Array, right: Array, reason: str) -> None:
        """Let indices at equal positions go together. A partner that is fixed freezes the other, with ``reason``."""
        if left is right:
            return
        if left.shape != right.shape:
            raise AssertionError(f"axes of {left.size} and {right.size} indices cannot be tied")
        both = (left != FIXED) & (right != FIXED)
        if both.any():
            self._left.append(left[both])
            self._right.append(right[both])
        if not both.all():
            self.freeze(left[~both], reason)
            self.freeze(right[~both], reason)

    def freeze(self, labels: Array, reason: str) -> None:
        """Let none of these indices ever be removed."""
        live = labels[labels != FIXED]
        if live.size:
            self._frozen.append((live, self._reasons.setdefault(reason, len(self._reasons))))

    def resolve(self) -> Atoms:
        """Close the ties transitively. A frozen index freezes all that it is tied to, with the first reason given."""
        left = np.concatenate([*self._left, np.zeros(0, np.int64)])
        right = np.concatenate([*self._right, np.zeros(0, np.int64)])
        pairs = coo_array((np.ones(left.size, np.int8), (left, right)), shape=(self._count, self._count))
        count, atom = connected_components(pairs, directed=False)
        atom = atom.astype(np.int64)
        reason = np.full(count, -1, np.int64)
        reasons = dict(self._reasons)
        for labels, index in self._frozen:
            atoms = atom[labels]
            unset = atoms[reason[atoms] < 0]
            reason[unset] = index
        reason[atom[FIXED]] = reasons.setdefault("fixed", len(reasons))
        return Atoms(atom, reason >= 0, reason, tuple(reasons), np.stack([left, right]))
