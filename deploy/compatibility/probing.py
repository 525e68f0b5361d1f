"""Which operators does a runtime lack? Asked by trial: every operator of a file alone, in a model of one node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from compress.operators import DOMAIN as SPARSE
from deploy.compatibility import trial
from deploy.compatibility.asking import ask_each
from deploy.compatibility.subject import Subject, opset_of

_SMALL = 1000  # elements of a tensor that may say what shapes are
_MOST = 200  # kinds of nodes; networks have some tens
_OWN = ("", "ai.onnx")


@dataclass(frozen=True)
class Findings:
    """``control``: whether a model of one Identity, of the same versions, is taken: else no operator is to blame."""

    control: bool
    unsupported: tuple[str, ...] = ()


def unsupported(subject: Subject, runtime: str, *, timeout: float) -> Findings:
    """Return the operators of a file that ``runtime`` refuses, or dies of, when it loads them alone."""
    assert subject.model is not None
    probes = list(_probes(subject.model))[:_MOST]
    models = [_identity(subject.model), *(model for _, model in probes)]
    items = [
        {"path": str(subject.save(model, f"probe{index}")), "runtime": runtime} for index, model in enumerate(models)
    ]
    control, *answers = ask_each(trial.LOAD_EACH, items, timeout=timeout)
    if control.value is None:
        return Findings(control=False)
    refused = [name for (names, _), found in zip(probes, answers, strict=True) if found.value is None for name in names]
    return Findings(control=True, unsupported=tuple(dict.fromkeys(refused)))


def name_of(node: onnx.NodeProto) -> str:
    """Return an operator's name, with its domain where it is not ONNX's own."""
    return node.op_type if node.domain in _OWN else f"{node.domain}::{node.op_type}"


def standing(name: str, model: onnx.ModelProto) -> str | None:
    """Return what ONNX itself says of an operator that a runtime lacks; None where it is of the declared version."""
    domain, _, kind = name.rpartition("::")
    if domain == SPARSE:
        return f"{name} is in this project's library of sparse operators"
    if any((function.domain, function.name) == (domain, kind) for function in model.functions):
        return f"{name} is a function that the file defines"
    version = next((entry.version for entry in model.opset_import if entry.domain == domain), opset_of(model))
    if not onnx.defs.has(kind, domain=domain):
        return f"{name} is no operator of ONNX"
    try:
        onnx.defs.get_schema(kind, version or 1, domain)
    except onnx.defs.SchemaError:
        return f"{name} is not in opset {version}, which the file declares"
    return None


def _suspects(node: onnx.NodeProto, model: onnx.ModelProto) -> list[str]:
    """Return what is to blame where a node is refused: operators inside of it that ONNX does not know, else itself."""
    inner = [name_of(one) for one in _inside(node)]
    return [name for name in dict.fromkeys(inner) if standing(name, model) is not None] or [name_of(node)]


def _inside(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                yield inner
                yield from _inside(inner)


def _identity(model: onnx.ModelProto) -> onnx.ModelProto:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "control", value[:1], value[1:])
    opsets = [entry for entry in model.opset_import if entry.domain in _OWN]
    return helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)


def _probes(model: onnx.ModelProto) -> Iterator[tuple[list[str], onnx.ModelProto]]:
    """Yield a model of one node for each kind of node (operator, types and attributes), and what it may lack."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    values = {
        value.name: value for value in [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    }
    weights = {tensor.name: tensor for tensor in inferred.graph.initializer}
    seen: set[tuple[object, ...]] = set()
    for node in inferred.graph.node:
        needed = list(dict.fromkeys([*filter(None, node.input), *_captured(node)]))
        given = [values[name] for name in needed if name in values and name not in weights]
        constants = [weights[name] for name in needed if name in weights]
        if len(given) + len(constants) < len(needed) or not all(_is_typed(value) for value in given):
            continue  # behind an operator that nobody knows, types are not known either
        kind = _kind(node, given, constants)
        if kind in seen:
            continue
        seen.add(kind)
        outputs = [values.get(name) or onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], "probe", given, outputs, constants)
        domains = {*_OWN, node.domain, *(inner.domain for inner in _inside(node))}
        probe = helper.make_model(graph, ir_version=model.ir_version, functions=model.functions)
        del probe.opset_import[:]
        probe.opset_import.extend(entry for entry in model.opset_import if entry.domain in domains or model.functions)
        yield _suspects(node, model), probe


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its large weights as inputs: shapes do not depend on them, and inference copies them."""
    copy = onnx.ModelProto(ir_version=model.ir_version, functions=model.functions, opset_import=model.opset_import)
    graph = model.graph
    kept = [tensor for tensor in graph.initializer if math.prod(tensor.dims) <= _SMALL]
    declared = {value.name for value in graph.input}
    large = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if math.prod(tensor.dims) > _SMALL and tensor.name not in declared
    ]
    bare = onnx.GraphProto(
        name=graph.name,
        node=graph.node,
        input=[*graph.input, *large],
        output=graph.output,
        initializer=kept,
        value_info=graph.value_info,
    )
    copy.graph.CopyFrom(bare)
    return copy


def _kind(
    node: onnx.NodeProto, given: list[onnx.ValueInfoProto], constants: list[onnx.TensorProto]
) -> tuple[object, ...]:
    types = tuple(value.type.tensor_type.elem_type for value in given) + tuple(item.data_type for item in constants)
    plain = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.STRING)
    written = tuple(sorted(item.SerializeToString() for item in node.attribute if item.type in plain))
    # Nodes with graphs inside are each of their own kind.
    inside = tuple(id(node) for item in node.attribute if item.HasField("g"))
    return (node.domain, node.op_type, types, written, inside)


def _is_typed(value: onnx.ValueInfoProto) -> bool:
    return value.type.WhichOneof("value") != "tensor_type" or bool(value.type.tensor_type.elem_type)


def _captured(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what the graphs inside a node use of the graph around it."""
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            for inner in graph.node:
                yield from (name for name in [*inner.input, *_captured(inner)] if name and name not in own)
                own |= set(inner.output)
