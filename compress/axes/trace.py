"""Runs the operator rules over a graph: every value gets, for each of its dimensions, one label per index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.axes.labels import Array, Labels, fixed
from compress.shapes import Shapes

Axes = list[Array]  # one array of labels for each dimension of a tensor
Propagate = Callable[["Trace", fx.Node], Any]
Rewrite = Callable[["Cut", fx.Node, fx.Node], None]

_PROPAGATE: dict[Any, Propagate] = {}
_REWRITE: dict[Any, Rewrite] = {}


def rule(*operators: Any) -> Callable[[Propagate], Propagate]:
    """Register how ``operators`` tie the axes of their operands; the function returns the axes of the result."""

    def register(function: Propagate) -> Propagate:
        for item in operators:
            assert item not in _PROPAGATE, item
            _PROPAGATE[item] = function
        return function

    return register


def rewrites(*operators: Any) -> Callable[[Rewrite], Rewrite]:
    """Register how the literals of ``operators`` change once indices were removed (sizes, group counts, paddings)."""

    def register(function: Rewrite) -> Rewrite:
        for item in operators:
            _REWRITE[item] = function
        return function

    return register


def rewrite_of(node: fx.Node) -> Rewrite | None:
    """The registered rewriting of the node's operator, if its literals depend on sizes."""
    return _REWRITE.get(node.target)


