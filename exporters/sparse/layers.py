"""Find in an ONNX graph what can become a sparse operator, with the operators behind it that go into it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from compress.operators import DOMAIN

Array = np.ndarray[Any, np.dtype[Any]]

KINDS = ("Conv", "Gemm", "MatMul")


class UnfitError(Exception):
    """Why a node cannot become a sparse operator, in a few words."""


@dataclass
class Layer:
    """A convolution or matrix product with constant weights, and the nodes that its sparse operator replaces.

    Attributes:
        nodes: the node itself and those behind it that the operator takes over, in order.
        matrix: the weight as (features, columns), float32.
        attributes: of the operator, but ``block``.
        rows_in_group: rows of each group of channels; None where there is one group.
        bias: one value for each feature.
        residual: what is added before the clamp.
    """

    nodes: list[ir.Node]
    matrix: Array
    attributes: dict[str, int | float]
    rows_in_group: int | None = None
    bias: Array | None = None
    residual: ir.Value | None = None
    fused: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of its node, or of what that gives where it has none."""
        return name_of(self.nodes[0])

    @property
    def x(self) -> ir.Value:
        """Its input."""
        return _present(self.nodes[0], 0)

    @property
    def operator(self) -> str:
        """``SparseConv`` or ``SparseMatMul``."""
        return "SparseConv" if self.nodes[0].op_type == "Conv" else "SparseMatMul"

    @property
    def output(self) -> ir.Value:
        """The value that the last of its nodes gives."""
        return self.nodes[-1].outputs[0]

    @property
    def zeros(self) -> float:
        """The share of zeros in the weight."""
        return 1.0 - float(np.count_nonzero(self.matrix)) / self.matrix.size

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel; 1 by 1 for matrix products."""
        return int(self.attributes.get("kernel_h", 1)), int(self.attributes.get("kernel_w", 1))


def find(model: ir.Model) -> Iterator[tuple[ir.Node, Layer | str]]:
    """Yield each convolution and matrix product as a layer, or with the reason why it cannot be one."""
    for node in list(model.graph):
        if node.op_type not in KINDS or node.domain not in ("", "ai.onnx"):
            continue
        try:
            yield node, _convolution(node) if node.op_type == "Conv" else _product(node)
        except UnfitError as reason:
            yield node, str(reason)


def extend(layer: Layer, taken: set[ir.Node]) -> None:
    """Take what is added to the layer's output, and the clamp behind it, into the layer, and note it in ``taken``."""
    while (user := only_user(layer.output)) is not None and user not in taken and _absorbed(layer, user):
        layer.nodes.append(user)
        layer.fused.append(user.op_type)
        if "low" in layer.attributes or "high" in layer.attributes:
            break
    taken.update(layer.nodes)


def name_all(model: ir.Model) -> None:
    """Give every convolution and product a name of its own: profiles and reports tell layers by their names."""
    taken = {node.name for node in model.graph if node.op_type not in KINDS}
    for node in (node for node in model.graph if node.op_type in KINDS):
        names = (f"{name_of(node)}{end}" for end in itertools.chain([""], (f"_{n}" for n in itertools.count(1))))
        node.name = next(name for name in names if name not in taken)
        taken.add(node.name)


def name_of(node: ir.Node) -> str:
    """Return the node's name, or that of its first output where it has none."""
    return node.name or str(node.outputs[0].name)


def constant(value: ir.Value | None) -> Array | None:
    """Return what ``value`` always is, or None. A graph input with a default value may be anything."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def replace(model: ir.Model, layer: Layer, values: Array, mask: Array, block: int) -> ir.Node:
    """Put the sparse operator in the place of the layer's nodes, with its weight in ``values`` and ``mask``."""
    graph, weight = model.graph, layer.nodes[0].inputs[1]
    stem = str(weight.name if weight is not None else layer.name)
    inputs: list[ir.Value | None] = [
        layer.x,
        *(store(graph, f"{stem}.{k}", v) for k, v in (("values", values), ("mask", mask))),
    ]
    inputs.append(None if layer.bias is None else store(graph, f"{stem}.bias", layer.bias))
    inputs.append(layer.residual)
    while inputs[-1] is None:
        inputs.pop()
    node = ir.node(
        layer.operator, inputs, {**layer.attributes, "block": block}, domain=DOMAIN, name=layer.nodes[0].name
    )
    node.metadata_props.update(layer.nodes[0].metadata_props)
    last, made = layer.output, node.outputs[0]
    made.name, made.shape, made.type = last.name, last.shape, last.type
    graph.insert_before(layer.nodes[-1], node)
    ir.convenience.replace_all_uses_with(last, made, replace_graph_outputs=True)
    graph.remove(reversed(layer.nodes), safe=True)
    return node


