"""The exact cost of any choice of widths, without cutting anything: sums of products of lengths that are affine in
the widths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from compress.allocation import Part
from compress.attribution import Attribution
from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.axes.trace import Trace
from compress.counting import (
    ADDING_PRODUCTS,
    ATTENTION,
    CONVOLUTIONS,
    EINSUM,
    LINEAR,
    PRODUCTS,
    RECURRENT,
    TRANSPOSED,
    einsum_products,
    layer_name,
    node_macs,
    recurrent_matrices,
)
from compress.lengths import Lengths, rectangle
from compress.memory import Activation, Timeline
from compress.shapes import Shapes

_AT_ONCE = 1 << 22  # numbers: choices of widths by terms, evaluated together
Widths = NDArray[np.int64]
Figures = NDArray[np.float64]


@dataclass(frozen=True)
class _Term:
    """One summand: the axes whose lengths multiply to it, a coefficient, and the layer that it belongs to."""

    layer: str
    axes: list[Array]
    coefficient: float


class _Sum:
    """Terms packed for evaluation: equal products are computed once."""

    def __init__(self, terms: list[_Term], rows: list[list[int]]) -> None:
        self._factors, inverse = np.unique(rectangle([sorted(row) for row in rows]), axis=0, return_inverse=True)
        self._product = inverse.reshape(-1)
        self._coefficients = np.array([term.coefficient for term in terms], np.float64)
        self._weights = np.bincount(self._product, self._coefficients, len(self._factors))
        self.terms, self.rows = terms, rows

    def total(self, lengths: Figures) -> Figures:
        """The sum, for each row of ``lengths``."""
        return np.asarray(self._products(lengths) @ self._weights, np.float64)

    def summands(self, lengths: Figures) -> Figures:
        """Each term, of shape (choices, terms)."""
        return np.asarray(self._products(lengths)[:, self._product] * self._coefficients, np.float64)

    def _products(self, lengths: Figures) -> Figures:
        found = lengths[:, self._factors[:, 0]]
        for factor in self._factors.T[1:]:
            found = found * lengths[:, factor]
        return found


class SizeModel:
    """MACs, parameters, peak memory and channels as functions of the kept widths of ``groups``; exact, as
    :mod:`compress.counting` counts.
    """

    def __init__(self, analysis: Analysis, groups: Sequence[Group]) -> None:
        self._analysis, self._groups = analysis, groups
        self._lengths = Lengths(analysis.atoms, groups)
        buffers = analysis.running.buffers
        self._timeline = Timeline(buffers)
        terms = {
            "macs": self._mac_terms(analysis.running.shapes),
            "params": self._param_terms(),
            "memory": self._memory_terms(buffers),
        }
        self._sums = {
            measure: _Sum(found, [[self._lengths.row(axis) for axis in term.axes] for term in found])
            for measure, found in terms.items()
        }
        self._sums["ratio"] = _Sum(
            [_Term(group.name, [], float(group.cell)) for group in groups],
            [[self._lengths.row_of_group(position)] for position in range(len(groups))],
        )
        self._table = self._lengths.packed()
        self.full = np.array([group.width for group in groups], np.int64)
        self._full_cost = {measure: float(self.cost(measure, self.full)[0]) for measure in self._sums}

    def cost(self, measure: str, widths: NDArray[Any]) -> Figures:
        """Evaluate ``macs``, ``params``, ``memory`` (bytes) or ``ratio`` (channels) for widths of shape (groups,) or
        (choices, groups).
        """
        found, rows = self._sums[measure], np.atleast_2d(widths)
        parts = max(1, -(-len(rows) * max(len(found.terms), rows.shape[1]) // _AT_ONCE))
        return np.concatenate([self._cost(found, part) for part in np.array_split(rows, parts)])

    def _cost(self, found: _Sum, widths: NDArray[Any]) -> Figures:
        lengths = self._table.evaluated(widths)
        return self._timeline.peak(found.summands(lengths)) if found is self._sums["memory"] else found.total(lengths)

    def by_layer(self, measure: str, widths: NDArray[Any]) -> tuple[list[str], Figures]:
        """Return the layers that have a part in ``macs``, ``params`` or ``ratio``, and each one's, of shape
        (choices, layers).
        """
        found = self._sums[measure]
        names = list(dict.fromkeys(term.layer for term in found.terms))
        place = {name: index for index, name in enumerate(names)}
        owner = np.zeros((len(found.terms), len(names)))
        owner[np.arange(len(found.terms)), [place[term.layer] for term in found.terms]] = 1.0
        return names, np.asarray(found.summands(self._evaluated(widths)) @ owner, np.float64)

    def relative(self, measure: str, widths: NDArray[Any]) -> Figures:
        """Cost of each choice over the cost of the uncut network; 1 where there is nothing to count."""
        found, full = self.cost(measure, widths), self._full_cost[measure]
        return found / full if full else np.ones_like(found)

    def crowding(self, measure: str, widths: NDArray[Any], share: float) -> Figures:
        """By how much ``share`` is exceeded, on average over all moments: what a peak hides. 0 for sums."""
        if measure != "memory":
            return np.zeros(len(np.atleast_2d(widths)))
        alive = self._timeline.alive(self._sums[measure].summands(self._evaluated(widths)))
        return np.asarray(np.maximum(alive / self._full_cost[measure] - share, 0.0).mean(axis=1), np.float64)

    def parts(self, measure: str, widths: Widths) -> list[Part]:
        """What the cost of one choice of widths, of shape (groups,), is due to: shares of the uncut network's cost."""
        lengths, summed, full = self._evaluated(widths), self._sums[measure], self._full_cost[measure]
        sizes = summed.summands(lengths)[0]
        counted = self._timeline.at_peak(sizes) if measure == "memory" else np.flatnonzero(sizes)
        if measure == "ratio":
            return [Part(self._groups[at].name, at, "", float(sizes[at]) / full) for at in counted.tolist()]
        attribution = Attribution(self._analysis, self._groups, self._lengths.owner)
        return [
            replace(part, share=part.share * float(sizes[at]) / full)
            for at in counted.tolist()
            for part in attribution.shares(
                summed.terms[at].layer, summed.terms[at].axes, lengths[0, summed.rows[at]].tolist(), widths
            )
        ]

    def _evaluated(self, widths: NDArray[Any]) -> Figures:
        return self._table.evaluated(np.atleast_2d(widths))

    def _mac_terms(self, shapes: Shapes) -> list[_Term]:
        program, trace = self._analysis.program, self._analysis.traces[False]
        terms = []
        for node in program.graphs[False].nodes:
            macs = node_macs(node, shapes)
            if macs:
                factors = mac_axes(node, trace)
                share = [math.prod(axis.size for axis in axes) for axes in factors]
                for axes, size in zip(factors, share, strict=True):
                    live = [axis for axis in axes if axis.any()]
                    constant = macs * size / sum(share) / math.prod(axis.size for axis in live)
                    terms.append(_Term(layer_name(node), live, constant))
        return terms

    def _param_terms(self) -> list[_Term]:
        program, tensors = self._analysis.program, self._analysis.program.tensors
        names = sorted(program.parameter_names - set(program.tied))
        terms = []
        for name in names:
            axes = [axis for axis in self._analysis.stored[name] if axis.any()]
            constant = tensors[name].numel() / math.prod(axis.size for axis in axes)
            terms.append(_Term(name.rpartition(".")[0] or name, axes, constant))
        return terms

    def _memory_terms(self, buffers: Sequence[Activation]) -> list[_Term]:
        terms = []
        for buffer in buffers:
            axes = self._analysis.traces[False].values[buffer.node]
            live = [axis for axis in (axes if buffer.result is None else axes[buffer.result]) if axis.any()]
            constant = buffer.itemsize * math.prod(buffer.shape) / math.prod(axis.size for axis in live)
            made = f"input {buffer.node.name}" if buffer.node.op == "placeholder" else layer_name(buffer.node)
            terms.append(_Term(made, live, constant))
        return terms


def mac_axes(node: fx.Node, trace: Trace) -> list[list[Array]]:
    """The axes whose lengths multiply to the operator's MACs, a list for each summand, constants left out."""
    if node.target in CONVOLUTIONS | TRANSPOSED:
        return [trace.axes(node.args[1])[:2]]
    if node.target in LINEAR:
        return [[*trace.axes(node), trace.axes(node.args[1])[-1]]]
    if node.target in ATTENTION:
        query, key, value = (trace.axes(node.args[at]) for at in range(3))
        return [[*query, key[-2]], [*query[:-1], key[-2], value[-1]]]
    if node.target == EINSUM:
        return einsum_products(node, trace.values)
    if node.target in RECURRENT:
        return [trace.axes(weight) for weight in recurrent_matrices(node, trace.shapes)]
    assert node.target in PRODUCTS
    first = node.args[1] if node.target in ADDING_PRODUCTS else node.args[0]
    return [[*trace.axes(node), trace.axes(first)[-1]]]
