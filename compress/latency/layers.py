"""The layers of a network as a runtime meets them: what kind each is, and its widths for any choice of the groups'.

A layer's kind says everything that its time depends on but widths and density. Operators without weights belong to a
layer, too: to the first that reads what they give, or where none does, to the one that they follow. So what they take
is a function of that layer's widths, whatever a runtime fuses them into.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.counting import LINEAR, TRANSPOSED, layer_name, weight_name
from compress.latency.around import Around
from compress.lengths import Lengths
from compress.program import Program
from compress.sparsity.layers import DEPTHWISE, LAST, maskable_layers

Figures = NDArray[np.float64]

_GROUPS_AT = 6  # the position of ``groups`` among the arguments of convolutions, transposed ones too


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
    """All layers of a network, in graph order, with their widths for any choice of widths of the prunable groups.

    Args:
        analysis: of the dense network.
        sparse: whether weights may have zeros.

    Attributes:
        layers: in graph order.
        with_density: names of the weights that have a density of their own: all that a search masks (not those of
            depthwise and last layers) where weights may have zeros.
    """

    def __init__(self, analysis: Analysis, *, sparse: bool = False) -> None:
        self._lengths = Lengths(analysis.atoms, analysis.prunable)
        trace = analysis.traces[False]
        calls = calls_of(analysis.program)
        around = Around(analysis, [node for nodes in calls.values() for node in nodes])
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
        self.with_density = layers_with_density(analysis) if sparse else ()
        self._source = self._sources({nodes[0]: at for at, nodes in enumerate(calls.values())}, around)
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

    def points(self, choices: NDArray[Any], densities: NDArray[Any] | None = None) -> Figures:
        """Return output channels, input channels and density of every layer, of shape (n, layers, 3).

        A layer without a density of its own has that of the layer it reads: runtimes lay pictures out for both alike.

        Args:
            choices: atoms kept, of shape (n, groups).
            densities: of shape (n, layers with a density); None where nothing is zero.
        """
        widths = self.widths(choices)
        known = np.ones((len(widths), len(self.with_density) + 1))
        if densities is not None:
            known[:, :-1] = densities
        return np.concatenate([widths, known[:, self._source, None]], axis=2)

    def _sources(self, places: Mapping[fx.Node, int], around: Around) -> NDArray[np.int64]:
        """For each layer the place of its density; the last, which is 1, where there is none."""
        own = {name: at for at, name in enumerate(self.with_density)}
        found = np.full(len(self.layers), len(own), np.int64)
        for node, at in places.items():
            before = around.read_by(node)
            if self.layers[at].weight in own:
                found[at] = own[self.layers[at].weight]
            elif own and before is not None and before in places:
                found[at] = found[places[before]]
        return found

    def _axis(self, axis: Array) -> _Axis:
        return _Axis(self._lengths.row(axis), 1.0) if axis.any() else _Axis(-1, float(axis.size))


def layers_with_density(analysis: Analysis) -> tuple[str, ...]:
    """Return the weights that a search masks: those of depthwise and last layers stay dense."""
    return tuple(layer.weight for layer in maskable_layers(analysis.program) if layer.part not in (DEPTHWISE, LAST))


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