def store(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Return a new initializer of the graph, called ``name`` or nearly so."""
    number, free = 0, name
    while free in graph.initializers:
        number += 1
        free = f"{name}_{number}"
    value = ir.Value(name=free, const_value=ir.tensor(array, name=free), shape=ir.Shape(array.shape))
    value.dtype = ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value


def _weight(node: ir.Node, index: int, rank: int) -> Array:
    array = constant(node.inputs[index]) if len(node.inputs) > index else None
    if array is None:
        raise UnfitError("its weight is computed, or an input")
    if array.dtype != np.float32:
        raise UnfitError(f"its weight is {array.dtype}, the operators compute in float32")
    if array.ndim != rank:
        raise UnfitError(f"its weight has {array.ndim} axes, not {rank}")
    if not array.size or not np.isfinite(array).all():
        raise UnfitError("its weight is empty or not finite")
    return array


def _convolution(node: ir.Node) -> Layer:
    if (
        len(node.inputs) > 1
        and node.inputs[1] is not None
        and node.inputs[1].shape is not None
        and len(node.inputs[1].shape) == 3
    ):
        raise UnfitError("one-dimensional")
    weight = _weight(node, 1, 4)
    features, group_channels, height, width = weight.shape
    group = _integer(node, "group", 1)
    strides, dilations = _integers(node, "strides", [1, 1]), _integers(node, "dilations", [1, 1])
    pads = _pads(node, (height, width), strides, dilations)
    if features % group:
        raise UnfitError("its features are not a multiple of its groups")
    sizes = {
        "channels": group_channels * group,
        "features": features,
        "group": group,
        "kernel_h": height,
        "kernel_w": width,
    }
    rest = zip(("stride_h", "stride_w", "dilation_h", "dilation_w"), (*strides, *dilations), strict=True)
    around = zip(("pad_top", "pad_left", "pad_bottom", "pad_right"), pads, strict=True)
    plain = {"group": 1, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1}
    attributes = {**sizes, **dict(rest), **{name: pad for name, pad in around if pad}}
    layer = Layer(
        nodes=[node],
        matrix=weight.reshape(features, -1),
        attributes={name: size for name, size in attributes.items() if plain.get(name) != size},
        rows_in_group=features // group if group > 1 else None,
    )
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        layer.bias = _bias(constant(node.inputs[2]), features)
    return layer


def _pads(node: ir.Node, kernel: tuple[int, int], strides: list[int], dilations: list[int]) -> list[int]:
    """Return (top, left, bottom, right)."""
    automatic = node.attributes.get("auto_pad")
    how = automatic.as_string() if automatic is not None else "NOTSET"
    if how == "VALID":
        return [0, 0, 0, 0]
    if how == "NOTSET":
        pads = _integers(node, "pads", [0, 0, 0, 0])
        if min(pads) < 0:
            raise UnfitError("it crops (negative padding)")
        return pads
    shape = _present(node, 0).shape
    before, after = [], []
    for axis in (0, 1):
        size = shape[axis + 2] if shape is not None and len(shape) == 4 else None
        if not isinstance(size, int):
            raise UnfitError("its padding depends on a size that is not known")
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        total = max(0, (math.ceil(size / strides[axis]) - 1) * strides[axis] + reach - size)
        before.append(total // 2 if how == "SAME_UPPER" else total - total // 2)
        after.append(total - before[-1])
    return [*before, *after]


def _product(node: ir.Node) -> Layer:
    if node.op_type == "MatMul":
        if constant(node.inputs[1]) is None and constant(node.inputs[0]) is not None:
            raise UnfitError("its constant is on the left")
        matrix, bias = _weight(node, 1, 2).T, None
    else:
        if _integer(node, "transA", 0):
            raise UnfitError("its input is transposed")
        weight = _weight(node, 1, 2) * np.float32(_real(node, "alpha", 1.0))
        matrix, bias = weight if _integer(node, "transB", 0) else weight.T, None
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            added = constant(node.inputs[2])
            beta = np.float32(_real(node, "beta", 1.0))
            bias = _bias(None if added is None else added * beta, len(matrix))
    features, columns = matrix.shape
    attributes: dict[str, int | float] = {"features": features, "columns": columns}
    return Layer([node], np.ascontiguousarray(matrix), attributes, bias=bias)


def _bias(array: Array | None, features: int) -> Array:
    if array is None:
        raise UnfitError("its bias is computed, or an input")
    if array.dtype != np.float32 or array.size not in (1, features) or array.shape[-1:] not in ((), (1,), (features,)):
        raise UnfitError(f"its bias has the shape {array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (features,)))


def _absorbed(layer: Layer, user: ir.Node) -> bool:
    """Whether ``user``, the only one of the layer's output, has become a part of it."""
    if user.domain not in ("", "ai.onnx") or user.graph is not layer.nodes[0].graph:
        return False
    if user.op_type == "Relu":
        layer.attributes["low"] = 0.0
        return True
    if user.op_type == "Clip":
        bounds = _bounds(user)
        layer.attributes.update(bounds)
        return bool(bounds)
    if user.op_type != "Add" or layer.residual is not None:
        return False
    other = next((value for value in user.inputs if value is not layer.output), None)
    if other is None:
        return False
    added = constant(other)
    if added is not None:
        return _absorbed_bias(layer, added)
    if not _same_shape(layer.output, other) or not _same_shape(layer.output, user.outputs[0]):
        return False
    layer.residual = other
    return True


def _absorbed_bias(layer: Layer, added: Array) -> bool:
    features = len(layer.matrix)
    axis = -3 if layer.operator == "SparseConv" else -1
    fits = added.dtype == np.float32 and added.ndim >= -axis and added.shape[axis] == added.size == features
    if fits and added.ndim <= len(layer.output.shape or ()):
        flat = np.ascontiguousarray(added.reshape(-1))
        layer.bias = flat if layer.bias is None else layer.bias + flat
        return True
    return False


def _bounds(node: ir.Node) -> dict[str, float]:
    """Return the operator's ``low`` and ``high`` for a Clip; none where one of them is computed or they cross."""
    found: dict[str, float] = {}
    for index, (name, old) in enumerate((("low", "min"), ("high", "max")), start=1):
        value = node.inputs[index] if len(node.inputs) > index else None
        bound = constant(value)
        if value is not None and (bound is None or bound.size != 1):
            return {}
        if bound is not None:
            found[name] = float(bound.reshape(()))
        elif old in node.attributes:
            found[name] = _real(node, old, 0.0)
    if any(math.isnan(bound) for bound in found.values()):
        return {}
    return {} if found.get("low", -math.inf) > found.get("high", math.inf) else found


def _same_shape(one: ir.Value, other: ir.Value) -> bool:
    """Whether both have the same known shape; dynamic axes are the same where they have the same name."""
    if one.shape is None or other.shape is None or one.dtype != other.dtype:
        return False
    named = [isinstance(size, int) or size.value is not None for size in (*one.shape, *other.shape)]
    return all(named) and list(one.shape) == list(other.shape)


def only_user(value: ir.Value) -> ir.Node | None:
    """Return the one node that reads ``value``, where there is one and nothing else needs it."""
    uses = value.uses()
    users = {user for user, _ in uses}
    return next(iter(users)) if len(uses) == 1 and not value.is_graph_output() else None


def _present(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    if value is None:
        raise UnfitError("an input is missing")
    return value


def _integer(node: ir.Node, name: str, otherwise: int) -> int:
    found = node.attributes.get(name)
    return otherwise if found is None else found.as_int()


def _integers(node: ir.Node, name: str, otherwise: list[int]) -> list[int]:
    found = node.attributes.get(name)
    return otherwise if found is None else list(found.as_ints())


def _real(node: ir.Node, name: str, otherwise: float) -> float:
    found = node.attributes.get(name)
    return otherwise if found is None else found.as_float()
