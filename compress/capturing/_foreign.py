"""A Program from an exported archive that somebody else wrote: one graph, whose other mode is derived from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from compress.capturing._capture import output_names
from compress.capturing._normalise import normalise
from compress.capturing._unlift import adopt_constants, name_owners, plain_graph, tied_names
from compress.errors import CaptureError
from compress.program import Program, TensorSpec
from compress.shapes import copy_graph

_aten = torch.ops.aten

# Operator -> position of the argument that says "training".
_MODE_ARGUMENT = {
    _aten.batch_norm.default: 5,
    _aten.instance_norm.default: 5,
    _aten.dropout.default: 2,
    _aten.dropout_.default: 2,
    _aten.feature_dropout.default: 2,
    _aten.alpha_dropout.default: 2,
}
_DECOMPOSED = (
    "_native_batch_norm_legit",
    "native_batch_norm",
    "native_dropout",
    "convolution.",
    "cudnn_batch_norm",
    "addmm.",
)


def from_exported(exported: ExportedProgram, *, where: str = "archive") -> Program:
    """Make a :class:`~compress.Program` from a foreign archive.

    Raises:
        CaptureError: the archive pins its batch size, takes inputs that are not tensors, or was decomposed to
            operators that no longer tell training from evaluation.
    """
    _refuse_decomposed(exported, where)
    _refuse_static_batch(exported, where)
    unlifted = exported.module()
    graph = plain_graph(unlifted)
    parameters = {name: value.requires_grad for name, value in unlifted.named_parameters(remove_duplicate=False)}
    known: dict[str, torch.Tensor] = dict(unlifted.named_parameters(remove_duplicate=False))
    known.update(unlifted.named_buffers(remove_duplicate=False))
    tensors = {
        name: value.detach() for name, value in known.items() if name in parameters or name in exported.state_dict
    }
    persistent = set(tensors)
    tied = tied_names(tensors)
    adopt_constants(graph, unlifted, tensors, prefix="")
    name_owners(graph, tied)
    graphs = {False: in_mode(graph, training=False), True: in_mode(graph, training=True)}
    normalise(graphs, tensors)
    holders = [node for node in graph.nodes if node.op == "placeholder"]
    inputs = tuple(_spec(node) for node in holders)
    return Program(
        graphs=graphs,
        tensors=tensors,
        parameters=parameters,
        transient=set(tensors) - persistent,
        tied=tied,
        inputs=inputs,
        output_names=output_names(exported),
        dynamic_size=any(_has_open_size(node) for node in exported.graph.nodes if node.op == "placeholder"),
    )


def in_mode(graph: fx.Graph, *, training: bool) -> fx.Graph:
    """Return a copy of ``graph`` whose normalisation and dropout are in the given mode."""
    copied = copy_graph(graph)
    for node in copied.nodes:
        position = _MODE_ARGUMENT.get(node.target)
        if position is not None and _has_mode(node):
            node.update_arg(position, training)
    if not training:
        _stop_counting(copied)
    return copied


def _stop_counting(graph: fx.Graph) -> None:
    """Evaluation leaves the number of batches that normalisation has seen as it is."""
    for node in list(graph.nodes):
        if node.target is _aten.add_.Tensor and not node.users:
            counter = node.args[0]
            if counter.op == "get_attr" and str(counter.target).endswith("num_batches_tracked"):
                graph.erase_node(node)


def _has_mode(node: fx.Node) -> bool:
    """A batch norm without running statistics always normalises by the batch: there is nothing to flip."""
    return node.target is not _aten.batch_norm.default or node.args[3] is not None


def _has_open_size(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and not all(isinstance(size, int) for size in value.shape[2:])


def _spec(node: fx.Node) -> TensorSpec:
    shape, dtype = node.meta["input"]
    return TensorSpec(str(node.target), (1, *shape[1:]), str(dtype).removeprefix("torch."))


def _refuse_static_batch(exported: ExportedProgram, where: str) -> None:
    inputs = {spec.arg.name for spec in exported.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT}
    for node in exported.graph.nodes:
        if node.op != "placeholder" or node.name not in inputs:
            continue
        value: Any = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            raise CaptureError(f"input {node.name!r} is not a tensor with a batch dimension", where=where)
        if isinstance(value.shape[0], int):
            raise CaptureError(
                f"the archive pins its batch size to {value.shape[0]}",
                where=where,
                hint="export it again with dynamic_shapes={0: torch.export.Dim('batch')} for every input",
            )


def _refuse_decomposed(exported: ExportedProgram, where: str) -> None:
    names = {str(node.target).removeprefix("aten.") for node in exported.graph.nodes if node.op == "call_function"}
    found = sorted(name for name in names if name.startswith(_DECOMPOSED))
    if found:
        raise CaptureError(
            f"the archive was decomposed ({', '.join(found[:3])}): training and evaluation can no longer be told apart",
            where=where,
            hint="save what torch.export.export returns, before run_decompositions",
        )
