"""A float16 graph written in float32, with every inner value rounded to float16 as a GPU would store it.

ONNX Runtime's CPU provider has few float16 kernels and drops the roundings between the operators that it runs in
float32 instead (measured: ``x + 10000 - 10000`` came back exact). Running the float16 file there says too little.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def rounded_twin(half: onnx.ModelProto) -> onnx.ModelProto:
    """Return the twin of a converted model: the same names and inputs, float32 arithmetic on float16 values."""
    twin = onnx.ModelProto()
    twin.CopyFrom(half)
    halves = {item.name for item in half.graph.initializer if item.data_type == TensorProto.FLOAT16}
    for value in half.graph.value_info:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            halves.add(value.name)
    for item in twin.graph.initializer:
        if item.name in halves:
            item.CopyFrom(_single(item))
    nodes = [made for node in half.graph.node for made in _rounded(node, halves)]
    del twin.graph.node[:]
    del twin.graph.value_info[:]
    twin.graph.node.extend(nodes)
    return twin


def _rounded(node: onnx.NodeProto, halves: set[str]) -> Iterator[onnx.NodeProto]:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    for attribute in made.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == TensorProto.FLOAT16:
            attribute.t.CopyFrom(_single(attribute.t))
        if node.op_type == "Cast" and attribute.name == "to" and node.output[0] in halves:
            attribute.i = TensorProto.FLOAT
    rounded = [index for index, name in enumerate(node.output) if name in halves]
    for index in rounded:
        made.output[index] = f"{node.output[index]}:exact"
    yield made
    for index in rounded:
        name = node.output[index]
        yield helper.make_node("Cast", [f"{name}:exact"], [f"{name}:half"], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [f"{name}:half"], [name], to=TensorProto.FLOAT)


def _single(tensor: TensorProto) -> TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
