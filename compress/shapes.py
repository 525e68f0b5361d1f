"""Shapes of every value in a graph, found by running it on the meta device (no memory, no arithmetic)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from compress.meta_calls import Execute, call, call_with_storage, run

Shapes = dict[Any, Any]  # by node


def shapes_of(
    graph: fx.Graph,
    tensors: Mapping[str, torch.Tensor],
    inputs: Mapping[str, tuple[tuple[int, ...], torch.dtype]] | None = None,
) -> Shapes:
    """Return for each node the shape of its value: a tuple of ints, or a list of them for several results.

    Nodes whose value is not a tensor (sizes) map to the value itself.

    Args:
        graph: a Program's graph.
        tensors: the Program's tensors by name.
        inputs: shape and dtype per placeholder name; the shapes recorded at capture where None.
    """
    return shapes_in(_executed(graph, tensors, inputs, call))


def shapes_in(values: Mapping[fx.Node, Any]) -> Shapes:
    """Return the shapes of values found by :func:`meta_values`."""
    return {node: _shape(value) for node, value in values.items()}


def meta_values(
    graph: fx.Graph,
    tensors: Mapping[str, torch.Tensor],
    inputs: Mapping[str, tuple[tuple[int, ...], torch.dtype]] | None = None,
) -> dict[fx.Node, Any]:
    """Return for each node its value on the meta device, views sharing their storage; arguments as for
    :func:`shapes_of`.
    """
    return _executed(graph, tensors, inputs, call_with_storage)


def _executed(
    graph: fx.Graph, tensors: Mapping[str, torch.Tensor], inputs: Any, execute: Execute
) -> dict[fx.Node, Any]:
    values: dict[fx.Node, Any] = {}
    if any(_reshapes_in_place(node.target) for node in graph.nodes):
        execute = run
    with torch.no_grad():
        for node in graph.nodes:
            values[node] = _value(node, values, tensors, inputs, execute)
    return values


def _reshapes_in_place(target: Any) -> bool:
    """Operators such as ``squeeze_`` change a value that other nodes hold: what they leave cannot be shared."""
    return isinstance(target, torch._ops.OpOverload) and torch.Tag.inplace_view in target.tags


def _value(
    node: fx.Node, values: dict[fx.Node, Any], tensors: Mapping[str, torch.Tensor], inputs: Any, execute: Execute
) -> Any:
    if node.op == "placeholder":
        shape, dtype = inputs[node.target] if inputs is not None else node.meta["input"]
        return torch.empty(shape, dtype=dtype, device="meta")
    if node.op == "get_attr":
        tensor = tensors[str(node.target)]
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    args = [_filled(item, values) for item in node.args]
    if node.op == "output":
        return args[0]
    return execute(node.target, args, {key: _filled(item, values) for key, item in node.kwargs.items()})


def _filled(value: Any, values: dict[fx.Node, Any]) -> Any:
    """An argument with nodes replaced by their values; literal devices read ``meta``, wherever they stand."""
    if isinstance(value, fx.Node):
        return values[value]
    if isinstance(value, (list, tuple)):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return torch.device("meta") if isinstance(value, torch.device) else value


def _shape(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return [_shape(item) for item in value]
    return value


def copy_graph(graph: fx.Graph) -> fx.Graph:
    """Return an independent copy of ``graph``, metadata included."""
    copied = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    copied.output(copied.graph_copy(graph, values))
    for old, new in values.items():
        new.meta = dict(old.meta)
    return copied
