"""An ONNX file's graph at the input sizes that were measured: shapes, constants, who makes and who uses a tensor."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.operators import DOMAIN

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
_SMALL = 4096  # bytes: what shape inference reads the values of (sizes, axes, pads) is smaller than that


@dataclass(frozen=True)
class Tensor:
    """A value of the graph: its shape where it is known, bytes of an element, and whether the file holds it."""

    shape: Shape | None
    element: float
    constant: bool

    @property
    def elements(self) -> int | None:
        """How many elements it has, where its shape is known."""
        return None if self.shape is None else math.prod(self.shape)

    @property
    def bytes(self) -> int | None:
        """Its size in memory, where its shape is known."""
        return None if self.elements is None else math.ceil(self.elements * self.element)


@dataclass(frozen=True)
class Graph:
    """A file's top-level graph. Nodes without a name have the one in runtimes' times: ``Conv#3`` is the fourth node."""

    model: onnx.ModelProto
    folder: Path
    tensors: Mapping[str, Tensor]
    nodes: Mapping[str, onnx.NodeProto]
    makers: Mapping[str, onnx.NodeProto]
    users: Mapping[str, Sequence[onnx.NodeProto]]
    outputs: frozenset[str]

    def tensor(self, name: str) -> Tensor:
        """Return what is known of a value."""
        return self.tensors.get(name, Tensor(None, 4.0, constant=False))

    def shape(self, name: str) -> Shape | None:
        """Return a value's shape, or ``None`` where it is not known."""
        return self.tensor(name).shape


def read(path: str | os.PathLike[str], sizes: Mapping[str, Shape]) -> Graph:
    """Read the file, and infer the shape of every value for inputs of ``sizes``.

    Weights in other files stay there. What shape inference cannot tell is unknown.

    Raises:
        InputError: the file's graph contradicts itself.
    """
    import onnx

    file = Path(path)
    model = onnx.load(str(file), load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL and _size(tensor) <= _SMALL:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(file.parent))
            tensor.data_location = tensor.DEFAULT
    try:
        inferred = onnx.shape_inference.infer_shapes(_for_inference(model, sizes), data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise InputError(f"its shapes contradict each other ({error})", where=str(file)) from error
    nodes: dict[str, onnx.NodeProto] = {}
    makers: dict[str, onnx.NodeProto] = {}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        makers |= dict.fromkeys(filter(None, node.output), node)
        for name in dict.fromkeys(filter(None, node.input)):
            users.setdefault(name, []).append(node)
    for position, node in enumerate(model.graph.node):
        nodes[node.name or f"{node.op_type}#{position}"] = node
    tensors = dict(_values(inferred.graph)) | dict(_constants(model.graph))
    outputs = frozenset(value.name for value in model.graph.output)
    return Graph(model, file.parent, tensors, nodes, makers, users, outputs)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute, or ``default`` where the node has none of that name."""
    import onnx

    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def key(node: onnx.NodeProto) -> str:
    """Return what tells a node from all others of its graph, whether or not it has a name: its first output."""
    return next((name for name in node.output if name), "")


def is_sparse(node: onnx.NodeProto) -> bool:
    """Whether the node is one of this project's sparse operators."""
    return node.domain == DOMAIN


def _size(tensor: onnx.TensorProto) -> int:
    return math.ceil(math.prod(tensor.dims) * _element(tensor.data_type))


def _element(kind: int) -> float:
    """Bytes of an element of an ONNX type."""
    import onnx

    name = onnx.TensorProto.DataType.Name(kind)
    if name.endswith("INT4") or name == "FLOAT4E2M1":
        return 0.5
    try:
        return float(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
    except KeyError:  # strings and what has no type
        return 4.0


def _for_inference(model: onnx.ModelProto, sizes: Mapping[str, Shape]) -> onnx.ModelProto:
    """A copy with the inputs' sizes fixed, stale shapes dropped, and dense twins in place of sparse operators."""
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    if not any(is_sparse(node) for node in model.graph.node):
        del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        if value.name in sizes:
            value.type.tensor_type.ClearField("shape")
            for size in sizes[value.name]:
                value.type.tensor_type.shape.dim.add().dim_value = size
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    for tensor in fixed.graph.initializer:
        if _size(tensor) > _SMALL:  # its values tell nothing about shapes
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    for node in fixed.graph.node:
        if is_sparse(node):
            _make_dense(fixed.graph, node)
    return fixed


def _make_dense(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Put the dense operator of the same shapes in place of a sparse one; its weight has a shape and no values."""
    from onnx import TensorProto, helper

    sizes = {name: attribute(node, name, default) for name, default in _SPARSE_DEFAULTS.items()}
    if node.op_type == "SparseConv":
        kernel = [sizes["kernel_h"], sizes["kernel_w"]]
        dims = [sizes["features"], sizes["channels"] // sizes["group"], *kernel]
        settings = {
            "kernel_shape": kernel,
            "group": sizes["group"],
            "strides": [sizes["stride_h"], sizes["stride_w"]],
            "dilations": [sizes["dilation_h"], sizes["dilation_w"]],
            "pads": [sizes[f"pad_{side}"] for side in ("top", "left", "bottom", "right")],
        }
        kind = "Conv"
    else:
        kind, dims, settings = "MatMul", [sizes["channels"], sizes["features"]], {}
    weight = f"{node.output[0]}:dense"
    graph.initializer.append(TensorProto(name=weight, data_type=TensorProto.FLOAT, dims=dims))
    twin = helper.make_node(kind, [node.input[0], weight], list(node.output), name=node.name, **settings)
    node.CopyFrom(twin)


_SPARSE_DEFAULTS = {
    "channels": 1,
    "features": 1,
    "group": 1,
    "kernel_h": 1,
    "kernel_w": 1,
    "stride_h": 1,
    "stride_w": 1,
    "dilation_h": 1,
    "dilation_w": 1,
    "pad_top": 0,
    "pad_left": 0,
    "pad_bottom": 0,
    "pad_right": 0,
}


def _values(graph: onnx.GraphProto) -> Iterator[tuple[str, Tensor]]:
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
        known = kind.HasField("shape") and None not in sizes
        shape = tuple(size for size in sizes if size is not None) if known else None
        yield value.name, Tensor(shape, _element(kind.elem_type), constant=False)


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, Tensor]]:
    for tensor in graph.initializer:
        yield tensor.name, Tensor(tuple(tensor.dims), _element(tensor.data_type), constant=True)
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, Tensor(tuple(sparse.dims), _element(sparse.values.data_type), constant=True)
    for node in graph.node:
        value = next((entry.t for entry in node.attribute if entry.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            yield node.output[0], Tensor(tuple(value.dims), _element(value.data_type), constant=True)
