"""Make an exported graph fit to hand out: stable names, layer names on nodes, nothing about the machine it was made on.

The exporter leaves stack traces (absolute paths), source text and its own bookkeeping in the metadata of every node,
names the batch axis after a hash, and gives an output the name of an inner value without looking whether it is taken.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

LAYER = "compress.layer"
BATCH = "batch"
_NOWHERE = "_empty_nn_module_stack"
_SCOPES = "pkg.torch.onnx.name_scopes"


def tidy(model: ir.Model, *, inputs: Sequence[str], outputs: Sequence[str], metadata: Mapping[str, str]) -> None:
    """Rename, strip and label ``model`` in place; ``metadata`` becomes the model's ``metadata_props``."""
    layers = {node: _layer_of(node) for node in model.graph.all_nodes()}
    _strip(model)
    _name_nodes(layers)
    _name_values(model.graph, inputs, outputs)
    _name_dimensions(model.graph)
    model.metadata_props.update(metadata)


def layer_names(model: ir.Model) -> dict[str, str]:
    """Return ``{node name: dotted name of the checkpoint layer}`` for the nodes that stem from a layer."""
    return {
        str(node.name): node.metadata_props[LAYER] for node in model.graph.all_nodes() if LAYER in node.metadata_props
    }


def _layer_of(node: ir.Node) -> str:
    """The parameter's name says it exactly; a folded batch norm's scope would name the norm, not its convolution."""
    own = _owner(node)
    if own or node.op_type == "MatMul":
        # The exporter transposes the weight of a linear layer and so loses its name; the bias added next still has it.
        users = [user for output in node.outputs for user, _ in output.uses()]
        return own or (_owner(users[0]) if len(users) == 1 and users[0].op_type == "Add" else "")
    scopes = node.metadata_props.get(_SCOPES)
    if scopes is None:
        return ""
    # The last scope is the operator itself. What torch put in itself, such as the batch's size, is in no module.
    return next((scope for scope in reversed(ast.literal_eval(scopes)[:-1]) if scope and _NOWHERE not in scope), "")


def _owner(node: ir.Node) -> str:
    """The layer whose parameter the node reads; equal parameters of several layers are one, and say nothing."""
    for value in node.inputs:
        layer, _, kind = str(value.name).rpartition(".") if value is not None else ("", "", "")
        if value is not None and value.is_initializer() and kind in ("weight", "bias") and len(value.uses()) == 1:
            return layer
    return ""


def _strip(model: ir.Model) -> None:
    model.doc_string = None
    model.metadata_props.clear()
    for graph in _graphs(model):
        graph.doc_string = None
        graph.metadata_props.clear()
        for node in graph:
            node.doc_string = None
            node.metadata_props.clear()
        for value in _values(graph):
            value.doc_string = None
            value.metadata_props.clear()


def _graphs(model: ir.Model) -> Iterator[ir.Graph]:
    yield model.graph
    yield from model.graph.subgraphs()


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _name_nodes(layers: Mapping[ir.Node, str]) -> None:
    """Name a node ``layer/Operator``, since runtimes profile by node name; the second one is ``layer/Operator_1``."""
    taken: Counter[str] = Counter()
    for node, layer in layers.items():
        stem = f"{layer}/{node.op_type}" if layer else node.op_type
        node.name = f"{stem}_{taken[stem]}" if taken[stem] else stem
        taken[stem] += 1
        if layer:
            node.metadata_props[LAYER] = layer


def _name_values(graph: ir.Graph, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    wanted = {*inputs, *outputs}
    ends = {id(value) for value in (*graph.inputs, *graph.outputs)}
    values = [*_values(graph), *(value for inner in graph.subgraphs() for value in _values(inner))]
    taken = {str(value.name) for value in values} | wanted
    for value in values:
        if id(value) not in ends and value.name in wanted:
            value.name = _free(str(value.name), taken)
    for value, name in zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True):
        value.name = name


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


def _name_dimensions(graph: ir.Graph) -> None:
    """Call the first axis of the inputs ``batch``, and any other dynamic axis after its input."""
    names: dict[str, str] = {}
    for value in graph.inputs:
        for axis, size in enumerate(value.shape or ()):
            if isinstance(size, ir.SymbolicDim) and size.value is not None:
                names.setdefault(size.value, BATCH if axis == 0 else f"{value.name}_axis{axis}")
    for value in _values(graph):
        if value.shape is not None and any(isinstance(size, ir.SymbolicDim) for size in value.shape):
            value.shape = ir.Shape([_renamed(size, names) for size in value.shape])


def _renamed(size: int | ir.SymbolicDim, names: Mapping[str, str]) -> int | ir.SymbolicDim:
    if isinstance(size, int) or size.value is None:
        return size
    return ir.SymbolicDim(re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), size.value))
