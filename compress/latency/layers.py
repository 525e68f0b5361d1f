"""The layers of a network as a runtime meets them: what kind each is, and its widths for any choice of the groups'.

A layer's kind says everything that its time depends on but widths and density. Operators without weights belong to a
layer, too: to the first that reads what they give, or where none does, to the one that they follow. So what they take
is a function of that layer's widths, whatever a runtime fuses them into.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.counting import LINEAR, TRANSPOSED, layer_name, weight_name
from compress.lengths import Lengths
from compress.program import Program

Figures = NDArray[np.float64]

_GROUPS_AT = 6  # the position of ``groups`` among the arguments of convolutions, transposed ones too
_FREE = frozenset(
    (
        *("view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "expand", "expand_as", "permute", "alias"),
        *("transpose", "contiguous", "detach", "dropout", "feature_dropout", "clone", "lift_fresh_copy", "to", "chunk"),
        *("select", "slice", "split", "split_with_sizes", "t", "batch_norm", "sym_size", "unbind", "movedim"),
    )
)
"""Operators that a runtime folds away or that only move data: they do not make a kind of layer."""


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer with a weight of its own.

    Attributes:
        weight: name of the parameter; ``name`` of the layer, as reports call it.
        kind: what its time depends on but widths and density, in words.
        depthwise: one input channel for each output channel: then only the latter count.
    """

    name: str
    weight: str
    kind: str
    depthwise: bool


@dataclass(frozen=True)
class _Axis:
    row: int  # of the table of lengths; -1 is the column of ones
    factor: float


class Layers:
    """All layers of a network, in graph order, with their widths for any choice of widths of the prunable groups."""

    def __init__(self, analysis: Analysis) -> None:
        self._lengths = Lengths(analysis.atoms, analysis.prunable)
        trace = analysis.traces[False]
        calls = calls_of(analysis.program)
        around = _Around(analysis, [node for nodes in calls.values() for node in nodes])
        found: list[Layer] = []
        axes: list[tuple[_Axis, _Axis]] = []
        for weight, nodes in calls.items():
            node = nodes[0]
            depthwise = is_depthwise(node, analysis)
            kind = _kind(node, analysis, depthwise, len(nodes))
            found.append(Layer(layer_name(node), weight, kind + around.words(nodes), depthwise))
            channel = -1 if node.target in LINEAR else 1
            made, read = trace.axes(node)[channel], trace.axes(node.args[0])[channel]
            axes.append((self._axis(made), self._axis(read)))
        self.layers = tuple(found)
        self._table = self._lengths.packed()
        self._rows = np.array([[out.row, into.row] for out, into in axes], np.int64).reshape(-1, 2)
        self._factors = np.array([[out.factor, into.factor] for out, into in axes], np.float64).reshape(-1, 2)
        self._factors[[layer.depthwise for layer in found], 1] = 0.0

    def widths(self, choices: NDArray[Any]) -> Figures:
        """Return output and input channels of every layer, of shape (n, layers, 2), for ``choices`` of shape (n,
        groups): atoms kept. The input channels of depthwise layers are given as 1.
        """
        lengths = self._table.evaluated(np.asarray(choices, np.float64))
        found = lengths[:, self._rows] * self._factors
        return np.where(self._factors == 0.0, 1.0, found)

    def _axis(self, axis: Array) -> _Axis:
        return _Axis(self._lengths.row(axis), 1.0) if axis.any() else _Axis(-1, float(axis.size))


def calls_of(program: Program) -> dict[str, list[fx.Node]]:
    """Return the nodes of every layer of the evaluation graph by its weight's name, in graph order."""
    found: dict[str, list[fx.Node]] = {}
    for node in program.graphs[False].nodes:
        name = weight_name(node)
        if name is not None:
            found.setdefault(program.tied.get(name, name), []).append(node)
    return found


def is_depthwise(node: fx.Node, analysis: Analysis) -> bool:
    """Whether every output channel reads one input channel of its own."""
    shape = analysis.program.tensors[str(node.args[1].target)].shape  # type: ignore[union-attr]
    groups = _groups(node)
    return groups > 1 and shape[1] == 1 and shape[0] == groups


