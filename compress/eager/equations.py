"""What a class can express, as equations: a number that its code computes is the length of an axis of the graph.

The code of a class hands numbers to torch: attributes, sizes that it read off tensors, and what it computed from
these. Each that ends up as a literal of the graph must go on saying what the axis behind that literal is long, whatever
widths are chosen.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.axes.surgery import kept_atoms, rewritten_graphs
from compress.axes.trace import argument, aten
from compress.eager.recording import Call
from compress.eager.solving import aligned, numbers_of
from compress.eager.widths import Attribute, Origin, Size, Width

_BY_SIZE = frozenset(aten("split.Tensor unsafe_split.Tensor"))
_IN_EQUAL_PIECES = _BY_SIZE | frozenset(aten("chunk tensor_split.sections unsafe_chunk"))
_SAMPLES = 3
_FUNCTIONS: dict[str, Any] = {name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod")}


@dataclass(frozen=True)
class Place:
    """The dimension ``dim`` of the value of a node; of its result ``piece`` where it has several."""

    mode: bool
    node: str
    dim: int
    piece: int | None = None

    def axis(self, analysis: Analysis, nodes: Mapping[bool, Mapping[str, fx.Node]]) -> Array:
        """The axis there; ``nodes`` are those of ``analysis``, by mode and name."""
        value: Any = analysis.traces[self.mode].values[nodes[self.mode][self.node]]
        axis: Array = (value if self.piece is None else value[self.piece])[self.dim]
        return axis


@dataclass(frozen=True)
class Uncut:
    """The length that the axis at ``place`` has before anything is cut."""

    place: Place


@dataclass(frozen=True)
class Arithmetic:
    """A number computed from two others."""

    function: str
    left: Number
    right: Number


Number = Place | Uncut | Arithmetic | int


@dataclass(frozen=True)
class Equation:
    """Two numbers that must be the same in every network that the class can be; ``line`` of its code asks for it."""

    left: Number
    right: Number
    line: str

    def places(self) -> Iterator[Place]:
        """Every place that it speaks of."""
        for side in (self.left, self.right):
            yield from places_in(side)


def places_in(number: Number) -> Iterator[Place]:
    """Every place whose length goes into ``number``."""
    if isinstance(number, Place):
        yield number
    elif isinstance(number, Uncut):
        yield number.place
    elif isinstance(number, Arithmetic):
        yield from places_in(number.left)
        yield from places_in(number.right)


def value(number: Number, lengths: Mapping[Place, NDArray[np.int64]]) -> NDArray[np.int64]:
    """The number for each choice of widths, for which ``lengths`` holds; a division by zero gives zero."""
    assert not isinstance(number, Uncut), "to be replaced by the length"
    if isinstance(number, Place):
        return lengths[number]
    if isinstance(number, int):
        return np.full(1, number, np.int64)
    with np.errstate(divide="ignore"):
        left, right = (value(side, lengths) for side in (number.left, number.right))
        made: NDArray[np.int64] = _FUNCTIONS[number.function](left, right)
    return made


def nodes_of(analysis: Analysis) -> dict[bool, dict[str, fx.Node]]:
    """The nodes of both graphs by name."""
    return {mode: {node.name: node for node in trace.values} for mode, trace in analysis.traces.items()}


def equations_of(analysis: Analysis, calls: Sequence[Call]) -> list[Equation]:
    """All equations that the numbers handed to torch amount to, trivial ones included.

    Args:
        analysis: of the capture that was made while ``calls`` were recorded.
        calls: what its nodes were made by.
    """
    return _Reader(analysis, calls).equations()


class _Reader:
    def __init__(self, analysis: Analysis, calls: Sequence[Call]) -> None:
        self._analysis, self._calls = analysis, calls
        self._nodes = nodes_of(analysis)
        marked = ((mode, node) for mode, nodes in self._nodes.items() for node in nodes.values() if "mark" in node.meta)
        self._marks = {node.meta["mark"]: (mode, node.name) for mode, node in marked}
        samples = [_sample(analysis, seed) for seed in range(_SAMPLES)]
        self._masks = [kept_atoms(analysis, sample) for sample in samples]
        self._graphs = [rewritten_graphs(analysis, sample) for sample in samples]
        self._direct: dict[Attribute, Number] = {}

    def equations(self) -> list[Equation]:
        """All equations."""
        found: list[Equation] = []
        uses: list[tuple[Origin, Number, str]] = []
        for mode, nodes in self._nodes.items():
            after = [{node.name: node for node in graphs[mode].nodes} for graphs in self._graphs]
            for node in nodes.values():
                if "call" not in node.meta or node.op != "call_function":
                    continue
                call = self._calls[node.meta["call"]]
                if node.target in _IN_EQUAL_PIECES:
                    found += self._equal_pieces(mode, node, call)
                uses += self._uses(mode, node, [graph[node.name] for graph in after], call)
        for origin, number, line in uses:
            if isinstance(origin, Attribute):
                found.append(Equation(self._direct.setdefault(origin, number), number, line))
        for origin, number, line in uses:
            computed = None if isinstance(origin, Attribute) else self._number(origin)
            if computed is not None:
                found.append(Equation(computed, number, line))
        return list({(each.left, each.right): each for each in found if each.left != each.right}.values())

    def _equal_pieces(self, mode: bool, node: fx.Node, call: Call) -> Iterator[Equation]:
        dim = argument(node, 2, "dim", 0)
        sizes = [shape[dim] for shape in self._analysis.traces[mode].shapes[node]]
        for piece, size in enumerate(sizes):
            if piece and size == sizes[0]:
                yield Equation(Place(mode, node.name, dim, 0), Place(mode, node.name, dim, piece), call.line)

    def _uses(
        self, mode: bool, node: fx.Node, after: Sequence[fx.Node], call: Call
    ) -> Iterator[tuple[Origin, Number, str]]:
        """What each number given to a call stands for: its origin, and what must be the same."""
        literals = tuple(numbers_of(node))
        if not aligned(literals, call.numbers):
            return
        new = [tuple(numbers_of(other)) for other in after]
        for position, (literal, given) in enumerate(zip(literals, call.numbers, strict=False)):
            if not isinstance(given, Width):
                continue
            number: Number | None = None
            if all(len(other) == len(literals) for other in new):
                number = self._behind(mode, node, literal, [other[position] for other in new])
            elif node.target in _BY_SIZE and position == 0:
                number = Place(mode, node.name, argument(node, 2, "dim", 0), 0)
            if number is not None:
                yield given.origin, number, call.line

    def _behind(self, mode: bool, node: fx.Node, literal: int, after: Sequence[int]) -> Number | None:
        """What stands behind a literal that becomes ``after`` in the sampled cuts; None where that cannot be told."""
        if all(number == literal for number in after):
            return literal
        for place, axis in places_at(self._analysis, mode, node):
            if axis.size == literal and self._lengths(axis) == list(after):
                return place
        return None

    def _lengths(self, axis: Array) -> list[int]:
        atoms = self._analysis.atoms.of(axis)
        return [int(mask[atoms].sum()) for mask in self._masks]

    def _number(self, origin: Origin | int) -> Number | None:
        """The expression with places for attributes and sizes; None where one of them has no place."""
        if isinstance(origin, int):
            return int(origin)
        if isinstance(origin, Attribute):
            return self._direct.get(origin)
        if isinstance(origin, Size):
            found = self._marks.get(origin.mark)
            return Place(*found, origin.dim) if found else None
        left, right = self._number(origin.left), self._number(origin.right)
        return None if left is None or right is None else Arithmetic(origin.function, left, right)


def places_at(analysis: Analysis, mode: bool, node: fx.Node) -> Iterator[tuple[Place, Array]]:
    """Every axis that can shrink of a node's results and then of its operands, and its place."""
    for other in (node, *node.all_input_nodes):
        value = analysis.traces[mode].values[other]
        several = bool(value) and isinstance(value[0], list)
        for piece, axes in enumerate(value if several else [value or []]):
            for dim, axis in enumerate(axes):
                if axis.any():
                    yield Place(mode, other.name, dim, piece if several else None), axis


def _sample(analysis: Analysis, seed: int) -> dict[str, Array]:
    """Positions kept at random: something of every group goes, in counts of their own."""
    generator = np.random.default_rng(seed)
    return {
        group.name: np.sort(generator.permutation(group.width)[: generator.integers(1, group.width)])
        for group in analysis.prunable
        if group.width > 1
    }
