"""Copies of a model in another floating-point type: to compute it in float64, and to try what a runtime would take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOATS = {
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.FLOAT: "fp32",
    TensorProto.DOUBLE: "fp64",
}
KINDS = {name: kind for kind, name in FLOATS.items()}
_DTYPES: dict[int, Any] = {
    TensorProto.FLOAT16: np.float16,
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
}
# Inputs that are float32 whatever the network computes in: (operator, which input).
_FIXED = {("Resize", 2), ("Upsample", 1)}
_TYPED = ("to", "dtype")  # attributes that hold a tensor type


def retyped(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy of ``model`` in which all floats (weights, constants, casts, ports) are of the type ``name``.

    Args:
        name: ``fp16``, ``fp32`` or ``fp64``. Values beyond float16's range become infinite: what a runtime makes of
            the copy shows whether it takes the type, not that the copy is any good.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _graph(copy.graph, KINDS[name], _fixed(copy.graph))
    for function in copy.functions:
        _nodes(function.node, KINDS[name], set())
    return copy


def float_types(model: onnx.ModelProto) -> set[str]:
    """Return the floating-point types of a model's weights, inputs and outputs, such as ``{"fp16"}``."""
    graph = model.graph
    kinds = {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
    kinds |= {tensor.data_type for tensor in graph.initializer if tensor.dims}
    return {FLOATS[kind] for kind in kinds if kind in FLOATS}


def _fixed(graph: onnx.GraphProto) -> set[str]:
    return {
        node.input[place]
        for node in graph.node
        for kind, place in _FIXED
        if node.op_type == kind and len(node.input) > place and node.input[place]
    }


def _graph(graph: onnx.GraphProto, kind: int, fixed: set[str]) -> None:
    for tensor in graph.initializer:
        if tensor.name not in fixed:
            _tensor(tensor, kind)
    for sparse in graph.sparse_initializer:
        _tensor(sparse.values, kind)
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = kind
    del graph.value_info[:]
    _nodes(graph.node, kind, fixed)


def _nodes(nodes: Iterable[onnx.NodeProto], kind: int, fixed: set[str]) -> None:
    for node in nodes:
        if any(name in fixed for name in node.output):
            continue
        _dtypes(node, kind)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _tensor(attribute.t, kind)
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _graph(inner, kind, fixed | _fixed(inner))


def _dtypes(node: onnx.NodeProto, kind: int) -> None:
    """Retype what a node makes: the target of a cast, and constants written as plain numbers."""
    for attribute in node.attribute:
        if attribute.name in _TYPED and attribute.i in FLOATS:
            attribute.i = kind
    if (
        node.op_type != "Constant"
        or not node.attribute
        or node.attribute[0].name not in ("value_float", "value_floats")
    ):
        return
    written = node.attribute[0]
    numbers = np.array(written.f if written.name == "value_float" else list(written.floats), np.float32)
    tensor = numpy_helper.from_array(numbers)
    node.attribute[0].CopyFrom(helper.make_attribute("value", tensor))


def _tensor(tensor: onnx.TensorProto, kind: int) -> None:
    if tensor.data_type not in FLOATS or tensor.data_type == kind:
        return
    with np.errstate(over="ignore"):
        array = np.asarray(numpy_helper.to_array(tensor)).astype(_DTYPES[kind])
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
