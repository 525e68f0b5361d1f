"""Which channels of an ONNX file are one width, and the file with other widths: to try a change before it is made.

Widths that grow are filled up with zeros, so that the function stays the same; widths that shrink lose their last
channels, which is enough to measure time. A width runs through convolutions (their inputs and outputs), what is
element-wise, and what pools; where it meets anything else it is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.why import costs
from deploy.why.graph import Graph, attribute, is_sparse, key

if TYPE_CHECKING:
    import onnx

_ALIKE = frozenset(
    [
        "Abs",
        "AveragePool",
        "Cast",
        "Clip",
        "Dropout",
        "Elu",
        "Erf",
        "Exp",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "MaxPool",
        "Neg",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Sqrt",
        "Tanh",
    ]
)
"""Their output has the channels of their first input."""
_JOINING = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "Max", "Min"})
_FLATTENING = frozenset({"Flatten", "Reshape", "Squeeze"})
_NORMS = frozenset({"BatchNormalization", "InstanceNormalization"})

Place = tuple[str, int]
"""A tensor and its dimension."""


@dataclass
class Width:
    """One number of channels, wherever it occurs. ``weights`` are dimensions of constants; ``groups`` are depthwise
    convolutions, which have as many groups; ``shapes`` are reshapes that spell it out; ``makers`` and ``users`` are
    convolutions and products.
    """

    name: str
    size: int
    fixed: bool = False
    weights: list[Place] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    makers: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)


def find(graph: Graph) -> list[Width]:
    """Return every width of the graph's convolutions and products, named after the weight that makes it first."""
    return _Finder(graph).widths()


class _Finder:
    """Union-find over places; a place is a dimension of a value or of a weight."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parent: dict[Place, Place] = {}
        self.fixed: set[Place] = set()
        self.groups: list[tuple[Place, str]] = []
        self.shapes: list[tuple[Place, str]] = []
        self.makers: list[tuple[Place, str]] = []
        self.users: list[tuple[Place, str]] = []
        for node in graph.model.graph.node:
            self._visit(node)
        for value in (*graph.model.graph.input, *graph.model.graph.output):
            self._fix(value.name)

    def widths(self) -> list[Width]:
        fixed = {self._root(place) for place in self.fixed}
        found: dict[Place, Width] = {}
        for place, name in self.makers:
            root = self._root(place)
            if root not in found:
                shape = self.graph.shape(place[0])
                found[root] = Width(place[0], shape[place[1]] if shape else 0, fixed=root in fixed or not shape)
            found[root].makers.append(name)
        for place, name in self.users:
            if (width := found.get(self._root(place))) is not None:
                width.users.append(name)
        for place, name in self.groups:
            if (width := found.get(self._root(place))) is not None:
                width.groups.append(name)
        for place, name in self.shapes:
            if (width := found.get(self._root(place))) is not None:
                width.shapes.append(name)
        for place in self.parent:
            width = found.get(self._root(place))
            if width is None or not self.graph.tensor(place[0]).constant:
                continue
            shape = self.graph.shape(place[0])
            width.weights.append(place)
            width.fixed = width.fixed or shape is None or shape[place[1]] != width.size
        return [width for width in found.values() if width.size]

    def _visit(self, node: onnx.NodeProto) -> None:
        if is_sparse(node):
            self._fix_all(node)
        elif node.op_type == "Conv":
            self._convolution(node)
        elif node.op_type == "Gemm" or node.op_type == "MatMul":
            self._product(node)
        elif node.op_type in _ALIKE and node.domain in ("", "ai.onnx"):
            self._tie((node.input[0], 1), (node.output[0], 1))
        elif node.op_type in _JOINING:
            self._join(node)
        elif node.op_type in _NORMS:
            for name in node.input[1:]:
                self._tie((name, 0), (node.input[0], 1))
            self._tie((node.input[0], 1), (node.output[0], 1))
        elif (node.op_type in _FLATTENING and self._flattens(node)) or self._pools(node):
            self._tie((node.input[0], 1), (node.output[0], 1))
            self.shapes.append(((node.output[0], 1), key(node)))
        elif node.op_type != "Constant":
            self._fix_all(node)

    def _convolution(self, node: onnx.NodeProto) -> None:
        data, weight, output = node.input[0], node.input[1], node.output[0]
        groups, shape = attribute(node, "group", 1), self.graph.shape(weight)
        self._tie((weight, 0), (output, 1))
        if len(node.input) > 2 and node.input[2]:
            self._tie((node.input[2], 0), (output, 1))
        self.makers.append(((weight, 0), key(node)))
        if groups == 1:
            self._tie((weight, 1), (data, 1))
            self.users.append(((weight, 1), key(node)))
        elif shape is not None and shape[1] == 1 and shape[0] == groups:
            self._tie((data, 1), (output, 1))
            self.groups.append(((weight, 0), key(node)))
        else:
            self.fixed |= {(data, 1), (weight, 0)}
        if shape is None or not self.graph.tensor(weight).constant:
            self._fix_all(node)

    def _product(self, node: onnx.NodeProto) -> None:
        data, weight, output = node.input[0], node.input[1], node.output[0]
        rank = len(self.graph.shape(data) or ())
        if not self.graph.tensor(weight).constant or rank != 2 or attribute(node, "transA", 0):
            self._fix_all(node)
            return
        made, read = (0, 1) if attribute(node, "transB", 0) else (1, 0)
        self._tie((weight, made), (output, 1))
        self._tie((weight, read), (data, 1))
        self.makers.append(((weight, made), key(node)))
        self.users.append(((weight, read), key(node)))
        if len(node.input) > 2 and node.input[2]:
            bias = self.graph.shape(node.input[2])
            if bias is not None and len(bias) == 1 and bias[0] > 1:
                self._tie((node.input[2], 0), (output, 1))
            else:
                self._fix(output)

    def _join(self, node: onnx.NodeProto) -> None:
        output = self.graph.shape(node.output[0])
        for name in node.input:
            shape = self.graph.shape(name)
            if shape is None or output is None or len(output) < 2:
                self._fix_all(node)
                return
            place = len(shape) - (len(output) - 1)  # of the channels, counted from the right as in broadcasting
            if place >= 0 and shape[place] == output[1] and output[1] > 1:
                self._tie((name, place), (node.output[0], 1))

    def _flattens(self, node: onnx.NodeProto) -> bool:
        """Whether it only drops dimensions of one element after the channels, to a shape that can be changed."""
        if node.op_type == "Reshape" and not self._is_held(node.input[1]):
            return False
        before, after = self.graph.shape(node.input[0]), self.graph.shape(node.output[0])
        if before is None or after is None or len(before) < 3 or len(after) != 2:
            return False
        return before[:2] == after and math.prod(before[2:]) == 1

    def _is_held(self, name: str) -> bool:
        return any(tensor.name == name for tensor in self.graph.model.graph.initializer)

    def _pools(self, node: onnx.NodeProto) -> bool:
        """Whether it is a mean over the picture alone."""
        before, after = self.graph.shape(node.input[0]) if node.input else None, self.graph.shape(node.output[0])
        if node.op_type not in ("ReduceMean", "ReduceMax") or before is None or after is None:
            return False
        return len(before) > 2 and before[:2] == after[:2] and math.prod(after[2:]) == 1

    def _fix(self, name: str) -> None:
        self.fixed.add((name, 1))

    def _fix_all(self, node: onnx.NodeProto) -> None:
        for name in (*node.input, *node.output):
            self.fixed |= {(name, dimension) for dimension in range(len(self.graph.shape(name) or (0, 0)))}

    def _tie(self, one: Place, other: Place) -> None:
        self.parent[self._root(one)] = self._root(other)

    def _root(self, place: Place) -> Place:
        self.parent.setdefault(place, place)
        while self.parent[place] != place:
            self.parent[place] = self.parent[self.parent[place]]
            place = self.parent[place]
        return place


def resize(graph: Graph, sizes: Mapping[str, int], widths: Sequence[Width]) -> onnx.ModelProto:
    """Return the file with the widths named in ``sizes`` made as large as said there. Its weights are read for that.

    Raises:
        ValueError: a width is fixed.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.value_info[:]
    wanted: dict[str, dict[int, int]] = {}
    groups: dict[str, int] = {}
    shapes: dict[str, int] = {}
    for width in widths:
        if width.name not in sizes:
            continue
        if width.fixed:
            raise ValueError(f"width {width.name} is fixed")
        for name, dimension in width.weights:
            wanted.setdefault(name, {})[dimension] = sizes[width.name]
        groups |= dict.fromkeys(width.groups, sizes[width.name])
        shapes |= dict.fromkeys(width.shapes, sizes[width.name])
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(graph.folder))
            tensor.data_location = tensor.DEFAULT
        if tensor.name in wanted:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(_fitted(array, wanted[tensor.name]), tensor.name))
    for node in model.graph.node:
        if key(node) in groups:
            next(entry for entry in node.attribute if entry.name == "group").i = groups[key(node)]
    _spell_out(model, shapes)
    return model


