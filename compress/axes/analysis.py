"""From a Program to its groups: both graphs are traced over shared parameter axes, ties are resolved, atoms are
classed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from torch import fx

import compress.axes.rules  # noqa: F401 - registers the rules
from compress.axes.groups import Group, find_groups, frozen_groups
from compress.axes.labels import Array, Atoms, Labels, fixed
from compress.axes.sides import Sides, weight_sides
from compress.axes.trace import Axes, Trace
from compress.program import Program
from compress.running import Running
from compress.shapes import shapes_of

if TYPE_CHECKING:
    from compress.sizes import SizeModel


@dataclass(frozen=True)
class Analysis:
    """Everything the engine knows of a Program's axes."""

    program: Program
    atoms: Atoms
    stored: dict[str, Axes]
    traces: dict[bool, Trace]
    groups: list[Group]

    @cached_property
    def prunable(self) -> list[Group]:
        """Groups that can shrink."""
        return [group for group in self.groups if group.kind != "frozen"]

    @cached_property
    def sizes(self) -> SizeModel:
        """What any choice of widths of the prunable groups costs."""
        from compress.sizes import SizeModel

        return SizeModel(self, self.prunable)

    @cached_property
    def running(self) -> Running:
        """The evaluation graph run at batch 1 without numbers."""
        return Running.of(self.program)

    @property
    def renumbered(self) -> dict[str, Array]:
        """Constants that list positions, and the axis that the positions are of."""
        return self.traces[False].renumbered

    @property
    def unknown(self) -> dict[str, str]:
        """Operators without a rule: node name -> reason."""
        return {node.name: reason for trace in self.traces.values() for node, reason in trace.unknown.items()}


def analyse(program: Program, *, transparent: frozenset[str] = frozenset()) -> Analysis:
    """Find the groups of ``program``. A tie found in either graph binds; an axis frozen in either is frozen.

    ``transparent`` names operators to be treated as no obstacle (see :mod:`compress.obstacles`): then the result says
    what could at most be reached, and must not be pruned by.
    """
    labels = Labels()
    tensors = program.tensors
    stored: dict[str, Axes] = {
        name: [labels.fresh(size) if size > 1 else fixed(size) for size in tensor.shape]
        for name, tensor in tensors.items()
        if name not in program.tied
    }
    for name, owner in program.tied.items():
        stored[name] = stored[owner]
    constants = {name: tensor for name, tensor in tensors.items() if name not in program.parameter_names}
    traces: dict[bool, Trace] = {}
    for mode in (False, True):
        graph = program.graphs[mode]
        shapes = shapes_of(graph, tensors, program.input_shapes(batch=2))
        trace = Trace(labels, stored, shapes, constants, transparent)
        trace.run(graph)
        traces[mode] = trace
    for name, axis in traces[True].renumbered.items():
        traces[False].renumber(name, axis, "positions in it are listed twice")
    owned = {name: axes for name, axes in stored.items() if name not in program.tied}
    order = _order(program)
    for name, axes in owned.items():
        if name not in order:
            order[name] = len(order)
            for axis in axes:
                labels.freeze(axis, "not used by the network")
    atoms = labels.resolve()
    sides = weight_sides(program)
    produced = {name: side.produced for name, side in sides.items()}
    groups = find_groups(atoms, owned, _activations(traces, owned), order, produced)
    groups = _produced(program.parameter_names, sides, groups)
    groups += frozen_groups(atoms, owned, produced.items())
    return Analysis(program, atoms, stored, traces, groups)


def _produced(parameters: frozenset[str], sides: dict[str, Sides], groups: list[Group]) -> list[Group]:
    """Freeze groups that are only ever consumed: features of a constant table are an input, not a layer's width."""
    consumed = {(name, side.consumed) for name, side in sides.items()}
    return [
        group
        if any(m.tensor in parameters and (m.tensor, m.dim) not in consumed for m in group.members)
        else group.frozen("features of a constant, which no layer produces")
        for group in groups
    ]


def _order(program: Program) -> dict[str, int]:
    order: dict[str, int] = {}
    for mode in (False, True):
        for node in program.graphs[mode].nodes:
            if node.op == "call_function":
                for operand in node.all_input_nodes:
                    if operand.op == "get_attr":
                        name = program.tied.get(str(operand.target), str(operand.target))
                        order.setdefault(name, len(order))
    return order


def _activations(traces: dict[bool, Trace], stored: dict[str, Axes]) -> list[Array]:
    """Axes made inside the graphs (joined, cut, padded ...), each once; an axis passed through is the same object."""
    seen = {id(axis) for axes in stored.values() for axis in axes}
    found = []
    for trace in traces.values():
        for value in trace.values.values():
            for axis in _flat(value):
                if id(axis) not in seen:
                    seen.add(id(axis))
                    if np.any(axis):
                        found.append(axis)
    return found


def _flat(value: object) -> list[Array]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, list):
        return [axis for item in value for axis in _flat(item)]
    return []


def graph_node(trace: Trace, name: str) -> fx.Node:
    """The node of that name in a traced graph."""
    return next(node for node in trace.values if node.name == name)
