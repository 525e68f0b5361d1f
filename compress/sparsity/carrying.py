"""Masks through a change of the network: which pattern they have afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from compress.masks import Mask
from compress.program import Program
from compress.sparsity.layers import maskable_layers
from compress.sparsity.patterns import PATTERNS


def carried(program: Program, kept: Mapping[str, torch.Tensor], before: Mapping[str, Mask]) -> dict[str, Mask]:
    """Return masks for ``program`` from those ``before`` it was cut or reordered.

    ``kept`` are the same elements as in ``before`` where they now lie. A mask whose zeros no longer have its pattern
    (cutting channels shifts blocks against each other) is ``unstructured``.
    """
    if not kept:
        return {}
    layouts = {layer.weight: layer.layout for layer in maskable_layers(program)}
    found = {}
    for name, elements in kept.items():
        pattern = PATTERNS.get(before[name].pattern)
        layout = layouts.get(name)
        whole = pattern is not None and layout is not None and pattern.holds(layout.opened(elements))
        found[name] = Mask(elements, before[name].pattern if whole else "unstructured")
    return found
