"""What nodes of an ONNX graph compute and move: multiply-accumulates, and bytes read and written at least once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.why.graph import Graph, attribute, is_sparse, key

if TYPE_CHECKING:
    import onnx

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Constant", "Shape"})
"""They compute nothing, and a runtime can do them without moving a byte."""
_PARTIAL = frozenset({"Gather", "GatherND", "GatherElements", "Slice", "Split"})
"""They read as much of their input as they write."""
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True)
class Work:
    """What some nodes do together. ``None`` where a shape is not known.

    Attributes:
        macs: multiply-accumulates at the measured input size; of sparse operators those with stored weights.
        weights: bytes of constants that are read.
        activations: bytes of other values read from outside, or written for the outside.
        width: output channels (features) of the last layer among them.
        sparse: whether stored weights alone were counted.
    """

    macs: int | None
    weights: int | None
    activations: int | None
    width: int | None
    sparse: bool

    @property
    def bytes(self) -> int | None:
        """Bytes moved in all."""
        return None if self.weights is None or self.activations is None else self.weights + self.activations


NOTHING_KNOWN = Work(macs=0, weights=None, activations=None, width=None, sparse=False)
"""Of an operator that the runtime put in: a copy of unknown size."""


def work(nodes: Iterable[onnx.NodeProto], graph: Graph) -> Work:
    """Return what ``nodes`` do when they are run as one operator: what lies between them is not moved."""
    group = list(nodes)
    counts = [macs(node, graph) for node in group]
    widths = [found for node in group if (found := width(node, graph)) is not None]
    inside = {name for node in group for name in node.output}
    kept = {name for name in inside if name in graph.outputs or _used_outside(name, group, graph)}
    weights: dict[str, int | None] = {}
    activations: dict[str, int | None] = {}
    for node in group:
        if node.op_type in VIEWS:
            continue
        for place, name in enumerate(filter(None, node.input)):
            if name not in inside:
                moved = _read(node, place, name, graph)
                (weights if graph.tensor(name).constant else activations)[name] = moved
        activations |= {name: graph.tensor(name).bytes for name in node.output if name in kept}
    return Work(
        macs=_total(counts),
        weights=_total(weights.values()),
        activations=_total(activations.values()),
        width=widths[-1] if widths else None,
        sparse=any(is_sparse(node) for node in group),
    )


def macs(node: onnx.NodeProto, graph: Graph) -> int | None:
    """Return a node's multiply-accumulates: convolutions, products and recurrent layers; others have none."""
    count = _COUNTS.get(node.op_type)
    if count is None:
        return 0
    try:
        return count(node, graph)
    except _UnknownError:
        return None


def width(node: onnx.NodeProto, graph: Graph) -> int | None:
    """Return the output channels of a convolution, or the output features of a product."""
    if node.op_type not in _COUNTS:
        return None
    shape = graph.shape(node.output[0])
    if not shape:
        return None
    return shape[1] if "Conv" in node.op_type and len(shape) > 1 else shape[-1]


class _UnknownError(Exception):
    """A shape that the count needs is not known."""


def _elements(name: str, graph: Graph) -> int:
    return math.prod(_shape(name, graph))


def _shape(name: str, graph: Graph) -> tuple[int, ...]:
    shape = graph.shape(name)
    if shape is None:
        raise _UnknownError
    return shape


def _convolution(place: int) -> Callable[[onnx.NodeProto, Graph], int]:
    def count(node: onnx.NodeProto, graph: Graph) -> int:
        return _elements(node.output[0], graph) * math.prod(_shape(node.input[place], graph)[1:])

    return count


def _transposed(node: onnx.NodeProto, graph: Graph) -> int:
    return _elements(node.input[0], graph) * math.prod(_shape(node.input[1], graph)[1:])


def _gemm(node: onnx.NodeProto, graph: Graph) -> int:
    inner = _shape(node.input[0], graph)[0 if attribute(node, "transA", 0) else 1]
    return _elements(node.output[0], graph) * inner


def _product(node: onnx.NodeProto, graph: Graph) -> int:
    left = _shape(node.input[0], graph)
    return _elements(node.output[0], graph) * left[-2 if attribute(node, "transA", 0) else -1]


def _sparse_convolution(node: onnx.NodeProto, graph: Graph) -> int:
    places = _elements(node.output[0], graph) // _shape(node.output[0], graph)[1]
    return _elements(node.input[1], graph) * places


def _sparse_product(node: onnx.NodeProto, graph: Graph) -> int:
    return _elements(node.input[1], graph) * (_elements(node.output[0], graph) // _shape(node.output[0], graph)[-1])


def _recurrent(node: onnx.NodeProto, graph: Graph) -> int:
    steps, batch, features = _shape(node.input[0], graph)
    directions, gates, _ = _shape(node.input[1], graph)
    hidden = gates // _GATES[node.op_type]
    return steps * batch * directions * gates * (features + hidden)


def _einsum(node: onnx.NodeProto, graph: Graph) -> int:
    equation = attribute(node, "equation", b"").decode().replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if "." in equation or len(terms) != 2:
        return 0 if len(terms) == 1 else _unknown()
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=True):
        sizes |= dict(zip(term, _shape(name, graph), strict=True))
    return math.prod(sizes.values())


def _unknown() -> int:
    raise _UnknownError


_COUNTS: Mapping[str, Callable[[onnx.NodeProto, Graph], int]] = {
    "Conv": _convolution(1),
    "FusedConv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "MatMul": _product,
    "FusedMatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "SparseConv": _sparse_convolution,
    "SparseMatMul": _sparse_product,
}


def _used_outside(name: str, group: list[onnx.NodeProto], graph: Graph) -> bool:
    inside = {key(node) for node in group}
    return any(key(user) not in inside for user in graph.users.get(name, ()))


def _read(node: onnx.NodeProto, place: int, name: str, graph: Graph) -> int | None:
    if node.op_type in _PARTIAL and place == 0:
        return _total(graph.tensor(output).bytes for output in node.output if output)
    return graph.tensor(name).bytes


def _total(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def add(works: Iterable[Work]) -> Work:
    """Return the work of operators that run one after the other."""
    each = list(works)
    widths = [found.width for found in each if found.width is not None]
    return Work(
        macs=_total(found.macs for found in each),
        weights=_total(found.weights for found in each),
        activations=_total(found.activations for found in each),
        width=widths[-1] if widths else None,
        sparse=any(found.sparse for found in each),
    )
