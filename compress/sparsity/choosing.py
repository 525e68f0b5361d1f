"""Choosing masks: scores of units and a target in, masks out. A target is met to one unit, by taking a prefix of all
units in the order that the allocation gives them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from compress.masks import Mask, Masks
from compress.program import Program
from compress.sparsity.allocation import Allocation, Numbers, Ranked
from compress.sparsity.layers import MaskableLayer
from compress.sparsity.patterns import Pattern
from compress.sparsity.request import MACS, PARAMS, SPARSITY, SparsityRequest

Scores = Mapping[str, torch.Tensor]
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Chosen:
    """Masks by weight, and the names of the layers that the floor kept from losing more."""

    masks: dict[str, Mask]
    at_floor: tuple[str, ...]


@dataclass(frozen=True)
class _Units:
    """One layer's units, flat, in ascending order of score: ``order`` says where each came from."""

    order: NDArray[np.int64]
    keys: Numbers
    elements: Numbers
    free: Bits
    kept_by_floor: Bits


class Chooser:
    """Chooses masks for ``layers`` of one network, on top of those that it has: what is zero stays zero.

    ``total`` is what the target is a share of (weights of these layers, MACs or parameters of the network), ``present``
    what was left of it to begin with, counting zeros as removed.
    """

    def __init__(self, program: Program, layers: Sequence[MaskableLayer], request: SparsityRequest) -> None:
        self.layers = tuple(layers)
        self._pattern: Pattern = request.shape
        self._allocation: Allocation = request.sharing
        self._least = 0.0 if self._pattern.whole else request.least
        self._goal = request.goal
        self._masks = program.masks
        self._worth = _worth(program, self.layers, self._goal[0])
        count = program.count()
        self.weights = sum(math.prod(layer.shape) for layer in self.layers)
        self.total = {SPARSITY: self.weights, PARAMS: count.params, MACS: count.macs}[self._goal[0]]
        self._elsewhere = self._zeros_elsewhere(program)
        self.present = self.left(self._masks)

    @property
    def wanted(self) -> float:
        """What is to be left."""
        measure, amount = self._goal
        if self._pattern.whole:
            return 0.0
        return self.total * (1 - amount if measure == SPARSITY else amount)

    def left(self, masks: Masks) -> float:
        """What these masks leave of :attr:`total`."""
        masked = {layer.weight for layer in self.layers}
        gone = sum(mask.zeros * self._worth[name] for name, mask in masks.items() if name in masked)
        return self.total - self._elsewhere - gone

    def _zeros_elsewhere(self, program: Program) -> float:
        """What zeros in other tensors (masked before, or biases that begin at zero) take from what is counted."""
        ours = {layer.weight for layer in self.layers}
        others = {name: tensor for name, tensor in program.tensors.items() if name in self._worth and name not in ours}
        zeros = {name: tensor.numel() - int(torch.count_nonzero(tensor)) for name, tensor in others.items()}
        return sum(count * self._worth[name] for name, count in zeros.items() if name not in program.tied)

    def sums(self, layer: MaskableLayer, values: torch.Tensor) -> torch.Tensor:
        """Sums of ``values`` (of the weight's shape) over the layer's units."""
        return self._pattern.sums(layer.layout.opened(values))

    def choose(self, scores: Scores, done: float = 1.0) -> Chosen:
        """Drop the units that the allocation puts first, until ``done`` (0 to 1) of the way to the target is gone.

        Args:
            scores: sums over units, by weight, as :meth:`sums` shapes them.
        """
        units = [self._units(layer, scores[layer.weight]) for layer in self.layers]
        goal = self.present - (self.present - self.wanted) * done
        dropped = self._prefix(units, max(0.0, self.left(self._masks) - goal))
        if self._pattern.whole and done == 1.0:
            dropped = [one.free.copy() for one in units]
        masks, at_floor = {}, []
        for layer, one, gone in zip(self.layers, units, dropped, strict=True):
            masks[layer.weight] = self._mask(layer, one, gone)
            if one.kept_by_floor.any() and not (one.free & ~gone).any():
                at_floor.append(layer.name)
        return Chosen(masks, tuple(at_floor))

    def take(self, masks: Masks) -> None:
        """Choose on top of these masks from now on."""
        self._masks = {**self._masks, **masks}

    def _units(self, layer: MaskableLayer, scores: torch.Tensor) -> _Units:
        kept = self._kept_before(layer)
        size = self.sums(layer, torch.ones(layer.shape))
        alive = self.sums(layer, kept.float())
        mean = torch.where(alive > 0, scores.detach().double().cpu() / size, float("-inf"))
        fixed = self._pattern.untouchable(mean).reshape(-1).numpy()
        flat = mean.reshape(-1).numpy()
        order = np.argsort(flat, kind="stable")
        elements = alive.double().reshape(-1).numpy()[order]
        floor = np.zeros(flat.size, bool)
        floor[flat.size - max(1, int(np.ceil(self._least * flat.size))) :] = not self._pattern.whole
        free = (elements > 0) & ~fixed[order] & ~floor
        sizes = size.double().reshape(-1).numpy()[order]
        before = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        ranked = Ranked(layer.shape, flat[order], before, layer.macs / math.prod(layer.shape))
        return _Units(order, self._allocation.keys(ranked), elements, free, floor & (elements > 0))

    def _prefix(self, units: Sequence[_Units], amount: float) -> list[Bits]:
        """Which units of each layer go, so that ``amount`` goes to within half a unit."""
        worth = [self._worth[layer.weight] for layer in self.layers]
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

    def _mask(self, layer: MaskableLayer, units: _Units, gone: Bits) -> Mask:
        before = self._kept_before(layer)
        shape = self.sums(layer, torch.zeros(layer.shape)).shape
        kept = np.ones(gone.size, bool)
        kept[units.order[gone]] = False
        opened = layer.layout.opened(before)
        spread = self._pattern.spread(torch.from_numpy(kept).reshape(shape), opened) & opened
        name = self._pattern.name if self._pattern.holds(spread) else "unstructured"
        return Mask(layer.layout.closed(spread, layer.shape), name)

    def _kept_before(self, layer: MaskableLayer) -> torch.Tensor:
        found = self._masks.get(layer.weight)
        return found.kept if found is not None else torch.ones(layer.shape, dtype=torch.bool)


def _worth(program: Program, layers: Sequence[MaskableLayer], measure: str) -> dict[str, float]:
    """What one weight of each tensor counts for in ``measure``: itself, or its multiply-accumulates."""
    if measure == SPARSITY:
        return dict.fromkeys((layer.weight for layer in layers), 1.0)
    if measure == PARAMS:
        return dict.fromkeys(program.parameter_names, 1.0)
    macs: dict[str, float] = {}
    for counted in program.count().layers:
        if counted.weight is not None and counted.weight_shape is not None:
            owner = program.tied.get(counted.weight, counted.weight)
            macs[owner] = macs.get(owner, 0.0) + counted.macs / math.prod(counted.weight_shape)
    return macs
