"""Fold batch norms into the convolutions before them, as ONNX Runtime would: a sparse operator hides them from it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from exporters.sparse.layers import Array, constant, only_user, store


def fold_batch_norms(model: ir.Model) -> int:
    """Fold in place, and return how many were folded. A batch norm with computed statistics stays."""
    folded = 0
    for node in list(model.graph):
        if node.op_type != "Conv" or node.domain not in ("", "ai.onnx"):
            continue
        norm = only_user(node.outputs[0])
        if norm is not None and _folds(model.graph, node, norm):
            folded += 1
    return folded


def _folds(graph: ir.Graph, conv: ir.Node, norm: ir.Node) -> bool:
    if norm.op_type != "BatchNormalization" or norm.graph is not graph or norm.inputs[0] is not conv.outputs[0]:
        return False
    training = norm.attributes.get("training_mode")
    if (training is not None and training.as_int()) or any(output.uses() for output in norm.outputs[1:]):
        return False
    weight = constant(conv.inputs[1])
    bias = constant(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] is not None else np.zeros(1, np.float32)
    statistics = [constant(value) for value in norm.inputs[1:]]
    if weight is None or weight.dtype != np.float32 or bias is None or any(array is None for array in statistics):
        return False
    scale, shift, mean, variance = (np.asarray(array, np.float64) for array in statistics)
    epsilon = norm.attributes.get("epsilon")
    factor = scale / np.sqrt(variance + (1e-5 if epsilon is None else epsilon.as_float()))
    new_weight = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
    new_bias = ((bias - mean) * factor + shift).astype(np.float32)
    _apply(graph, conv, norm, new_weight, new_bias)
    return True


def _apply(graph: ir.Graph, conv: ir.Node, norm: ir.Node, weight: Array, bias: Array) -> None:
    weight_value = conv.inputs[1]
    stem = str(weight_value.name if weight_value is not None else conv.name)
    inputs = [conv.inputs[0], store(graph, f"{stem}.folded", weight), store(graph, f"{stem}.folded_bias", bias)]
    made = ir.node("Conv", inputs, {}, name=conv.name, version=conv.version)
    for attribute in conv.attributes.values():
        made.attributes.add(attribute)
    made.metadata_props.update(conv.metadata_props)
    last, output = norm.outputs[0], made.outputs[0]
    output.name, output.shape, output.type = last.name, last.shape, last.type
    graph.insert_before(conv, made)
    ir.convenience.replace_all_uses_with(last, output, replace_graph_outputs=True)
    graph.remove([norm, conv], safe=True)
