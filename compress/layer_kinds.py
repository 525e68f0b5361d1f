"""What kind of layer every weight belongs to, as runtimes tell them apart."""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.counting import CONVOLUTIONS, LINEAR, TRANSPOSED
from compress.latency.staircase import KINDS
from compress.program import Program

_POINTWISE, _SPATIAL, _DEPTHWISE, _LINEAR = KINDS
_GROUPS = 6  # the place of the argument, in transposed convolutions, too


def kinds_of_weights(program: Program) -> dict[str, str]:
    """The kind, of :data:`compress.latency.staircase.KINDS`, of each weight of a convolution or linear layer."""
    found: dict[str, str] = {}
    for node in program.graphs[False].nodes:
        if node.target in CONVOLUTIONS | TRANSPOSED | LINEAR:
            weight = node.args[1]
            if isinstance(weight, fx.Node) and weight.op == "get_attr":
                name = program.tied.get(str(weight.target), str(weight.target))
                found[name] = _kind(node, tuple(program.tensors[name].shape))
    return found


def kinds_of_group(group: Group, kinds: dict[str, str]) -> list[str]:
    """The kinds of the layers that produce or consume the width, each once."""
    return list(dict.fromkeys(kinds[member.tensor] for member in group.members if member.tensor in kinds))


def kinds_by_group(analysis: Analysis) -> dict[str, list[str]]:
    """The kinds of the layers that each prunable group touches, by the group's name."""
    kinds = kinds_of_weights(analysis.program)
    return {group.name: kinds_of_group(group, kinds) for group in analysis.prunable}


def _kind(node: fx.Node, shape: tuple[int, ...]) -> str:
    if node.target in LINEAR:
        return _LINEAR
    groups: Any = node.args[_GROUPS] if len(node.args) > _GROUPS else node.kwargs.get("groups", 1)
    if groups > 1 and shape[1] == 1:
        return _DEPTHWISE
    return _POINTWISE if groups == 1 and math.prod(shape[2:]) == 1 else _SPATIAL
