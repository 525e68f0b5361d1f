"""A Program's graph as JSON and back. Nothing in the JSON is code: operators are looked up by name in an allow-list."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import fx

from compress.checkpoints._graph_json import clean_identifier, clean_path
from compress.checkpoints._operators import is_operator
from compress.errors import CheckpointError

_PYTHON = {
    name: getattr(operator, name)
    for name in ("getitem", "add", "sub", "mul", "floordiv", "mod", "truediv", "neg", "pow")
}
_ENUMS: dict[str, type] = {"dtype": torch.dtype, "memory_format": torch.memory_format, "layout": torch.layout}


def graph_to_json(graph: fx.Graph) -> list[dict[str, Any]]:
    """Return one JSON object per node: name, kind, target, arguments, and where it stands in the network."""
    return [
        {
            "name": node.name,
            "op": node.op,
            "target": _target_name(node),
            "args": _encode(node.args),
            "kwargs": {key: _encode(value) for key, value in node.kwargs.items()},
            "meta": {key: value for key, value in node.meta.items() if key in ("layer", "source") and value},
        }
        for node in graph.nodes
    ]


def graph_from_json(nodes: Any, inputs: dict[str, tuple[tuple[int, ...], torch.dtype]], *, where: str) -> fx.Graph:
    """Rebuild a graph.

    Args:
        nodes: what :func:`graph_to_json` returned.
        inputs: shape (at the captured batch) and dtype per placeholder.
        where: the file it comes from, for messages.

    Raises:
        CheckpointError: the JSON is not a graph, or names an operator outside ATen.
    """
    graph = fx.Graph()
    known: dict[str, fx.Node] = {}
    try:
        for entry in nodes:
            args = _decode(entry["args"], known)
            if entry["op"] == "output":
                args = [tuple(args[0])]  # JSON has no tuples; a Program returns one
            kwargs = {clean_identifier(key): _decode(value, known) for key, value in entry["kwargs"].items()}
            name = clean_identifier(entry["name"])
            node = graph.create_node(entry["op"], _target(entry), tuple(args), kwargs, name=name)
            node.meta = {key: str(value) for key, value in entry.get("meta", {}).items()}
            if node.op == "placeholder":
                node.meta["input"] = inputs[str(node.target)]
            known[name] = node
        graph.lint()
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"its training graph is damaged ({type(error).__name__}: {error})", where=where
        ) from error
    return graph


def _target_name(node: fx.Node) -> str:
    if node.op != "call_function":
        return str(node.target)
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target)
    name = getattr(node.target, "__name__", "")
    if _PYTHON.get(name) is node.target:
        return f"operator.{name}"
    raise CheckpointError(f"operator {node.target} cannot be stored", where=node.name)


def _target(entry: dict[str, Any]) -> Any:
    kind, name = entry["op"], entry["target"]
    if kind in ("placeholder", "output"):
        return clean_identifier(name)  # names stand in the Python source that fx generates from the graph
    if kind == "get_attr":
        return clean_path(name)
    if kind != "call_function":
        raise ValueError(f"node kind {kind!r}")
    if name.startswith("operator."):
        return _PYTHON[name.removeprefix("operator.")]
    if not is_operator(f"torch.ops.{name}"):
        raise ValueError(f"operator {name!r} is not allowed, or unknown to this torch")
    space, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, space), packet), overload)


def _encode(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.device):
        return {"device": value.type}
    for kind, cls in _ENUMS.items():
        if isinstance(value, cls):
            return {kind: str(value).removeprefix("torch.")}
    raise CheckpointError(f"an argument of type {type(value).__name__} cannot be stored")


def _decode(value: Any, known: dict[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decode(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    if kind == "node":
        return known[text]
    if kind == "float":
        return float(text)
    if kind == "device":
        return torch.device(text)
    found = getattr(torch, text)
    if not isinstance(found, _ENUMS[kind]):
        raise ValueError(f"{kind} {text!r}")
    return found
