"""The normalising pass: what a capture leaves implicit is written out, what only guards it is dropped."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from compress.shapes import copy_graph, shapes_of

_aten = torch.ops.aten

_ASSERTIONS = {
    "_assert_tensor_metadata",
    "_assert_async",
    "_assert_scalar",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
    "_functional_assert_async",
}
_WRAPPERS = {"wrap_with_autocast": 4, "wrap_with_set_grad_enabled": 1}


def normalise(graphs: dict[bool, fx.Graph], tensors: dict[str, torch.Tensor]) -> None:
    """Apply every pass to both graphs, in place."""
    for graph in graphs.values():
        drop_assertions(graph)
        reshape_instead_of_view(graph)
        write_out_attention_scale(graph, tensors)
        graph.eliminate_dead_code(is_impure_node=_has_effect)
        graph.lint()


def _has_effect(node: fx.Node) -> bool:
    if node.op in ("placeholder", "output"):
        return True
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def drop_assertions(graph: fx.Graph) -> None:
    """Remove checks on dtype, shape and range: they spell out the sizes that pruning changes."""
    for node in list(graph.nodes):
        name = getattr(node.target, "__name__", str(node.target)).split(".")[0]
        if node.op == "call_function" and name in _ASSERTIONS and not node.users:
            graph.erase_node(node)


def reshape_instead_of_view(graph: fx.Graph) -> None:
    """A view is legal on the memory layout that the capture met. Attention, for one, leaves another layout behind on
    other devices, and in other kernels.
    """
    for node in graph.nodes:
        if node.target is _aten.view.default:
            node.target = _aten.reshape.default


def write_out_attention_scale(graph: fx.Graph, tensors: dict[str, torch.Tensor]) -> None:
    """Give ``scaled_dot_product_attention`` its default scale ``1 / sqrt(head width)`` as a literal.

    Left implicit, removing head width would change the scale and with it the function.
    """
    attention = [node for node in graph.nodes if node.target is _aten.scaled_dot_product_attention.default]
    bare = [node for node in attention if node.kwargs.get("scale") is None]
    if not bare:
        return
    shapes = shapes_of(graph, tensors)
    for node in bare:
        width = shapes[node.args[0]][-1]
        node.kwargs = {**node.kwargs, "scale": 1.0 / math.sqrt(width)}


def inline_wrappers(graph: fx.Graph, module: Any) -> None:
    """Replace higher-order blocks (autocast, grad mode) by their content; what left a block without gradients is
    detached, so that training still stops there.
    """
    for node in list(graph.nodes):
        name = getattr(node.target, "__name__", "")
        if node.op != "call_function" or name not in _WRAPPERS:
            continue
        leading = _WRAPPERS[name]
        body_node, operands = node.args[leading], node.args[leading + 1 :]
        body = getattr(module, body_node.target).graph
        values: dict[fx.Node, Any] = dict(zip([n for n in body.nodes if n.op == "placeholder"], operands, strict=True))
        with graph.inserting_before(node):
            result = graph.graph_copy(body, values)
            if name == "wrap_with_set_grad_enabled" and not node.args[0]:
                result = fx.map_arg(result, lambda value: graph.call_function(_aten.detach.default, (value,)))
        _replace_outputs(node, result)
        graph.erase_node(node)
        if not body_node.users:
            graph.erase_node(body_node)


def _replace_outputs(node: fx.Node, result: Any) -> None:
    if isinstance(result, fx.Node):
        node.replace_all_uses_with(result)
        return
    for user in list(node.users):
        user.replace_all_uses_with(result[user.args[1]])
        user.graph.erase_node(user)


def retype(graph: fx.Graph, source: torch.dtype, target: torch.dtype) -> fx.Graph:
    """Return a copy of ``graph`` in which dtype literals equal to ``source`` read ``target``."""

    def swap(value: Any) -> Any:
        return target if value is source else value

    copied = copy_graph(graph)
    for node in copied.nodes:
        node.args = _map(node.args, swap)
        node.kwargs = _map(node.kwargs, swap)
    return copied


def _map(value: Any, change: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_map(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _map(item, change) for key, item in value.items()}
    return change(value)
