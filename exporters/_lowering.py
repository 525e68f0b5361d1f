"""Operators that TensorRT lacks, spelled with operators that every runtime has. The function stays the same.

- ``Col2Im`` (sums overlapping patches back into a picture) is a transposed convolution of each channel by itself, with
  one filter for each place in the patch that is 1 there and 0 elsewhere.
- ``Resize`` with antialiasing is linear, and each axis is by itself: a product with a constant matrix for each axis,
  whose columns are what the operator makes of the unit vectors.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper
from onnx_ir.passes.common import RemoveUnusedNodesPass

from exporters._runtime import Array, Session


def lower(model: ir.Model) -> None:
    """Replace in place what has fixed sizes (all but the batch); leave anything else as it is."""
    for node in list(model.graph):
        lowering = _LOWERINGS.get(node.op_type) if node.domain == "" else None
        result = lowering(model.graph, node) if lowering else None
        if result is not None:
            ir.convenience.replace_nodes_and_values(model.graph, node, [node], [], [node.outputs[0]], [result])
    RemoveUnusedNodesPass()(model)


def _summed_patches(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """``Col2Im`` of [N, C*prod(kernel), places] as ``ConvTranspose`` of [N, C*prod(kernel), *places of each axis]."""
    columns, size, kernel = node.inputs[0], _constant(node.inputs[1]), _constant(node.inputs[2])
    if columns is None or columns.shape is None or size is None or kernel is None:
        return None
    wide, axes = columns.shape[1], len(kernel)
    if not isinstance(wide, int):
        return None
    strides, dilations = (node.attributes.get_ints(name, [1] * axes) for name in ("strides", "dilations"))
    pads = node.attributes.get_ints("pads", [0] * 2 * axes)
    reach = [dilation * (length - 1) + 1 for dilation, length in zip(dilations, kernel, strict=True)]
    room = [length + pads[axis] + pads[axis + axes] - reach[axis] for axis, length in enumerate(size)]
    places = [over // stride + 1 for over, stride in zip(room, strides, strict=True)]
    filters = np.eye(int(np.prod(kernel)), dtype=np.float32).reshape(-1, 1, *kernel)
    groups = wide // len(filters)
    apart = _add(graph, node, "Reshape", [columns, _hold(graph, node, "places", np.array([0, wide, *places]))])
    weight = _hold(graph, node, "filters", np.tile(filters, (groups, 1, *[1] * axes)))
    return _add(
        graph,
        node,
        "ConvTranspose",
        [apart, weight],
        group=groups,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        output_padding=[over % stride for over, stride in zip(room, strides, strict=True)],
    )


def _resized(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    """``Resize`` of [..., H, W] as ``rows [M, H] @ value @ columns [W, N]``."""
    value, shape = node.inputs[0], node.outputs[0].shape
    if not node.attributes.get_int("antialias", 0) or value is None or value.shape is None or shape is None:
        return None
    pairs = list(zip(value.shape, shape, strict=True))
    spatial = [(old, new) for old, new in pairs[-2:] if isinstance(old, int) and isinstance(new, int)]
    # A region of interest, or scales that are not the ratio of the sizes, would have to be told to the small models.
    told = [given for given in node.inputs[1:3] if given is not None]
    if told or len(spatial) < 2 or any(old != new for old, new in pairs[:-2]) or all(old == new for old, new in pairs):
        return None
    rows, columns = (_matrix(node, old, new) for old, new in spatial)
    if rows is not None:
        value = _add(graph, node, "MatMul", [_hold(graph, node, "rows", rows), value])
    if columns is not None:
        value = _add(graph, node, "MatMul", [value, _hold(graph, node, "columns", columns.T)])
    return value


def _matrix(node: ir.Node, old: int, new: int) -> Array | None:
    """What the operator makes of the unit vectors, [new, old]; None where it leaves the axis alone."""
    if old == new:
        return None
    alone = helper.make_node("Resize", ["unit", "", "", "sizes"], ["result"])
    alone.attribute.extend(ir.to_proto(attribute) for attribute in node.attributes.values())
    graph = helper.make_graph(
        [alone],
        "resize",
        [helper.make_tensor_value_info("unit", onnx.TensorProto.FLOAT, [1, 1, old, old])],
        [helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, [1, 1, new, old])],
        [numpy_helper.from_array(np.array([1, 1, new, old]), "sizes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.version or 18)], ir_version=10)
    (result,) = Session(model.SerializeToString()).run({"unit": np.eye(old, dtype=np.float32)[None, None]})
    return result[0, 0]


def _constant(value: ir.Value | None) -> list[int] | None:
    held = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if held is None else [int(number) for number in held.numpy()]


def _hold(graph: ir.Graph, node: ir.Node, what: str, array: Array) -> ir.Value:
    value = ir.Value(name=f"{node.outputs[0].name}_{what}", const_value=ir.tensor(array))
    value.shape, value.dtype = ir.Shape(array.shape), ir.tensor(array).dtype
    graph.register_initializer(value)
    return value


def _add(graph: ir.Graph, before: ir.Node, kind: str, inputs: list[ir.Value | None], **attributes: object) -> ir.Value:
    node = ir.node(kind, inputs, attributes=attributes, metadata_props=dict(before.metadata_props))  # type: ignore[arg-type]
    graph.insert_before(before, node)
    return node.outputs[0]


_LOWERINGS = {"Col2Im": _summed_patches, "Resize": _resized}
