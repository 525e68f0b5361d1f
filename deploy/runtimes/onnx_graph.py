"""The wiring of an ONNX file: names of nodes, values and weights. Weights themselves are never read.

A reader of the few fields that are needed (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): it runs where the
onnx package is not installed, and on files of any size.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from compress.errors import InputError
from compress.operators import DOMAIN
from deploy.runtimes.base import InputSpec

LAYER = "compress.layer"
"""Of a node's metadata: the layer of the checkpoint that it was exported from."""

# Numbers of fields: ModelProto.graph; GraphProto.node, initializer, input, output, sparse_initializer; NodeProto.input,
# output, name, op_type, attribute, domain, metadata_props; TensorProto.name; SparseTensorProto.values;
# AttributeProto.g, graphs; ValueInfoProto.name, type; TypeProto.tensor_type; TypeProto.Tensor.elem_type, shape;
# TensorShapeProto.dim; Dimension.dim_value, dim_param; StringStringEntryProto.key, value.
_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE = 1, 5, 11, 12, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OPERATOR, _ATTRIBUTE, _DOMAIN, _METADATA = 1, 2, 3, 4, 5, 7, 9
_TENSOR_NAME, _SPARSE_VALUES = 8, 1
_SUBGRAPH, _SUBGRAPHS = 6, 11
_TYPE, _TENSOR_TYPE, _ELEMENT, _SHAPE, _DIMENSION, _SIZE, _SYMBOL = 2, 1, 1, 2, 1, 1, 2

# TensorProto.DataType, in ONNX's own order; those that inputs of networks have.
_TYPES = (
    *("undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string"),
    *("bool", "float16", "double", "uint32", "uint64", "complex64", "complex128", "bfloat16"),
)
_NUMBERED = "onnx::"  # how torch's older exporter calls weights that it changed


@dataclass(frozen=True)
class Node:
    """A node: ``reads`` lists its inputs, and what its subgraphs take from outside; absent inputs are left out."""

    name: str
    operator: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    domain: str = ""
    layer: str = ""


@dataclass(frozen=True)
class Graph:
    """The main graph of an ONNX file, its nodes in the file's order (which is topological).

    ``inputs`` are those that a caller has to give, without weights that are declared as inputs too.
    """

    nodes: tuple[Node, ...]
    declared: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    weights: frozenset[str]
    uses: Counter[str] = field(default_factory=Counter)
    """How many nodes read each value."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return tuple(spec.name for spec in self.declared)

    def live_nodes(self) -> list[Node]:
        """Return the nodes whose result depends on the inputs; runtimes compute the others while they load the file."""
        moving = set(self.inputs)
        live = []
        for node in self.nodes:
            if moving.intersection(node.reads):
                live.append(node)
                moving.update(node.writes)
        return live

    def nodes_called(self, names: Iterable[str]) -> list[Node]:
        """Return the nodes with these names, or that write values with these names, in the file's order."""
        wanted = set(names)
        return [node for node in self.nodes if node.name in wanted or wanted.intersection(node.writes)]

    def layers_of(self, node: Node) -> tuple[str, ...]:
        """Return the checkpoint's layers whose weights ``node`` reads.

        They are told by the node's metadata, by the parameters' names, or by the node's name where torch's older
        exporter gave the weights numbers and the nodes paths of modules. A weight that several nodes read is one that
        equal parameters of several layers became: it says nothing.
        """
        if node.layer:
            return (node.layer,)
        weights = [name for name in node.reads if name in self.weights and self.uses[name] == 1]
        if node.domain == DOMAIN:  # a weight is stored as two tensors
            weights = [name.rpartition(".")[0] if name.endswith((".values", ".mask")) else name for name in weights]
        owners = [name.rpartition(".") for name in weights]
        layers = tuple(dict.fromkeys(layer for layer, _, kind in owners if layer and kind.isidentifier()))
        numbered = any(name.startswith(_NUMBERED) for name in weights)
        return (_module(node.name),) if numbered and not layers and node.name.startswith("/") else layers


def _module(name: str) -> str:
    """The module in a node's name: ``/layer1/layer1.0/conv1/Conv`` is in ``layer1.0.conv1``."""
    path: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)


def read(path: str | os.PathLike[str]) -> Graph:
    """Read the wiring of the ONNX file ``path``. Its nodes get names where it has none: ``Conv#3`` is the fourth node.

    Raises:
        InputError: the file cannot be read, or is damaged.
    """
    where = os.fspath(path)
    try:
        if not Path(path).stat().st_size:
            raise InputError("is empty", where=where, hint="export it again")
        with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(data)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=where) from error
    except (ValueError, IndexError) as error:
        raise InputError("is not an ONNX file, or is truncated", where=where, hint="export it again") from error


