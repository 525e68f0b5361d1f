"""Which convolutions lie next to one another: between dense ones ONNX Runtime keeps pictures in blocks of channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import onnx_ir as ir

_BETWEEN = frozenset(
    {
        *(
            "Add",
            "Clip",
            "Concat",
            "HardSigmoid",
            "HardSwish",
            "Identity",
            "LeakyRelu",
            "Mul",
            "Relu",
            "Sigmoid",
            "Tanh",
        ),
        *("AveragePool", "BatchNormalization", "Dropout", "MaxPool"),
    }
)
"""Operators that leave pictures in the order in which they get them."""

Near = tuple[frozenset[int], frozenset[int]]


def neighbours(nodes: Sequence[ir.Node]) -> list[Near]:
    """Return for each of ``nodes`` the numbers of those convolutions that its input comes from, and its output goes to,
    with nothing between them that orders pictures anew.
    """
    numbers = {node: number for number, node in enumerate(nodes) if node.op_type == "Conv"}
    return [(_reached(node, _before, numbers), _reached(node, _after, numbers)) for node in nodes]


def _reached(
    start: ir.Node, step: Callable[[ir.Node], Iterable[ir.Node]], numbers: dict[ir.Node, int]
) -> frozenset[int]:
    found: set[int] = set()
    seen: set[ir.Node] = set()
    waiting = list(step(start))
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in numbers:
            found.add(numbers[node])
        elif node.op_type in _BETWEEN:
            waiting += step(node)
    return frozenset(found)


def _before(node: ir.Node) -> list[ir.Node]:
    values = node.inputs[:1] if node.op_type == "Conv" else node.inputs
    producers = (value.producer() for value in values if value is not None)
    return [producer for producer in producers if producer is not None]


def _after(node: ir.Node) -> list[ir.Node]:
    return [user for output in node.outputs for user, _ in output.uses()]
