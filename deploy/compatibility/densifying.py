"""The dense twin of a file with this project's sparse operators: the same function in ONNX's own operators.

How weights are stored: ``values`` holds blocks of ``block`` rows, and ``mask`` has a bit for each (block of rows,
column), row-major, the lowest bit of a byte first; one that is set says that the next ``block`` values are its.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from compress.errors import InputError
from compress.operators import DOMAIN

Array = np.ndarray[Any, np.dtype[Any]]


def has_sparse_operators(model: onnx.ModelProto) -> bool:
    """Whether some node of the graph is of the domain ``compress.sparse``."""
    return any(node.domain == DOMAIN for node in model.graph.node)


def densified(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of ``model`` with Conv, MatMul, Add and Clip in the place of sparse operators.

    Raises:
        InputError: a sparse operator's weights are not in the file, or it is of a kind that is not known.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in copy.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(copy.graph.node):
        if node.domain != DOMAIN:
            nodes.append(node)
            continue
        made, constants = _Layer(node, weights, f"{node.output[0]}.dense{index}").write()
        nodes += made
        copy.graph.initializer.extend(constants)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    used = {name for node in copy.graph.node for name in node.input}
    kept = [tensor for tensor in copy.graph.initializer if tensor.name in used]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    opsets = [entry for entry in copy.opset_import if entry.domain != DOMAIN]
    del copy.opset_import[:]
    copy.opset_import.extend(opsets)
    return copy


class _Layer:
    def __init__(self, node: onnx.NodeProto, weights: dict[str, onnx.TensorProto], stem: str) -> None:
        self.node = node
        self.stem = stem
        self.attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        missing = [name for name in node.input[1:3] if name not in weights]
        if missing or node.op_type not in ("SparseConv", "SparseMatMul"):
            raise InputError(f"sparse operator {node.op_type} {node.name!r} cannot be read", hint="export it again")
        self.values, self.mask = (numpy_helper.to_array(weights[name]) for name in node.input[1:3])

    def write(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Return the nodes and their constants."""
        bias, residual = (self.node.input[i] if len(self.node.input) > i else "" for i in (3, 4))
        convolution = self.node.op_type == "SparseConv"
        weight = self._convolution_weight() if convolution else np.ascontiguousarray(self._matrix().T)
        constants = [numpy_helper.from_array(weight, f"{self.stem}.weight")]
        inputs = [self.node.input[0], constants[0].name]
        if convolution:
            first = helper.make_node("Conv", [*inputs, bias] if bias else inputs, [], **self._geometry())
        else:
            first = helper.make_node("MatMul", inputs, [])
        nodes = [first]
        added = [name for name in ("" if convolution else bias, residual) if name]
        nodes += [helper.make_node("Add", ["", name], []) for name in added]
        if "low" in self.attributes or "high" in self.attributes:
            nodes.append(helper.make_node("Clip", ["", *self._bounds(constants)], []))
        for index, node in enumerate(nodes):
            node.name = f"{self.node.name or self.stem}{'' if index == 0 else f'.{index}'}"
            node.output.append(self.node.output[0] if index == len(nodes) - 1 else f"{self.stem}.{index}")
            if index:
                node.input[0] = nodes[index - 1].output[0]
        return nodes, constants

    def _matrix(self) -> Array:
        """The weight as (features, columns)."""
        block, rows = int(self.attributes.get("block", 1)), int(self.attributes["features"])
        groups = -(-rows // block)
        columns = self._columns()
        bits = np.unpackbits(self.mask, count=groups * columns, bitorder="little").astype(bool)
        blocks = np.zeros((groups, columns, block), self.values.dtype)
        blocks[bits.reshape(groups, columns)] = self.values.reshape(-1, block)
        return blocks.transpose(0, 2, 1).reshape(groups * block, columns)[:rows]

    def _columns(self) -> int:
        if self.node.op_type == "SparseMatMul":
            return int(self.attributes["columns"])
        channels, group = int(self.attributes["channels"]), int(self.attributes.get("group", 1))
        return channels // group * int(self.attributes["kernel_h"]) * int(self.attributes["kernel_w"])

    def _convolution_weight(self) -> Array:
        height, width = int(self.attributes["kernel_h"]), int(self.attributes["kernel_w"])
        return np.ascontiguousarray(self._matrix().reshape(int(self.attributes["features"]), -1, height, width))

    def _geometry(self) -> dict[str, Any]:
        def of(*names: str, otherwise: int) -> list[int]:
            return [int(self.attributes.get(name, otherwise)) for name in names]

        return {
            "group": int(self.attributes.get("group", 1)),
            "kernel_shape": of("kernel_h", "kernel_w", otherwise=1),
            "strides": of("stride_h", "stride_w", otherwise=1),
            "dilations": of("dilation_h", "dilation_w", otherwise=1),
            "pads": of("pad_top", "pad_left", "pad_bottom", "pad_right", otherwise=0),
        }

    def _bounds(self, constants: list[onnx.TensorProto]) -> list[str]:
        names = []
        for end in ("low", "high"):
            names.append(f"{self.stem}.{end}" if end in self.attributes else "")
            if names[-1]:
                value = np.array(self.attributes[end], np.float32)
                constants.append(numpy_helper.from_array(value, names[-1]))
        return names if names[-1] else names[:1]


def unpack_initializers(model: onnx.ModelProto) -> None:
    """Make the sparse initializers of ``model`` dense ones, in place: ONNX's tools cannot work with them."""
    for sparse in model.graph.sparse_initializer:
        values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        array = np.zeros(tuple(sparse.dims), values.dtype)
        # Places are those in the flattened tensor, or one row of indices for each value.
        array[tuple(places.T) if places.ndim == 2 else np.unravel_index(places, array.shape)] = values
        model.graph.initializer.append(numpy_helper.from_array(array, sparse.values.name))
    del model.graph.sparse_initializer[:]