def _parse(data: mmap.mmap) -> Graph:
    graphs = [span for number, span in _fields(data, 0, len(data)) if number == _GRAPH]
    if not graphs:
        raise ValueError("no graph")
    nodes: list[Node] = []
    names: dict[int, list[str]] = {_INITIALIZER: [], _OUTPUT: [], _SPARSE: []}
    declared: list[InputSpec] = []
    for number, (start, end) in _fields(data, *graphs[-1]):
        if number == _NODE:
            nodes.append(_node(data, start, end, len(nodes)))
        elif number == _INPUT:
            declared.append(_declared(data, start, end))
        elif number in names:
            names[number].append(_named(data, start, end, number))
    weights = frozenset(names[_INITIALIZER] + names[_SPARSE])
    uses = Counter(name for node in nodes for name in dict.fromkeys(node.reads))
    inputs = tuple(spec for spec in declared if spec.name not in weights)
    return Graph(tuple(nodes), inputs, tuple(names[_OUTPUT]), weights, uses)


def _declared(data: mmap.mmap, start: int, end: int) -> InputSpec:
    dtype, shape = "undefined", []
    for _, whole in _within(data, start, end, _TYPE):
        for _, tensor in _within(data, *whole, _TENSOR_TYPE):
            element = _integers(data, *tensor).get(_ELEMENT, 0)
            dtype = _TYPES[element] if element < len(_TYPES) else f"type {element}"
            for _, dimensions in _within(data, *tensor, _SHAPE):
                for _, one in _within(data, *dimensions, _DIMENSION):
                    symbol = next((_text(data, *span) for _, span in _within(data, *one, _SYMBOL)), "")
                    size: int | str = _integers(data, *one).get(_SIZE, symbol)
                    shape.append(size)
    return InputSpec(_named(data, start, end, _INPUT), dtype, tuple(shape))


def _within(data: mmap.mmap, start: int, end: int, wanted: int) -> Iterator[tuple[int, tuple[int, int]]]:
    return (entry for entry in _fields(data, start, end) if entry[0] == wanted)


def _integers(data: mmap.mmap, start: int, end: int) -> dict[int, int]:
    """The whole numbers of a message, by their field's number."""
    found: dict[int, int] = {}
    while start < end:
        tag, after = _varint(data, start)
        if tag & 7 == 0:
            found[tag >> 3], start = _varint(data, after)
        else:
            start = _skip(data, tag & 7, after)
    return found


def _node(data: mmap.mmap, start: int, end: int, position: int) -> Node:
    reads: list[str] = []
    writes: list[str] = []
    texts = {_NODE_NAME: "", _OPERATOR: "", _DOMAIN: ""}
    layer = ""
    for number, (first, last) in _fields(data, start, end):
        if number == _NODE_INPUT:
            reads.append(_text(data, first, last))
        elif number == _NODE_OUTPUT:
            writes.append(_text(data, first, last))
        elif number in texts:
            texts[number] = _text(data, first, last)
        elif number == _ATTRIBUTE:
            reads += _captured(data, first, last)
        elif number == _METADATA:
            entry = {key: _text(data, *span) for key, span in _fields(data, first, last)}
            layer = entry.get(2, "") if entry.get(1) == LAYER else layer
    return Node(
        texts[_NODE_NAME] or f"{texts[_OPERATOR]}#{position}",
        texts[_OPERATOR],
        tuple(name for name in reads if name),
        tuple(name for name in writes if name),
        texts[_DOMAIN],
        layer,
    )


def _captured(data: mmap.mmap, start: int, end: int) -> list[str]:
    """What the graphs in an attribute read, and do not make themselves."""
    outside: list[str] = []
    for number, (first, last) in _fields(data, start, end):
        if number not in (_SUBGRAPH, _SUBGRAPHS):
            continue
        made: set[str] = set()
        read: list[str] = []
        for kind, (begin, stop) in _fields(data, first, last):
            if kind == _NODE:
                node = _node(data, begin, stop, 0)
                made.update(node.writes)
                read += node.reads
            elif kind in (_INITIALIZER, _INPUT, _SPARSE):
                made.add(_named(data, begin, stop, kind))
            elif kind == _OUTPUT:
                read.append(_named(data, begin, stop, kind))
        outside += [name for name in read if name not in made]
    return outside


def _named(data: mmap.mmap, start: int, end: int, kind: int) -> str:
    """The name of a tensor, a sparse tensor or a declared value."""
    if kind == _SPARSE:
        values = [span for number, span in _fields(data, start, end) if number == _SPARSE_VALUES]
        return _named(data, *values[0], _INITIALIZER) if values else ""
    wanted = _TENSOR_NAME if kind == _INITIALIZER else 1
    return next((_text(data, *span) for number, span in _fields(data, start, end) if number == wanted), "")


def _text(data: mmap.mmap, start: int, end: int) -> str:
    return data[start:end].decode("utf-8", "replace")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the number and place of each length-delimited field of the message in ``data[start:end]``."""
    while start < end:
        tag, after = _varint(data, start)
        start = _skip(data, tag & 7, after)
        if start > end:
            raise ValueError("truncated")
        if tag & 7 == 2:
            yield tag >> 3, (_varint(data, after)[1], start)


def _skip(data: mmap.mmap, kind: int, start: int) -> int:
    """Where the field ends whose value begins at ``start``."""
    if kind == 2:
        length, start = _varint(data, start)
        return start + length
    if kind == 0:
        return _varint(data, start)[1]
    if kind in (1, 5):
        return start + (8 if kind == 1 else 4)
    raise ValueError("no protobuf")


def _varint(data: mmap.mmap, start: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
        if shift > 63:
            raise ValueError("no protobuf")
