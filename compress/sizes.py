"""The exact cost of any choice of widths, without cutting anything: sums of products of lengths that are affine in
the widths.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.axes.trace import Trace
from compress.counting import (
    ADDING_PRODUCTS,
    ATTENTION,
    CONVOLUTIONS,
    LINEAR,
    PRODUCTS,
    RECURRENT,
    TRANSPOSED,
    node_macs,
    recurrent_matrices,
)
from compress.memory import Timeline, activations
from compress.shapes import Shapes, meta_values, shapes_in

Widths = NDArray[np.int64]
Figures = NDArray[np.float64]


class SizeModel:
    """MACs, parameters, peak memory and channels as functions of the kept widths of ``groups``; exact, as
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
        self._monomials: dict[tuple[int, ...], int] = {}  # products of widths that lengths are made of
        self._lengths: list[dict[int, float]] = []
        self._seen: dict[int, int] = {}
        self._kept_alive: list[Array] = []  # axes are told apart by identity
        program = analysis.program
        values = meta_values(program.graphs[False], program.tensors, program.input_shapes(batch=1))
        self._timeline, memory = self._memory_terms(values)
        self._terms = {
            "macs": self._mac_terms(shapes_in(values)),
            "params": self._param_terms(),
            "memory": memory,
            "ratio": self._channel_terms(groups),
        }
        self._matrix = self._packed_lengths()
        self._powers = _rectangle(list(self._monomials))  # the groups that each monomial is a product of
        self.full = np.array([group.width for group in groups], np.int64)

    def cost(self, measure: str, widths: Widths) -> Figures:
        """Evaluate ``macs``, ``params``, ``memory`` (bytes) or ``ratio`` (channels) for widths of shape (groups,) or
        (choices, groups).
        """
        parts = self._parts(measure, np.atleast_2d(widths))
        return self._timeline.peak(parts) if measure == "memory" else parts.sum(axis=1)

    def _parts(self, measure: str, choices: Widths) -> Figures:
        """The size of each summand (for memory: of each buffer) for each choice, of shape (choices, summands)."""
        padded = np.concatenate([choices, np.ones((len(choices), 1))], axis=1)
        products = padded[:, self._powers].prod(axis=2)
        lengths = np.concatenate([(self._matrix @ products.T).T, np.ones((len(choices), 1))], axis=1)
        factors, coefficients = self._terms[measure]
        return np.asarray(np.prod(lengths[:, factors], axis=2) * coefficients, np.float64)

    def relative(self, measure: str, widths: Widths) -> Figures:
        """Cost of each choice over the cost of the uncut network; 1 where there is nothing to count."""
        found, full = self.cost(measure, widths), float(self.cost(measure, self.full)[0])
        return found / full if full else np.ones_like(found)

    def _length(self, axis: Array) -> int:
        """Row of the axis in the table of lengths: how many indices each kept atom of a group adds."""
        if id(axis) not in self._seen:
            self._seen[id(axis)] = len(self._lengths)
            self._kept_alive.append(axis)
            self._lengths.append(self._polynomial(axis))
        return self._seen[id(axis)]

    def _polynomial(self, axis: Array) -> dict[int, float]:
        """The axis' length: an index of one group adds its width's share, one of a product the product of the
        shares.
        """
        atoms = self._analysis.atoms
        position, atom = atoms.expanded(atoms.of(axis))
        owner = self._owner[atom]
        stays = self._width.size - 1
        length: dict[int, float] = {}
        if position.size == axis.size:
            for group, count in _tally(owner):
                self._add(length, () if group == stays else (group,), float(count))
            return length
        parts = np.bincount(position, minlength=axis.size)
        for depth in np.unique(parts).tolist():
            tuples = np.sort(owner[parts[position] == depth].reshape(-1, depth), axis=1)
            found, counts = np.unique(tuples, axis=0, return_counts=True)
            for groups, count in zip(found.tolist(), counts.tolist(), strict=True):
                self._add(length, tuple(group for group in groups if group != stays), float(count))
        return length

    def _add(self, length: dict[int, float], groups: tuple[int, ...], count: float) -> None:
        column = self._monomials.setdefault(groups, len(self._monomials))
        length[column] = length.get(column, 0.0) + count / float(np.prod(self._width[list(groups)]))

    def _packed_lengths(self) -> csr_array:
        sizes = [len(length) for length in self._lengths]
        columns = [column for length in self._lengths for column in length]
        shares = [share for length in self._lengths for share in length.values()]
        rows = np.repeat(np.arange(len(sizes)), sizes)
        return csr_array((shares, (rows, columns)), shape=(len(sizes), len(self._monomials)), dtype=np.float64)

    def _packed(self, terms: list[tuple[list[int], float]]) -> tuple[Array, Figures]:
        return _rectangle([rows for rows, _ in terms]), np.array([coefficient for _, coefficient in terms], np.float64)

    def _mac_terms(self, shapes: Shapes) -> tuple[Array, Figures]:
        program, trace = self._analysis.program, self._analysis.traces[False]
        terms = []
        for node in program.graphs[False].nodes:
            macs = node_macs(node, shapes)
            if macs:
                factors = _mac_axes(node, trace)
                share = [math.prod(axis.size for axis in axes) for axes in factors]
                for axes, size in zip(factors, share, strict=True):
                    live = [axis for axis in axes if axis.any()]
                    constant = macs * size / sum(share) / math.prod(axis.size for axis in live)
                    terms.append(([self._length(axis) for axis in live], constant))
        return self._packed(terms)

    def _memory_terms(self, values: Mapping[fx.Node, Any]) -> tuple[Timeline, tuple[Array, Figures]]:
        buffers = activations(self._analysis.program.graphs[False], values)
        terms = []
        for buffer in buffers:
            axes = self._analysis.traces[False].values[buffer.node]
            live = [axis for axis in (axes if buffer.result is None else axes[buffer.result]) if axis.any()]
            constant = buffer.itemsize * math.prod(buffer.shape) / math.prod(axis.size for axis in live)
            terms.append(([self._length(axis) for axis in live], constant))
        return Timeline(buffers), self._packed(terms)

    def _param_terms(self) -> tuple[Array, Figures]:
        program, tensors = self._analysis.program, self._analysis.program.tensors
        names = sorted(program.parameter_names - set(program.tied))
        terms = []
        for name in names:
            axes = [axis for axis in self._analysis.stored[name] if axis.any()]
            constant = tensors[name].numel() / math.prod(axis.size for axis in axes)
            terms.append(([self._length(axis) for axis in axes], constant))
        return self._packed(terms)

    def _channel_terms(self, groups: Sequence[Group]) -> tuple[Array, Figures]:
        terms: list[tuple[list[int], float]] = []
        for position, group in enumerate(groups):
            self._lengths.append({self._monomials.setdefault((position,), len(self._monomials)): 1.0})
            terms.append(([len(self._lengths) - 1], float(group.cell)))
        return self._packed(terms)


