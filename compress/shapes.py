"""Shapes of every value in a graph, found by running it without numbers (no memory, no arithmetic)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from compress.blank import Blank, storage_of
from compress.meta_calls import call, run

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
    """Return for each node its value, tensors without their numbers (:class:`Blank`), views sharing their storage;
    arguments as for :func:`shapes_of`.
    """
    with torch.no_grad():
        if any(_reshapes_in_place(target) for target in {node.target for node in graph.nodes}):
            return _run_on_meta(graph, tensors, inputs)
        values: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            values[node] = _value(node, values, tensors, inputs)
    return values


def _reshapes_in_place(target: Any) -> bool:
    """Operators such as ``squeeze_`` change a value that other nodes hold: what they leave cannot be shared."""
    return isinstance(target, torch._ops.OpOverload) and torch.Tag.inplace_view in target.tags


def _value(node: fx.Node, values: dict[fx.Node, Any], tensors: Mapping[str, torch.Tensor], inputs: Any) -> Any:
    if node.op == "get_attr":
        return Blank.of(tensors[str(node.target)])
    if node.op == "placeholder":
        return Blank.of(_input(node, inputs))
    args = [_filled(item, values) for item in node.args]
    if node.op == "output":
        return args[0]
    kwargs = {key: _filled(item, values) for key, item in node.kwargs.items()} if node.kwargs else {}
    return call(node.target, args, kwargs)


def _input(node: fx.Node, inputs: Any) -> torch.Tensor:
    shape, dtype = inputs[node.target] if inputs is not None else node.meta["input"]
    return torch.empty(shape, dtype=dtype, device="meta")


def _run_on_meta(graph: fx.Graph, tensors: Mapping[str, torch.Tensor], inputs: Any) -> dict[fx.Node, Any]:
    """Run operator by operator on the meta device; values are described as the whole graph leaves them."""
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        args = [_filled(item, values) for item in node.args]
        if node.op == "get_attr":
            values[node] = Blank.of(tensors[str(node.target)]).meta()
        elif node.op == "placeholder":
            values[node] = _input(node, inputs)
        elif node.op == "output":
            values[node] = args[0]
        else:
            values[node] = run(node.target, args, {key: _filled(item, values) for key, item in node.kwargs.items()})
    return {node: _described(value) for node, value in values.items()}


def _described(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_described(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    return Blank((tuple(value.shape), value.stride(), value.dtype), storage_of(value))


def _filled(value: Any, values: dict[fx.Node, Any]) -> Any:
    """An argument with nodes replaced by their values; literal devices read ``meta``, wherever they stand."""
    kind = type(value)
    if kind is fx.Node:
        return values[value]
    if kind is int or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return torch.device("meta") if isinstance(value, torch.device) else value


def _shape(value: Any) -> Any:
    if isinstance(value, Blank):
        return value.shape
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return [_shape(item) for item in value]
    return value


def copy_graph(graph: fx.Graph) -> fx.Graph:
    """Return an independent copy of ``graph``, metadata included."""
    copied = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.op == "output":
            copied.output(fx.map_arg(node.args[0], values.__getitem__))
            break
        new = copied.create_node(node.op, node.target, name=node.name, type_expr=node.type)
        if node.args:  # given afterwards: on creation fx looks through all of them for symbols, which costs a third
            new.args = fx.map_arg(node.args, values.__getitem__)
        if node.kwargs:
            new.kwargs = fx.map_arg(node.kwargs, values.__getitem__)
        new.meta.update(node.meta)
        values[node] = new
    return copied
