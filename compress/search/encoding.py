"""What a search decides about a network, as one vector: a width for every group, a density for every layer.

Source: Zhao et al. 2021 (JCW), as far as it is known; made general: any Program's groups and layers.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compress.axes.analysis import Analysis, analyse
from compress.errors import PlanError
from compress.plan import Kept, Plan
from compress.program import Program
from compress.search.breeding import STEP, Grid
from compress.search.sorting import Array
from compress.sparsity.layers import DEPTHWISE, LAST, maskable_layers

CHANNELS = 4
"""Widths are multiples of this: four output channels share a block of weights."""
LOWEST_WIDTH, LOWEST_DENSITY = 0.5, 0.3


@dataclass(frozen=True)
class WidthGene:
    """The share of a group's channels that stays: ``atoms`` of ``cell`` channels each."""

    group: str
    layers: tuple[str, ...]
    atoms: int
    cell: int

    def kept(self, ratio: float) -> int:
        """Return how many atoms stay: whole fours of channels, rounded up, at least one four and at most all."""
        step = math.lcm(CHANNELS, self.cell) // self.cell
        wanted = math.ceil(round((self.atoms // step) * ratio, 9)) * step
        return min(max(wanted, step), self.atoms)


@dataclass(frozen=True)
class DensityGene:
    """The share of a layer's blocks that is not zero."""

    layer: str
    weight: str


@dataclass(frozen=True)
class Candidate:
    """One point of a search: the atoms kept of every group, and the density of every layer by its weight's name."""

    widths: Mapping[str, int]
    densities: Mapping[str, float]


@dataclass(frozen=True)
class Encoding:
    """Vectors of keep ratios: first the genes of the widths, then those of the densities, on ``grid``."""

    analysis: Analysis
    widths: tuple[WidthGene, ...]
    densities: tuple[DensityGene, ...]
    grid: Grid

    def decode(self, genes: Array) -> Candidate:
        """Return the candidate of a vector of shape (widths + densities,).

        Raises:
            PlanError: the vector has another shape.
        """
        if genes.shape != self.grid.low.shape:
            raise PlanError(f"a vector of shape {genes.shape} does not encode {len(self.grid.low)} decisions")
        ratios = [float(ratio) for ratio in genes]
        widths = {gene.group: gene.kept(ratio) for gene, ratio in zip(self.widths, ratios, strict=False)}
        densities = zip(self.densities, ratios[len(self.widths) :], strict=True)
        return Candidate(widths, {gene.weight: ratio for gene, ratio in densities})

    @property
    def names(self) -> tuple[str, ...]:
        """What the genes are called: ``width GROUP``, ``density LAYER``."""
        return (
            *(f"width {gene.group}" for gene in self.widths),
            *(f"density {gene.layer}" for gene in self.densities),
        )

    @property
    def free(self) -> Array:
        """Which genes there is a choice for: bool of shape (genes,)."""
        return np.asarray(self.grid.low < self.grid.high)

    def filled(self, choice: Array) -> Array:
        """Return the whole vector of a point of :attr:`free` genes."""
        genes = self.grid.high.copy()
        genes[self.free] = choice
        return genes

    def holding(self, *, widths: Iterable[str] = (), densities: Iterable[str] = ()) -> Encoding:
        """Return the encoding with these widths (by group) and densities (by weight) left whole.

        Raises:
            PlanError: nothing is left to be decided.
        """
        whole, dense = set(widths), set(densities)
        held = [gene.group in whole for gene in self.widths] + [gene.weight in dense for gene in self.densities]
        low = np.where(held, 1.0, self.grid.low)
        if not (low < self.grid.high).any():
            raise PlanError("nothing is left to be searched", hint="no bound is below 1, or every layer is ignored")
        return replace(self, grid=replace(self.grid, low=low))

    def among(self, widths: Mapping[str, Sequence[int]]) -> Encoding:
        """Return the encoding with only these numbers of atoms to choose from, by group."""
        choices = {
            at: np.array([kept / gene.atoms for kept in widths[gene.group]])
            for at, gene in enumerate(self.widths)
            if gene.group in widths
        }
        low = self.grid.low.copy()
        for at, values in choices.items():
            low[at] = min(values[0], self.grid.high[at]) if self.free[at] else low[at]
        return replace(self, grid=replace(self.grid, low=low, choices=choices))

    def encode(self, candidate: Candidate) -> Array:
        """Return the vector of a candidate: exact ratios, which need not lie on the grid."""
        widths = [candidate.widths[gene.group] / gene.atoms for gene in self.widths]
        return np.array([*widths, *(candidate.densities[gene.weight] for gene in self.densities)])

    def plan(self, candidate: Candidate) -> Plan:
        """Return the plan that keeps the first atoms of every group, so that candidates share weights."""
        groups = {
            gene.group: Kept(gene.atoms, tuple(range(candidate.widths[gene.group])), gene.layers)
            for gene in self.widths
            if candidate.widths[gene.group] < gene.atoms
        }
        return Plan(groups, settings={"method": "jcw"})


def encoding_of(
    program: Program,
    *,
    lowest_width: float = LOWEST_WIDTH,
    lowest_density: float = LOWEST_DENSITY,
    width_bounds: Mapping[str, float] | None = None,
    density_bounds: Mapping[str, float] | None = None,
    ignore: Iterable[str] = (),
    step: float = STEP,
) -> Encoding:
    """Encode every prunable group and every layer that can be masked, depthwise and last layers left out.

    Args:
        program: the dense network.
        lowest_width: least keep ratio of a group; ``lowest_density``: of a layer's weights. The highest are 1.
        width_bounds: other least ratios, by pattern of the names of the layers that produce a group; the highest of
            those that match counts. ``density_bounds``: likewise, by pattern of the layer's name.
        ignore: patterns of layers whose width and density stay.
        step: of the grid.

    Raises:
        PlanError: a pattern matches nothing, a bound is not in (0, 1], or nothing is left to be decided.
    """
    analysis = analyse(program)
    out = tuple(ignore)
    widths = [WidthGene(group.name, group.producers, group.width, group.cell) for group in analysis.prunable]
    layers = [layer for layer in maskable_layers(program) if layer.part not in (DEPTHWISE, LAST)]
    densities = [DensityGene(layer.name, layer.weight) for layer in layers]
    producers = [gene.layers for gene in widths]
    names = [(gene.layer,) for gene in densities]
    _check_patterns(out, [*producers, *names])
    low = [
        *_bounds(producers, lowest_width, width_bounds or {}, out),
        *_bounds(names, lowest_density, density_bounds or {}, out),
    ]
    if not any(bound < 1 for bound in low):
        raise PlanError("nothing is left to be searched", hint="no bound is below 1, or every layer is ignored")
    return Encoding(analysis, tuple(widths), tuple(densities), Grid(np.array(low), np.ones(len(low)), step))


def _bounds(
    owners: Iterable[tuple[str, ...]], general: float, special: Mapping[str, float], ignored: tuple[str, ...]
) -> list[float]:
    found = list(owners)
    for name, bound in {"general": general, **special}.items():
        if not 0 < bound <= 1:
            raise PlanError(f"a least keep ratio of {bound:g} ({name}) is not above 0 and at most 1")
    _check_patterns(special, found)
    return [
        1.0
        if _matches(layers, ignored)
        else max((bound for pattern, bound in special.items() if _matches(layers, (pattern,))), default=general)
        for layers in found
    ]


def _check_patterns(patterns: Iterable[str], owners: Iterable[tuple[str, ...]]) -> None:
    found = list(owners)
    for pattern in patterns:
        if not any(_matches(layers, (pattern,)) for layers in found):
            raise PlanError(f"the pattern {pattern!r} matches no layer of the search", hint="* matches anything")


def _matches(layers: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(layer, pattern) for layer in layers for pattern in patterns)