class Trace:
    """Labels of all values of one graph. The axes of stored tensors are shared between graphs."""

    def __init__(
        self,
        labels: Labels,
        stored: Mapping[str, Axes],
        shapes: Shapes,
        constants: Mapping[str, torch.Tensor],
        transparent: frozenset[str] = frozenset(),
    ) -> None:
        """Args:
        labels: where ties are collected, of all graphs of a network.
        stored: axes of every stored tensor.
        shapes: of every value of the graph.
        constants: stored tensors that no training changes, whose values rules may read.
        transparent: operators that tie nothing where no rule can follow them, instead of freezing what they touch:
            what would be reachable if they were no obstacle.
        """
        self.labels = labels
        self.constants = constants
        self.renumbered: dict[str, Array] = {}
        self.shapes = shapes
        self.values: dict[fx.Node, Any] = {}
        self.unknown: dict[fx.Node, str] = {}
        self.freed: list[Array] = []
        self._stored = stored
        self._transparent = transparent

    def run(self, graph: fx.Graph) -> None:
        """Propagate through ``graph`` from its inputs to its outputs."""
        for node in graph.nodes:
            self.values[node] = self._shared(self._step(node))

    def _shared(self, value: Any) -> Any:
        """Equal axes as one array: what is known of one then need not be found anew."""
        if isinstance(value, list):
            return [self._shared(item) for item in value]
        return self.labels.shared(value) if isinstance(value, np.ndarray) else value

    def _step(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self.fixed(node)
        if node.op == "get_attr":
            return self._stored[str(node.target)]
        if node.op == "output":
            for axes in self.operands(node):
                for labels in axes:
                    self.labels.freeze(labels, "network output")
            return None
        function = _PROPAGATE.get(node.target)
        if function is not None:
            return function(self, node)
        return self.refuse(node, f"no rule for operator {node.target}")

    def refuse(self, node: fx.Node, reason: str) -> Any:
        """Freeze every axis that ``node`` touches, with the reason and the place."""
        if not any(labels.any() for axes in self.operands(node) for labels in axes):
            return self.fixed(node)  # nothing that could be pruned reaches it
        if str(node.target) in self._transparent:
            return self._free(node, self.shapes[node])
        self.unknown[node] = reason
        for axes in self.operands(node):
            for labels in axes:
                self.labels.freeze(labels, f"{reason} ({self.place(node)})")
        return self.fixed(node)

    def renumber(self, name: str, axis: Array, reason: str) -> None:
        """Say that the constant ``name`` lists positions in ``axis``: they change when indices before them go.

        Several axes that one list picks from must lose the same indices; where they cannot, they stay.
        """
        known = self.renumbered.setdefault(name, axis)
        if known.size == axis.size:
            self.labels.tie(known, axis, reason)
        else:
            self.labels.freeze(known, reason)
            self.labels.freeze(axis, reason)

    def _free(self, node: fx.Node, shape: Any) -> Any:
        """New axes for a result of ``shape``; those stay fixed that are so at the same place, in the same size, before
        ``node``.
        """
        if isinstance(shape, list):
            return [self._free(node, item) for item in shape]
        if not isinstance(shape, tuple):
            return None
        operands = list(self.operands(node))
        axes = []
        for dim, size in enumerate(shape):
            before = [axes[dim] for axes in operands if dim < len(axes) and axes[dim].size == size]
            stays = dim == 0 or size == 1 or (bool(before) and not any(axis.any() for axis in before))
            axes.append(fixed(size) if stays else self.labels.fresh(size))
        self.freed += [axis for axis in axes if axis.any()]
        return axes

    def fixed(self, node: fx.Node) -> Any:
        """Fixed axes in the shape of ``node``'s result."""
        return _fixed_like(self.shapes[node])

    def axes(self, node: Any) -> Axes:
        """The axes of a tensor operand."""
        value: Axes = self.values[node]
        return value

    def operands(self, node: fx.Node) -> Iterator[Axes]:
        """The axes of every tensor operand, lists of tensors included."""
        for operand in node.all_input_nodes:
            value = self.values[operand]
            if value and isinstance(value[0], list):
                yield from value
            elif value is not None:
                yield value

    def shape(self, node: Any) -> tuple[int, ...]:
        """The shape of a tensor operand at the captured batch."""
        shape: tuple[int, ...] = self.shapes[node]
        return shape

    @staticmethod
    def place(node: fx.Node) -> str:
        """Where the operator stands: its layer and source line where they are known."""
        parts = [str(node.meta[key]) for key in ("layer", "source") if node.meta.get(key)]
        return " at ".join(parts) or node.name


def _fixed_like(shape: Any) -> Any:
    if isinstance(shape, tuple):
        return [fixed(size) for size in shape]
    if isinstance(shape, list):
        return [_fixed_like(item) for item in shape]
    return None


class Cut:
    """What a rewriting needs to know: how many indices of an axis are kept."""

    def __init__(self, trace: Trace, keeps: Callable[[Array], Any]) -> None:
        self._trace = trace
        self._keeps = keeps

    def keep(self, node: Any, dim: int) -> Any:
        """Boolean mask of the kept indices of a dimension of a value of the original graph."""
        return self._keeps(self._trace.axes(node)[dim])

    def kept(self, node: Any, dim: int) -> int:
        """How many indices are kept."""
        return int(self.keep(node, dim).sum())

    def rank(self, node: Any) -> int:
        """The number of dimensions of a value of the original graph."""
        return len(self._trace.axes(node))

    def cut(self, node: Any, dim: int) -> bool:
        """Whether this dimension loses anything."""
        return not bool(self.keep(node, dim).all())

    def pieces(self, node: Any) -> list[Axes]:
        """The axes of each result of an operator with several."""
        value: list[Axes] = self._trace.values[node]
        return value

    def count(self, labels: Array) -> int:
        """How many of these labels are kept."""
        return int(self._keeps(labels).sum())


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """An operator's argument, given by position or by name."""
    if len(node.args) > position:
        return node.args[position]
    return node.kwargs.get(name, default)


def set_argument(node: fx.Node, position: int, name: str, value: Any) -> None:
    """Replace an argument where it was given."""
    if len(node.args) > position:
        node.update_arg(position, value)
    else:
        node.update_kwarg(name, value)


def aten(names: str) -> list[torch._ops.OpOverload]:
    """The overloads named (``"relu relu_ add.Tensor"``), those that this torch has."""
    found = []
    for name in names.split():
        packet, _, overload = name.partition(".")
        holder = getattr(torch.ops.aten, packet, None)
        item = getattr(holder, overload or "default", None)
        if item is not None:
            found.append(item)
    return found
