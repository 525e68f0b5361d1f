"""From an ExportedProgram to a plain graph: tensors by name, outputs as one flat tuple, no guards, no stack traces."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from compress.capturing._normalise import inline_wrappers
from compress.errors import CaptureError

_TORCH = os.path.dirname(torch.__file__) + os.sep
CALL = "compress_call"  # key in a node's custom metadata: the number of the call that made it, where calls are recorded
MARK = "compress_mark"  # likewise: what sizes that were read off its result refer to it by
BATCH = 2  # the batch size that captures are made with: 1 would be pinned by torch.export


def plain_graph(module: fx.GraphModule) -> fx.Graph:
    """Return a graph whose ``get_attr`` nodes name tensors and whose output is a flat tuple of tensors.

    Args:
        module: what ``ExportedProgram.module()`` returned. Its graph is changed: higher-order blocks are inlined.
    """
    source = module.graph
    inline_wrappers(source, module)
    graph = fx.Graph()
    values: dict[fx.Node, fx.Node] = {}
    for node in source.nodes:
        if node.op == "call_module":  # only the input guard: Programs check shapes themselves
            if node.users:
                raise AssertionError(f"captured graph calls module {node.target}")
            continue
        if node.op == "output":
            graph.output(tuple(values[leaf] for leaf in _leaves(node.args[0])))
            continue
        values[node] = graph.node_copy(node, lambda old: values[old])
        values[node].meta = _kept_meta(node)
    graph.lint()
    return graph


def _leaves(value: Any) -> list[fx.Node]:
    if isinstance(value, fx.Node):
        return [value]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    if value is None:
        return []
    raise CaptureError(
        f"the network returns a {type(value).__name__} beside tensors", hint="let it return tensors only"
    )


def _kept_meta(node: fx.Node) -> dict[str, Any]:
    """Keep where the operator stands in the network and in the user's source (file name only, never a full path)."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(entry[0]) for entry in stack.values()]
    layer = paths[-1] if paths else ""
    value = node.meta.get("val")
    kept: dict[str, Any] = (
        {} if node.op != "placeholder" or value is None else {"input": (_ints(value.shape), value.dtype)}
    )
    kept["layer"] = layer.replace("L['self'].", "").removeprefix("L['self']")
    custom = node.meta.get("custom") or {}
    if CALL in custom:
        kept["call"] = custom[CALL]
    if MARK in custom and not isinstance(value, torch.SymInt):  # the size of an input inherits the input's
        kept["mark"] = custom[MARK]
    trace = node.meta.get("stack_trace")
    if isinstance(trace, str):
        frames = [line.strip() for line in trace.splitlines() if line.strip().startswith("File ")]
        outside = [frame for frame in frames if _TORCH not in frame]  # the caller of nn.Conv2d, not its forward
        if frames:
            kept["source"] = _short((outside or frames)[-1])
    return kept


def _ints(shape: Iterable[Any]) -> tuple[int, ...]:
    """Sizes at the batch that was captured: an open dimension is taken at the size of the example input."""
    return tuple(size if isinstance(size, int) else int(size.node.hint or BATCH) for size in shape)


def _short(frame: str) -> str:
    """``File "/a/b/resnet.py", line 92, in forward`` becomes ``resnet.py:92``."""
    pieces = frame.split(",")
    name = pieces[0].removeprefix("File ").strip('"').replace("\\", "/").rsplit("/", 1)[-1]
    return f"{name}:{pieces[1].strip().removeprefix('line ')}" if len(pieces) > 1 else name


def adopt_constants(graph: fx.Graph, module: fx.GraphModule, tensors: dict[str, torch.Tensor], *, prefix: str) -> None:
    """Add the tensors that the graph holds beside the module's own to ``tensors``, under names of their own."""
    renamed: dict[str, str] = {}
    for node in list(graph.nodes):
        if node.op != "get_attr" or node.target in tensors:
            continue
        if node.target not in renamed:
            value = _attribute(module, node.target)
            renamed[node.target] = _constant_name(node.target, value.detach(), tensors, prefix)
        node.target = renamed[node.target]


def tied_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Map every further name of a shared tensor to the name that it was first met under."""
    first: dict[Any, str] = {}
    tied: dict[str, str] = {}
    for name, value in tensors.items():
        if value.numel():
            owner = first.setdefault((value.data_ptr(), value.dtype, value.shape, value.stride()), name)
            if owner != name:
                tied[name] = owner
    return tied


def name_owners(graph: fx.Graph, tied: Mapping[str, str]) -> None:
    """Let the graph mention a shared tensor by its first name alone."""
    for node in graph.nodes:
        if node.op == "get_attr":
            node.target = tied.get(node.target, node.target)


def _constant_name(name: str, value: torch.Tensor, tensors: dict[str, torch.Tensor], prefix: str) -> str:
    """Share a constant with the other graph where it is the same; never let two different ones share a name."""
    plain = "constants." + name.replace(".", "_")
    known = tensors.get(plain)
    if known is not None and known.dtype == value.dtype and torch.equal(known, value):
        return plain
    chosen = plain if known is None else f"constants.{prefix}{name.replace('.', '_')}"
    tensors[chosen] = value.clone()
    return chosen


def _attribute(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value
