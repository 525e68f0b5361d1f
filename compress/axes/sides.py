"""Which dimension of a layer's weight is the width that it produces, and which the one that it consumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import fx

from compress.counting import CONVOLUTIONS, LINEAR, PRODUCTS, TRANSPOSED
from compress.program import Program


class Sides(NamedTuple):
    """Dimensions of one weight."""

    produced: int
    consumed: int


_POSITION = {
    **dict.fromkeys(CONVOLUTIONS | LINEAR, (1, Sides(0, 1))),
    **dict.fromkeys(TRANSPOSED, (1, Sides(1, 0))),
    torch.ops.aten.embedding.default: (0, Sides(1, 0)),
}


def weight_sides(program: Program) -> dict[str, Sides]:
    """The sides of every stored weight that a layer multiplies with, by name, in graph order (tied ones once)."""
    found: dict[str, Sides] = {}
    tensors = program.tensors
    for mode in (False, True):
        for node in program.graphs[mode].nodes:
            name, sides = _weight(node, tensors)
            if name is not None:
                found.setdefault(program.tied.get(name, name), sides)
    return found


def _weight(node: fx.Node, tensors: Mapping[str, torch.Tensor]) -> tuple[str | None, Sides]:
    if node.target in _POSITION:
        position, sides = _POSITION[node.target]
        return _stored(node, position), sides
    if node.target in PRODUCTS and (name := _stored(node, -1)) is not None:
        rank = tensors[name].ndim
        return name, Sides(rank - 1, max(rank - 2, 0))
    return None, Sides(0, 1)


def _stored(node: fx.Node, position: int) -> str | None:
    weight = node.args[position] if len(node.args) > max(position, 0) else None
    return str(weight.target) if isinstance(weight, fx.Node) and weight.op == "get_attr" else None
