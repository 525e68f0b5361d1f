"""Counting. The rule: multiply-accumulates (MACs) of convolution, linear and recurrent layers and matrix products, at
batch 1 and the stated input size; a bias costs nothing, nor do element-wise operators, normalisation and pooling. A
parameter shared by several names or calls counts once; MACs count for every call. The rule for memory is stated in
:mod:`compress.memory`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from compress.einsum import letters_of, pairwise_products
from compress.memory import peak_memory
from compress.running import Running
from compress.shapes import Shapes

if TYPE_CHECKING:
    from compress.program import Program

_aten = torch.ops.aten

CONVOLUTIONS = {
    _aten.conv1d.default,
    _aten.conv2d.default,
    _aten.conv3d.default,
    _aten.conv2d.padding,
    _aten.conv1d.padding,
    _aten.conv3d.padding,
}
TRANSPOSED = {_aten.conv_transpose1d.default, _aten.conv_transpose2d.input, _aten.conv_transpose3d.input}
LINEAR = {_aten.linear.default}
ADDING_PRODUCTS = {_aten.addmm.default, _aten.baddbmm.default}
PRODUCTS = {_aten.matmul.default, _aten.bmm.default, _aten.mm.default} | ADDING_PRODUCTS
ATTENTION = {_aten.scaled_dot_product_attention.default}
EINSUM = _aten.einsum.default
RECURRENT = {_aten.lstm.input, _aten.gru.input, _aten.rnn_tanh.input, _aten.rnn_relu.input}


@dataclass(frozen=True)
class LayerCount:
    """One operator that multiplies: its layer name, kind, weight shape (None without a weight), the width it produces
    (output channels or features) and figures at batch 1.
    """

    name: str
    kind: str
    weight: str | None
    weight_shape: tuple[int, ...] | None
    width: int
    macs: int
    nonzero_macs: int


@dataclass(frozen=True)
class Count:
    """Figures of a network at batch 1 and ``input_shapes``; ``bytes`` is the size of all stored tensors in memory,
    ``memory`` the peak of the activations' bytes.

    ``macs`` is the dense cost after slicing; ``nonzero_macs`` counts weights that are exactly zero as removed. The two
    are never mixed: zeros make nothing faster by themselves.
    """

    macs: int
    nonzero_macs: int
    params: int
    nonzero_params: int
    bytes: int
    memory: int
    input_shapes: dict[str, tuple[int, ...]]
    layers: tuple[LayerCount, ...]

    def summary(self) -> dict[str, Any]:
        """The figures without the per-layer list, as JSON."""
        return {key: value for key, value in asdict(self).items() if key != "layers"}


def count(program: Program, running: Running | None = None) -> Count:
    """Count ``program``'s evaluation graph at batch 1; ``running`` is what is known of it already."""
    graph, tensors = program.graphs[False], program.tensors
    running = running or Running.of(program)
    shapes = running.shapes
    nonzero = _Nonzero(tensors)
    layers = tuple(layer for node in graph.nodes if (layer := _layer(node, shapes, nonzero)) is not None)
    owned = {name: x for name, x in tensors.items() if name in program.parameter_names and name not in program.tied}
    stored = [tensor for name, tensor in tensors.items() if name not in program.tied]
    return Count(
        macs=sum(layer.macs for layer in layers),
        nonzero_macs=sum(layer.nonzero_macs for layer in layers),
        params=sum(tensor.numel() for tensor in owned.values()),
        nonzero_params=sum(nonzero.count(name) for name in owned),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in stored),
        memory=peak_memory(running.buffers),
        input_shapes={spec.name: spec.shape for spec in program.inputs},
        layers=layers,
    )


