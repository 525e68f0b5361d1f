"""What a cost is due to: each summand is a product of lengths, each length is made of widths that shrink or cannot.

A product has no shares of its own. Here a factor's share goes with the logarithm of its length: a factor of length 1
costs nothing, and of two equal ones each is half the cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from compress.allocation import Part
from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array

_CONSTANT = "its size does not depend on any width"
_ELSEWHERE = "not a width of any layer"


class Attribution:
    """Knows, for every atom, the group that it belongs to or the layer and reason for which it stays."""

    def __init__(self, analysis: Analysis, groups: Sequence[Group], owner: Array) -> None:
        """Args:
        analysis: of the network.
        groups: those whose widths are chosen.
        owner: by atom, the position of its group, or ``len(groups)``.
        """
        self._atoms, self._groups, self._owner = analysis.atoms, groups, owner
        frozen = [group for group in analysis.groups if group.kind == "frozen"]
        layer = np.full(owner.size, len(frozen), np.int64)
        for position, group in reversed(list(enumerate(frozen))):
            layer[group.atoms] = position
        self._layers: list[str | None] = [*(group.name for group in frozen), None]
        reasons = len(self._atoms.reasons) + 1
        staying = len(groups) + layer * reasons + self._atoms.reason_index + 1
        self._key = np.where(owner < len(groups), owner, staying)
        self._reasons = reasons

    def shares(self, label: str, axes: Sequence[Array], lengths: Sequence[float], widths: Array) -> Iterable[Part]:
        """Divide one summand (to 1) among the widths behind its ``axes``, whose kept ``lengths`` are given."""
        if not axes:
            yield Part(label, None, _CONSTANT, 1.0)
            return
        weights = [math.log(max(length, 1.0)) for length in lengths]
        if not any(weights):
            weights = [1.0] * len(weights)
        for axis, weight in zip(axes, weights, strict=True):
            if weight:
                keys, shares = self._composition(axis, widths)
                for key, share in zip(keys.tolist(), shares.tolist(), strict=True):
                    yield self._part(label, key, share * weight / sum(weights))

    def _composition(self, axis: Array, widths: Array) -> tuple[Array, NDArray[np.float64]]:
        """The keys of the atoms along ``axis`` and the share of its kept length that is due to each."""
        position, atom = self._atoms.expanded(self._atoms.of(axis))
        fraction = np.append(widths / np.maximum([group.width for group in self._groups], 1), 1.0)
        kept = np.ones(axis.size)
        np.multiply.at(kept, position, fraction[self._owner[atom]])
        each = (kept / np.bincount(position, minlength=axis.size))[position]
        keys, inverse = np.unique(self._key[atom], return_inverse=True)
        found = np.bincount(inverse, each)
        return keys, found / found.sum()

    def _part(self, label: str, key: int, share: float) -> Part:
        if key < len(self._groups):
            return Part(self._groups[key].name, key, "", share)
        layer, reason = divmod(key - len(self._groups), self._reasons)
        return Part(
            self._layers[layer] or label, None, self._atoms.reasons[reason - 1] if reason else _ELSEWHERE, share
        )
