"""What the evaluation graph is rewritten to before it goes to torch's ONNX exporter. The function stays the same.

- Attention is written out. The exporter refuses operands that are not of rank 4 (windows in groups), and where there
  is a mask it decomposes the operator to another memory layout than that with which it traced the views that follow.
- Activations in place become plain ones where nothing else can see the memory: the exporter's own functionalisation
  traces each of them with symbolic sizes, which takes most of its time on mobile networks.
- Einsum equations are spelled in small letters: TensorRT takes no others.
"""

from __future__ import annotations

import math
import string
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from compress import Program

_aten = torch.ops.aten
_ATTENTION = _aten.scaled_dot_product_attention.default
_IN_PLACE = frozenset(
    ("relu_", "relu6_", "hardswish_", "hardsigmoid_", "hardtanh_", "silu_", "sigmoid_", "tanh_", "elu_", "leaky_relu_")
)
# Their results are memory of their own. Not every other operator that shares memory declares it: dropout does not.
_OWN_MEMORY = _IN_PLACE | frozenset(
    ("conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear", "batch_norm", "layer_norm", "group_norm")
)


def export_rewritten(program: Program) -> ExportedProgram:
    """Return the evaluation graph, exported anew over the same weights, in a form that the exporter can take."""
    copied = program.rebuilt(program.tensors, program.graphs)
    _act_out_of_place(copied.graphs[False])
    exported = copied.export_program()
    _write_out_attention(exported.graph)
    _spell_small(exported.graph)
    exported.graph.lint()
    exported.graph_module.recompile()
    return exported


def _write_out_attention(graph: fx.Graph) -> None:
    for node in [node for node in graph.nodes if node.target is _ATTENTION]:
        with graph.inserting_before(node):
            result = _written_out(graph, _arguments(node))
        result.meta.update(node.meta)
        node.replace_all_uses_with(result)
        graph.erase_node(node)
    for node in graph.nodes:
        if node.target is _aten.view.default:  # legal on the layout that the operator had left behind
            node.target = _aten.reshape.default


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Every argument by name, defaults filled in."""
    schema = _ATTENTION._schema.arguments
    given = dict(zip((argument.name for argument in schema), node.args, strict=False)) | dict(node.kwargs)
    return {argument.name: given.get(argument.name, argument.default_value) for argument in schema}


def _written_out(graph: fx.Graph, arguments: dict[str, Any]) -> fx.Node:
    """``softmax(scale * Q K^T + mask) V``; rows in which a boolean mask allows nothing give 0, as torch has it."""
    query, key, value, mask = (arguments[name] for name in ("query", "key", "value", "attn_mask"))
    wide, long = query.meta["val"], key.meta["val"]

    def call(operator: Any, *args: Any, **kwargs: Any) -> fx.Node:
        return graph.call_function(operator, args, kwargs)

    scale = arguments["scale"] if arguments["scale"] is not None else 1.0 / math.sqrt(wide.shape[-1])
    if arguments["enable_gqa"]:
        times = wide.shape[-3] // long.shape[-3]
        key, value = (call(_aten.repeat_interleave.self_int, part, times, -3) for part in (key, value))
    logits = call(_aten.matmul.default, call(_aten.mul.Tensor, query, scale), call(_aten.transpose.int, key, -2, -1))
    if arguments["is_causal"]:
        allowed = call(_aten.ones.default, [wide.shape[-2], long.shape[-2]], dtype=torch.bool)
        mask = call(_aten.tril.default, allowed)
    elif mask is None:
        return call(_aten.matmul.default, call(_aten.softmax.int, logits, -1), value)
    elif mask.meta["val"].is_floating_point():
        logits = call(_aten.add.Tensor, logits, mask)
        return call(_aten.matmul.default, call(_aten.softmax.int, logits, -1), value)
    left_out = call(_aten.logical_not.default, mask)
    logits = call(_aten.masked_fill.Scalar, logits, left_out, float("-inf"))
    return call(_aten.matmul.default, call(_aten._safe_softmax.default, logits, -1), value)


def _spell_small(graph: fx.Graph) -> None:
    for node in graph.nodes:
        if _name(node) != "einsum":
            continue
        equation = str(node.args[0])
        letters = sorted({letter for letter in equation if letter.isalpha()})  # an implicit result is in this order
        if len(letters) <= len(string.ascii_lowercase):
            small = str.maketrans(dict(zip(letters, string.ascii_lowercase, strict=False)))
            node.update_arg(0, equation.translate(small))


def _act_out_of_place(graph: fx.Graph) -> None:
    """Where the activation is the first to use a result that has memory of its own, nobody sees the difference."""
    order = {node: at for at, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if _name(node) not in _IN_PLACE or _name(node.args[0]) not in _OWN_MEMORY:
            continue
        overwritten = node.args[0]
        if min(overwritten.users, key=order.__getitem__) is node:
            node.target = getattr(getattr(_aten, _name(node)[:-1]), node.target._overloadname)
            overwritten.replace_all_uses_with(node, delete_user_cb=lambda user, node=node: user is not node)


def _name(node: fx.Node) -> str:
    return node.target._schema.name.removeprefix("aten::") if isinstance(node.target, torch._ops.OpOverload) else ""
