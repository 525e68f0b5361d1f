"""Which groups have the same structure: the same operators meet their atoms in the same dimensions (Fang et al. 2024,
Isomorphic Pruning). Sizes do not count.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array


def structures(analysis: Analysis, groups: Sequence[Group]) -> dict[str, Hashable]:
    """Return by group name what is equal for isomorphic groups: operators, operands and dimensions, in graph order."""
    owner = np.full(analysis.atoms.reason_index.size, -1, np.int64)
    for number, group in enumerate(groups):
        owner[group.atoms] = number
    met: dict[int, list[int]] = {}

    def present(labels: Array) -> list[int]:
        """The groups that have atoms on this axis; values that pass an axis on share it."""
        if id(labels) not in met:
            _, atom = analysis.atoms.expanded(np.unique(analysis.atoms.of(labels)))
            met[id(labels)] = [number for number in np.unique(owner[atom]).tolist() if number >= 0]
        return met[id(labels)]

    tokens: list[list[tuple[str, int, int]]] = [[] for _ in groups]
    trace = analysis.traces[False]
    for node in analysis.program.graphs[False].nodes:
        for position, operand in enumerate(node.all_input_nodes if node.op == "call_function" else ()):
            for dim, labels in enumerate(_dimensions(trace.values[operand])):
                for number in present(labels) if labels.any() else ():
                    tokens[number].append((str(node.target), position, dim))
    return {group.name: tuple(found) for group, found in zip(groups, tokens, strict=True)}


def _dimensions(value: Any) -> list[Array]:
    """The axes of a tensor; of several results none (their users say which one they take)."""
    return value if isinstance(value, list) and not any(isinstance(item, list) for item in value) else []