class _Nonzero:
    """Counts each tensor's elements that are not zero once: a tensor that tied names share, or several calls, too."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self._counts: dict[int, int] = {}

    def count(self, name: str) -> int:
        tensor = self.tensors[name]
        if id(tensor) not in self._counts:
            self._counts[id(tensor)] = int(torch.count_nonzero(tensor))
        return self._counts[id(tensor)]


def _layer(node: fx.Node, shapes: Shapes, nonzero: _Nonzero) -> LayerCount | None:
    macs = node_macs(node, shapes)
    if macs is None:
        return None
    weight = weight_name(node)
    tensor = nonzero.tensors[weight] if weight is not None else None
    share = 1.0 if weight is None or tensor is None or not tensor.numel() else nonzero.count(weight) / tensor.numel()
    return LayerCount(
        name=layer_name(node),
        kind=str(node.target).split(".")[1],
        weight=weight,
        weight_shape=tuple(tensor.shape) if tensor is not None else None,
        width=_width(node, shapes),
        macs=macs,
        nonzero_macs=round(macs * share),
    )


def _width(node: fx.Node, shapes: Shapes) -> int:
    found = shapes[node][0] if node.target in RECURRENT else shapes[node]
    return int(found[1 if node.target in CONVOLUTIONS | TRANSPOSED else -1])


def einsum_products(node: fx.Node, shapes: Mapping[Any, Any]) -> list[list[Any]]:
    """What each pairwise product of an einsum runs over: for each letter the longest of what ``shapes`` holds there.

    ``shapes`` gives for each operand a sequence with an item for each dimension: a size, or an array of labels.
    """
    equation, operands = node.args[0], node.args[1]
    assert isinstance(equation, str)
    assert isinstance(operands, (list, tuple))
    inputs, output = letters_of(equation, [len(shapes[operand]) for operand in operands])
    longest: dict[str, Any] = {}
    for letters, operand in zip(inputs, operands, strict=True):
        for letter, item in zip(letters, shapes[operand], strict=True):
            if letter not in longest or _length(item) > _length(longest[letter]):
                longest[letter] = item
    return [[longest[letter] for letter in product] for product in pairwise_products(inputs, output)]


def _length(item: Any) -> int:
    return item if isinstance(item, int) else len(item)


def recurrent_matrices(node: fx.Node, shapes: Shapes) -> list[fx.Node]:
    """The weights (not the biases) of a recurrent layer, of every layer and direction."""
    weights: Any = node.args[2]
    return [weight for weight in weights if len(shapes[weight]) == 2]


def layer_name(node: fx.Node) -> str:
    """The module path of the operator's weight where it has one, else where the operator stands, else the node's
    name.
    """
    weight = weight_name(node)
    if weight is not None:
        return weight.rpartition(".")[0] or weight
    return str(node.meta.get("layer") or node.name)


def weight_name(node: fx.Node) -> str | None:
    """The tensor that a convolution or linear operator multiplies with, if it is a stored one."""
    position = 1 if node.target in CONVOLUTIONS | TRANSPOSED | LINEAR else None
    if position is None or len(node.args) <= position:
        return None
    weight = node.args[position]
    return str(weight.target) if isinstance(weight, fx.Node) and weight.op == "get_attr" else None


def node_macs(node: fx.Node, shapes: Shapes) -> int | None:
    """Multiply-accumulates of one operator for the shapes given, or None where it is not counted."""
    if node.op != "call_function":
        return None
    target = node.target
    if target in CONVOLUTIONS:
        return math.prod(shapes[node]) * math.prod(shapes[node.args[1]][1:])
    if target in TRANSPOSED:
        return math.prod(shapes[node.args[0]]) * math.prod(shapes[node.args[1]][1:])
    if target in LINEAR:
        return math.prod(shapes[node]) * shapes[node.args[1]][-1]
    if target in PRODUCTS:
        first = node.args[1] if target in ADDING_PRODUCTS else node.args[0]
        return math.prod(shapes[node]) * shapes[first][-1]
    if target == EINSUM:
        sizes = [math.prod(product) for product in einsum_products(node, shapes)]
        return sum(sizes) if sizes else None
    if target in RECURRENT:
        return math.prod(shapes[node.args[0]][:-1]) * sum(
            math.prod(shapes[w]) for w in recurrent_matrices(node, shapes)
        )
    if target in ATTENTION:
        query, key, value = (shapes[argument] for argument in node.args[:3])
        return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    return None
