"""Masks of given densities, layer by layer: what a search decides, where :mod:`.choosing` decides to meet a target."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from compress.errors import PlanError
from compress.masks import Mask
from compress.program import Program
from compress.sparsity.layers import MaskableLayer, maskable_layers
from compress.sparsity.patterns import Pattern, pattern_named


def masks_of(
    program: Program, densities: Mapping[str, float], *, pattern: str = "4x1", norm: int = 1
) -> dict[str, Mask]:
    """Keep of each weight its largest units: ``round(density * units)``, at least one; equal ones in order.

    Args:
        program: the network whose weights are looked at; it is not changed.
        densities: by weight name, the share of units that stays, above 0 and at most 1. A weight of 1 gets no mask.
        pattern: of the units, such as ``4x1``.
        norm: 1 or 2: how large a unit is (Zhao et al. 2021 search by the first and train by the second).

    Raises:
        PlanError: a weight that is none of the network's maskable ones, or a density out of range.
    """
    layers = checked_layers(program, densities)
    shape, tensors = pattern_named(pattern), program.tensors
    return {
        name: Mask(largest_units(tensors[name].detach(), layers[name], shape, density, norm), pattern)
        for name, density in densities.items()
        if density < 1
    }


def checked_layers(program: Program, densities: Mapping[str, float]) -> dict[str, MaskableLayer]:
    """Return the layers of these weights, by the weight's name. Raises :class:`PlanError` as :func:`masks_of`."""
    layers = {layer.weight: layer for layer in maskable_layers(program)}
    for name, density in densities.items():
        if name not in layers:
            raise PlanError(f"{name!r} is no weight that can be masked")
        if not 0 < density <= 1:
            raise PlanError(f"a density of {density:g} for {name!r} is not above 0 and at most 1")
    return {name: layers[name] for name in densities}


def largest_units(
    values: torch.Tensor, layer: MaskableLayer, pattern: Pattern, density: float, norm: int
) -> torch.Tensor:
    """Return which elements (bool, of the shape of ``values``) lie in the ``density`` largest units, on the CPU."""
    opened = layer.layout.opened(values)
    sums = pattern.sums(opened.abs().double() ** norm).cpu()
    kept = torch.zeros(sums.numel(), dtype=torch.bool)
    count = max(1, round(density * sums.numel()))
    kept[torch.argsort(sums.reshape(-1), descending=True, stable=True)[:count]] = True
    return layer.layout.closed(pattern.spread(kept.reshape(sums.shape), opened), tuple(values.shape))