def each(graph: Graph, sizes: Mapping[str, int], widths: Sequence[Width]) -> dict[str, float]:
    """Return the multiply-accumulates of every node, by :func:`deploy.why.graph.key`, with other widths."""
    factors: dict[str, float] = {}
    for width in widths:
        ratio = sizes.get(width.name, width.size) / width.size
        for name in (*width.makers, *width.users):
            factors[name] = factors.get(name, 1.0) * ratio
    return {key(node): (costs.macs(node, graph) or 0) * factors.get(key(node), 1.0) for node in graph.model.graph.node}


def multiply_adds(graph: Graph, sizes: Mapping[str, int], widths: Sequence[Width]) -> int:
    """Return the file's multiply-accumulates with other widths, without making it."""
    return round(sum(each(graph, sizes, widths).values()))


def _fitted(array: np.ndarray[Any, np.dtype[Any]], sizes: Mapping[int, int]) -> np.ndarray[Any, np.dtype[Any]]:
    """``array`` cut, or filled up with zeros, to ``sizes`` by dimension."""
    cut = array[tuple(slice(0, sizes.get(dimension)) for dimension in range(array.ndim))]
    missing = [(0, sizes.get(dimension, size) - size) for dimension, size in enumerate(cut.shape)]
    return np.ascontiguousarray(np.pad(cut, missing))


def _spell_out(model: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
    """Give reshapes that flatten, by their keys, the numbers of channels that they spell out."""
    from onnx import numpy_helper

    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if key(node) in sizes and node.op_type == "Reshape":
            wanted = numpy_helper.to_array(held[node.input[1]]).copy()
            if wanted[1] > 0:
                wanted[1] = sizes[key(node)]
                node.input[1] = f"{key(node)}:shape"
                model.graph.initializer.append(numpy_helper.from_array(wanted, node.input[1]))
