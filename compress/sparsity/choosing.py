"""Choosing masks: scores of units and a target in, masks out. A target is met to one unit, by taking a prefix of all
units in the order that the allocation gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from compress.masks import Mask
from compress.program import Program
from compress.sparsity.allocation import Allocation, Numbers, Ranked
from compress.sparsity.layers import MaskableLayer
from compress.sparsity.patterns import Pattern
from compress.sparsity.request import MACS, PARAMS, SPARSITY, SparsityRequest

Scores = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Chosen:
    """Masks by weight, and the names of the layers that the floor kept from losing more."""

    masks: dict[str, Mask]
    at_floor: tuple[str, ...]


@dataclass(frozen=True)
class _Units:
    """One layer's units, flat, in ascending order of score: ``order`` says where each came from."""

    order: Numbers
    keys: Numbers
    elements: Numbers
    free: Numbers
    kept_by_floor: Numbers


class Chooser:
    """Chooses masks for ``layers`` of one network, on top of those that it has: what is zero stays zero."""

    def __init__(self, program: Program, layers: Sequence[MaskableLayer], request: SparsityRequest) -> None:
        self.layers = tuple(layers)
        self._pattern: Pattern = request.shape
        self._allocation: Allocation = request.sharing
        self._least = 0.0 if self._pattern.whole else request.least
        self._goal = request.goal
        self._before = {name: mask.kept for name, mask in program.masks.items()}
        count = program.count()
        self._weights = sum(int(np.prod(layer.shape)) for layer in self.layers)
        self.total = {SPARSITY: self._weights, PARAMS: count.params, MACS: count.macs}[self._goal[0]]
        self.present = self._left(program)

    @property
    def wanted(self) -> float:
        """What is to be left, in weights of these layers, parameters or MACs counting zeros as removed."""
        measure, amount = self._goal
        if self._pattern.whole:
            return 0.0
        return self.total * (1 - amount if measure == SPARSITY else amount)

    @property
    def weights(self) -> int:
        """How many weights the layers have."""
        return self._weights

    def _left(self, program: Program) -> float:
        """What the masks as they are leave of what the target counts."""
        measure = self._goal[0]
        by_weight = {layer.weight: layer for layer in self.layers}
        zeros = {name: mask.zeros for name, mask in program.masks.items()}
        if measure == SPARSITY:
            return self._weights - sum(zeros.get(name, 0) for name in by_weight)
        if measure == PARAMS:
            return self.total - sum(zeros.values())
        shares = {name: mask.sparsity for name, mask in program.masks.items()}
        gone = sum(
            layer.macs * shares.get(program.tied.get(layer.weight, layer.weight), 0.0)
            for layer in program.count().layers
            if layer.weight is not None
        )
        return self.total - gone

    def sums(self, layer: MaskableLayer, values: torch.Tensor) -> torch.Tensor:
        """Sums of ``values`` (of the weight's shape) over the layer's units."""
        return self._pattern.sums(layer.layout.opened(values))

    def choose(self, scores: Scores, done: float = 1.0) -> Chosen:
        """Drop the units that the allocation puts first, until ``done`` (0 to 1) of the way to the target is gone.

        Args:
            scores: sums over units, by weight, as :meth:`sums` shapes them.
        """
        units = [self._units(layer, scores[layer.weight]) for layer in self.layers]
        dropped = self._prefix(units, (self.present - self.wanted) * done)
        if self._pattern.whole and done == 1.0:
            dropped = [one.free.copy() for one in units]
        masks, at_floor = {}, []
        for layer, one, gone in zip(self.layers, units, dropped, strict=True):
            masks[layer.weight] = self._mask(layer, one, gone)
            if one.kept_by_floor.any() and not (one.free & ~gone).any():
                at_floor.append(layer.name)
        return Chosen(masks, tuple(at_floor))

    def _units(self, layer: MaskableLayer, scores: torch.Tensor) -> _Units:
        kept = self._kept_before(layer)
        size = self.sums(layer, torch.ones(layer.shape))
        alive = self.sums(layer, kept.float())
        mean = torch.where(alive > 0, scores.detach().double().cpu() / size, float("-inf"))
        fixed = self._pattern.untouchable(mean).reshape(-1).numpy()
        flat: Numbers = mean.reshape(-1).numpy()
        order = np.argsort(flat, kind="stable")
        elements = alive.double().reshape(-1).numpy()[order]
        floor = np.zeros(flat.size, bool)
        floor[flat.size - max(1, int(np.ceil(self._least * flat.size))) :] = not self._pattern.whole
        free = (elements > 0) & ~fixed[order] & ~floor
        sizes = size.double().reshape(-1).numpy()[order]
        before = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        ranked = Ranked(layer.shape, flat[order], before, layer.macs / int(np.prod(layer.shape)))
        return _Units(order, self._allocation.keys(ranked), elements, free, floor & (elements > 0))

    def _prefix(self, units: Sequence[_Units], amount: float) -> list[Numbers]:
        """Which units of each layer go, so that ``amount`` goes to within half a unit."""
        worth = [
            layer.macs / int(np.prod(layer.shape)) if self._goal[0] == MACS else 1.0 for layer in self.layers
        ]
        keys = np.concatenate([one.keys[one.free] for one in units])
        costs = np.concatenate([one.elements[one.free] * each for one, each in zip(units, worth, strict=True)])
        ranked = np.argsort(keys, kind="stable")
        gone = np.concatenate([[0.0], np.cumsum(costs[ranked])])
        count = int(np.searchsorted(gone, amount))
        if count == gone.size or (count > 0 and amount - gone[count - 1] <= gone[count] - amount):
            count -= 1
        taken = np.zeros(keys.size, bool)
        taken[ranked[:count]] = True
        result, at = [], 0
        for one in units:
            chosen = np.zeros(one.free.size, bool)
            size = int(one.free.sum())
            chosen[one.free] = taken[at : at + size]
            result.append(chosen)
            at += size
        return result

    def _mask(self, layer: MaskableLayer, units: _Units, gone: Numbers) -> Mask:
        before = self._kept_before(layer)
        shape = self.sums(layer, torch.zeros(layer.shape)).shape
        kept = np.ones(gone.size, bool)
        kept[units.order[gone]] = False
        opened = layer.layout.opened(before)
        spread = self._pattern.spread(torch.from_numpy(kept).reshape(shape), opened) & opened
        name = self._pattern.name if self._pattern.holds(spread) else "unstructured"
        return Mask(layer.layout.closed(spread, layer.shape), name)

    def _kept_before(self, layer: MaskableLayer) -> torch.Tensor:
        found = self._before.get(layer.weight)
        return found if found is not None else torch.ones(layer.shape, dtype=torch.bool)
