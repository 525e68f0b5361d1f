"""Shapes of every value in a graph, found by running it on the meta device (no memory, no arithmetic)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

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
    return shapes_in(meta_values(graph, tensors, inputs))


def shapes_in(values: Mapping[fx.Node, Any]) -> Shapes:
    """Return the shapes of values found by :func:`meta_values`."""
    return {node: _shape(value) for node, value in values.items()}


def meta_values(
    graph: fx.Graph,
    tensors: Mapping[str, torch.Tensor],
    inputs: Mapping[str, tuple[tuple[int, ...], torch.dtype]] | None = None,
) -> dict[fx.Node, Any]:
    """Return for each node its value on the meta device; arguments as for :func:`shapes_of`."""
    values: dict[fx.Node, Any] = {}
    with torch.no_grad():
        for node in graph.nodes:
            values[node] = _value(node, values, tensors, inputs)
    return values


def _value(node: fx.Node, values: dict[fx.Node, Any], tensors: Mapping[str, torch.Tensor], inputs: Any) -> Any:
    if node.op == "placeholder":
        shape, dtype = inputs[node.target] if inputs is not None else node.meta["input"]
        return torch.empty(shape, dtype=dtype, device="meta")
    if node.op == "get_attr":
        tensor = tensors[str(node.target)]
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    args: Any = _elsewhere(fx.map_arg(node.args, lambda n: values[n]))
    kwargs = _elsewhere(fx.map_arg(node.kwargs, lambda n: values[n]))
    if node.op == "output":
        return args[0]
    if node.target is torch.ops.aten.batch_norm.default:
        x, *per_channel = args[:5]
        return _batch_norm(x, *per_channel)
    assert callable(node.target)
    return node.target(*args, **kwargs)


def _elsewhere(value: Any) -> Any:
    """Let literal devices read ``meta``, wherever they stand."""
    if isinstance(value, torch.device):
        return torch.device("meta")
    if isinstance(value, (list, tuple)):
        return type(value)(_elsewhere(item) for item in value)
    return {key: _elsewhere(item) for key, item in value.items()} if isinstance(value, dict) else value


def _batch_norm(x: torch.Tensor, *per_channel: torch.Tensor | None) -> torch.Tensor:
    """What the operator itself would return; on the meta device it takes milliseconds of Python."""
    for operand in per_channel:
        if operand is not None and operand.numel() != x.shape[1]:
            raise RuntimeError(f"batch norm of {x.shape[1]} channels with {operand.numel()} values")
    return torch.empty_like(x)


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