def _groups(node: fx.Node) -> int:
    if node.target in LINEAR:
        return 1
    given = node.args[_GROUPS_AT] if len(node.args) > _GROUPS_AT else node.kwargs.get("groups", 1)
    assert isinstance(given, int)
    return given


def _kind(node: fx.Node, analysis: Analysis, depthwise: bool, calls: int) -> str:
    shapes = analysis.running.shapes
    times = f" {calls} times" if calls > 1 else ""
    if node.target in LINEAR:
        return f"linear on {math.prod(shapes[node][:-1])} rows{times}"
    kernel = _by(shapes[node.args[1]][2:])
    strides = _unless_one("stride", node, 3)
    dilation = _unless_one("dilation", node, 7 if node.target in TRANSPOSED else 5)
    groups = _groups(node)
    what = "depthwise " if depthwise else "grouped " if groups > 1 else ""
    what += "transposed " if node.target in TRANSPOSED else ""
    where = f"{_by(shapes[node.args[0]][2:])} to {_by(shapes[node][2:])}"
    return f"{what}convolution {kernel}{strides}{dilation} on {where}{times}"


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes)) or "1"


def _unless_one(name: str, node: fx.Node, position: int) -> str:
    """An argument of a convolution in words, where it is not 1 in all directions."""
    given = node.args[position] if len(node.args) > position else node.kwargs.get(name, 1)
    sizes: Any = given if isinstance(given, list | tuple) else [given]
    return "" if all(size == 1 for size in sizes) else f" {name} {_by(sizes)}"


class _Around:
    """Which operators without weights belong to each layer, and which come straight after it."""

    def __init__(self, analysis: Analysis, layers: Sequence[fx.Node]) -> None:
        self._layers = set(layers)
        self._shapes = analysis.running.shapes
        nodes = list(analysis.program.graphs[False].nodes)
        order = {node: at for at, node in enumerate(nodes)}
        reader: dict[fx.Node, fx.Node] = {}
        for node in reversed(nodes):
            ahead = [user if user in self._layers else reader.get(user) for user in node.users]
            nearest = [one for one in ahead if one is not None]
            if nearest:
                reader[node] = min(nearest, key=order.__getitem__)
        follows: dict[fx.Node, fx.Node] = {}
        for node in nodes:
            behind = [one if one in self._layers else follows.get(one) for one in node.all_input_nodes]
            last = [one for one in behind if one is not None]
            if last:
                follows[node] = max(last, key=order.__getitem__)
        self._before: dict[fx.Node, list[str]] = {}
        for node in nodes:
            home = reader.get(node) or follows.get(node)
            if home is not None and node not in self._layers and self._counts(node):
                self._before.setdefault(home, []).append(_operator(node))

    def words(self, calls: Sequence[fx.Node]) -> str:
        """Return what goes with a layer: `` with add, relu; into relu``."""
        own = Counter(name for call in calls for name in self._before.get(call, []))
        after = sorted({name for call in calls for name in self._after(call)})
        with_words = f" with {', '.join(_times(name, count) for name, count in sorted(own.items()))}" if own else ""
        return with_words + (f"; into {', '.join(after)}" if after else "")

    def _after(self, call: fx.Node) -> list[str]:
        """Operators that read the layer's output, past those that are free."""
        waiting, found = list(call.users), []
        while waiting:
            user = waiting.pop()
            if user in self._layers or user.op == "output":
                continue
            if self._counts(user):
                found.append(_operator(user))
            else:
                waiting += list(user.users)
        return found

    def _counts(self, node: fx.Node) -> bool:
        is_tensor = isinstance(self._shapes.get(node), tuple | list)
        return node.op == "call_function" and is_tensor and bool(_operator(node)) and _operator(node) not in _FREE


def _operator(node: fx.Node) -> str:
    """The operator's plain name, in place or not; none for what is not an operator on tensors."""
    return str(node.target).split(".")[1].rstrip("_") if isinstance(node.target, torch._ops.OpOverload) else ""


def _times(name: str, count: int) -> str:
    return name if count == 1 else f"{count} {name}"