def _rectangle(rows: Sequence[Sequence[int]]) -> Array:
    """Rows of indices, filled up with -1: the last column of a table, which holds ones."""
    depth = max([1, *(len(row) for row in rows)])
    return np.array([[*row, *[-1] * (depth - len(row))] for row in rows], np.int64).reshape(-1, depth)


def _tally(owner: Array) -> list[tuple[int, int]]:
    """How often each owner occurs, in ascending order; neighbours mostly have the same."""
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    counts: dict[int, int] = {}
    for one, length in zip(owner[first].tolist(), np.diff(first, append=owner.size).tolist(), strict=True):
        counts[one] = counts.get(one, 0) + length
    return sorted(counts.items())


def _mac_axes(node: fx.Node, trace: Trace) -> list[list[Array]]:
    """The axes whose lengths multiply to the operator's MACs, a list for each summand, constants left out."""
    if node.target in CONVOLUTIONS | TRANSPOSED:
        return [trace.axes(node.args[1])[:2]]
    if node.target in LINEAR:
        return [[*trace.axes(node), trace.axes(node.args[1])[-1]]]
    if node.target in ATTENTION:
        query, key, value = (trace.axes(node.args[at]) for at in range(3))
        return [[*query, key[-2]], [*query[:-1], key[-2], value[-1]]]
    if node.target in RECURRENT:
        return [trace.axes(weight) for weight in recurrent_matrices(node, trace.shapes)]
    assert node.target in PRODUCTS
    first = node.args[1] if node.target in ADDING_PRODUCTS else node.args[0]
    return [[*trace.axes(node), trace.axes(first)[-1]]]
