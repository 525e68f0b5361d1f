"""The exact cost of any choice of widths, without cutting anything: sums of products of lengths that are affine in
the widths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.axes.trace import Trace
from compress.counting import CONVOLUTIONS, LINEAR, TRANSPOSED, node_macs
from compress.shapes import shapes_of

Widths = NDArray[np.int64]
Figures = NDArray[np.float64]


class SizeModel:
    """MACs, parameters and channels as functions of the kept widths of ``groups``; exact, as
    :mod:`compress.counting` counts.
    """

    def __init__(self, analysis: Analysis, groups: Sequence[Group]) -> None:
        self._analysis = analysis
        self._owner = np.full(
            analysis.atoms.reason_index.size, len(groups), np.int64
        )  # the last column collects what stays
        for position, group in enumerate(groups):
            self._owner[group.atoms] = position
        self._width = np.array([group.width for group in groups] + [1], np.float64)
        self._lengths: list[Figures] = []
        self._seen: dict[int, int] = {}
        self._kept_alive: list[Array] = []  # axes are told apart by identity
        self._terms = {"macs": self._mac_terms(), "params": self._param_terms(), "ratio": self._channel_terms(groups)}
        self._matrix = np.array(self._lengths) if self._lengths else np.zeros((0, len(groups) + 1))
        self.full = np.array([group.width for group in groups], np.int64)

    def cost(self, measure: str, widths: Widths) -> Figures:
        """Evaluate ``macs``, ``params`` or ``ratio`` (channels) for widths of shape (groups,) or (choices, groups)."""
        choices = np.atleast_2d(widths)
        whole = np.concatenate([choices, np.ones((len(choices), 1))], axis=1)
        lengths = np.concatenate([whole @ self._matrix.T, np.ones((len(choices), 1))], axis=1)
        factors, coefficients = self._terms[measure]
        return np.asarray(np.prod(lengths[:, factors], axis=2) @ coefficients, np.float64)

    def relative(self, measure: str, widths: Widths) -> Figures:
        """Cost of each choice over the cost of the uncut network."""
        return self.cost(measure, widths) / self.cost(measure, self.full)

    def _length(self, axis: Array) -> int:
        """Row of the axis in the table of lengths: how many indices each kept atom of a group adds."""
        if id(axis) not in self._seen:
            counts = np.bincount(self._owner[self._analysis.atoms.of(axis)], minlength=self._width.size)
            self._seen[id(axis)] = len(self._lengths)
            self._kept_alive.append(axis)
            self._lengths.append(counts / self._width)
        return self._seen[id(axis)]

    def _packed(self, terms: list[tuple[list[int], float]]) -> tuple[Array, Figures]:
        depth = max((len(rows) for rows, _ in terms), default=1)
        unit = -1  # the appended column of ones
        factors = np.array([rows + [unit] * (depth - len(rows)) for rows, _ in terms], np.int64).reshape(-1, depth)
        return factors, np.array([coefficient for _, coefficient in terms], np.float64)

    def _mac_terms(self) -> tuple[Array, Figures]:
        program, trace = self._analysis.program, self._analysis.traces[False]
        shapes = shapes_of(program.graphs[False], program.tensors, program.input_shapes(batch=1))
        terms = []
        for node in program.graphs[False].nodes:
            macs = node_macs(node, shapes)
            if macs:
                axes = [axis for axis in self._mac_axes(node, trace) if axis.any()]
                constant = macs / math.prod(axis.size for axis in axes)
                terms.append(([self._length(axis) for axis in axes], constant))
        return self._packed(terms)

    def _mac_axes(self, node: fx.Node, trace: Trace) -> list[Array]:
        """The axes whose lengths multiply to the operator's MACs, constants left out."""
        if node.target in CONVOLUTIONS | LINEAR | TRANSPOSED:
            return trace.axes(node.args[1])[:2]
        atoms = self._analysis.atoms
        operands = [operand for operand in node.args[:3] if isinstance(operand, fx.Node)]
        if not all(atoms.frozen[atoms.of(axis)].all() for operand in operands for axis in trace.axes(operand)):
            raise AssertionError(f"no size rule for {node.target} over prunable axes")
        return []

    def _param_terms(self) -> tuple[Array, Figures]:
        program = self._analysis.program
        names = sorted(program.parameter_names - set(program.tied))
        terms = []
        for name in names:
            axes = [axis for axis in self._analysis.stored[name] if axis.any()]
            constant = program.tensors[name].numel() / math.prod(axis.size for axis in axes)
            terms.append(([self._length(axis) for axis in axes], constant))
        return self._packed(terms)

    def _channel_terms(self, groups: Sequence[Group]) -> tuple[Array, Figures]:
        terms: list[tuple[list[int], float]] = []
        for position, group in enumerate(groups):
            row = np.zeros(self._width.size)
            row[position] = 1.0
            self._lengths.append(row)
            terms.append(([len(self._lengths) - 1], float(group.cell)))
        return self._packed(terms)
