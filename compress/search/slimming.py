"""Candidates that run on the shared weights themselves: no network is made of each.

Making a network of a candidate (:meth:`.SuperNet.candidate`) copies weights, rewrites two graphs, works all shapes out
and generates code. A search runs thousands of candidates whose graphs differ in a few literals, or in none: here the
weights are sliced by views, whose gradients find the shared weights by themselves, and code is generated once for every
set of literals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.axes.surgery import kept_atoms, renumbered
from compress.axes.trace import Cut, argument, rewrite_of
from compress.counting import weight_name
from compress.module import compile_forward
from compress.search.encoding import Candidate, Encoding
from compress.shapes import copy_graph
from compress.sparsity.densities import largest_units
from compress.sparsity.layers import MaskableLayer, maskable_layers
from compress.sparsity.patterns import pattern_named

_GROUPS_AT = 6  # the position of ``groups`` among a convolution's arguments
_KEPT_FORMS = 64
_NORM = 1  # blocks are ranked by it in the search (Zhao et al. 2021)
Forward = Callable[..., Any]


class _Level:
    """A level of the tree of names that generated code reads tensors from."""


@dataclasses.dataclass(frozen=True)
class Slim:
    """A candidate ready to run. ``buffers`` are its own, by name; parameters are views of the shared ones.

    Several may be held at the same time; masked weights are as they were when it was made.
    """

    buffers: dict[str, torch.Tensor]
    _forward: Forward
    _root: _Level
    _values: Sequence[tuple[_Level, str, torch.Tensor]]

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Run it; returns a tensor where the network returns one, else a tuple."""
        for level, leaf, value in self._values:
            setattr(level, leaf, value)
        outputs = self._forward(self._root, *inputs)
        return outputs[0] if len(outputs) == 1 else outputs


class Slimmer:
    """Makes :class:`Slim` candidates of the network that ``encoding`` was made of; its tensors stay where they are."""

    def __init__(self, encoding: Encoding, pattern: str) -> None:
        self._encoding, self._pattern = encoding, pattern_named(pattern)
        analysis = encoding.analysis
        program = analysis.program
        self._axes: list[Array] = []
        places: dict[bytes, int] = {}
        self._stored: dict[str, list[int]] = {}
        for name, axes in analysis.stored.items():
            found = []
            for axis in axes:
                classes = analysis.atoms.of(axis)
                key = classes.tobytes()
                if key not in places:
                    places[key] = len(self._axes)
                    self._axes.append(classes)
                found.append(places[key])
            self._stored[name] = found
        self._root = _Level()
        self._homes = {name: _home(self._root, name) for name in program.tensors}
        self._forms = {mode: _Form(analysis, mode) for mode in (False, True)}
        decided = {gene.weight for gene in encoding.densities}
        self._layers = {layer.weight: layer for layer in maskable_layers(program) if layer.weight in decided}
        self._grouped = any(layer.layout.groups > 1 for layer in self._layers.values())

    def slim(self, candidate: Candidate, *, training: bool, dense: bool = False) -> Slim:
        """Return the candidate in training or evaluation mode; ``dense`` leaves its masks out."""
        analysis = self._encoding.analysis
        keep = self._encoding.plan(candidate).validated(analysis)
        kept = kept_atoms(analysis, keep)
        cuts = [_cut(kept[classes]) for classes in self._axes]
        forward = self._forms[training].forward(analysis, kept)
        if self._grouped and training and not dense:
            self._forms[False].forward(analysis, kept)  # says how many groups are left
        program = analysis.program
        buffers: dict[str, torch.Tensor] = {}
        values: list[tuple[_Level, str, torch.Tensor]] = []
        for name, tensor in program.tensors.items():
            owner = program.tied.get(name, name)
            value = _sliced(tensor, [cuts[at] for at in self._stored[owner]])
            if owner not in program.parameter_names:
                value = buffers.setdefault(owner, self._own(owner, value, kept))
            elif not dense and candidate.densities.get(owner, 1.0) < 1:
                value = value * self._mask(owner, value.detach(), candidate.densities[owner])
            values.append((*self._homes[name], value))
        return Slim(buffers, forward, self._root, values)

    def _own(self, name: str, value: torch.Tensor, kept: Any) -> torch.Tensor:
        analysis = self._encoding.analysis
        if name in analysis.renumbered:
            return renumbered(value, kept[analysis.atoms.of(analysis.renumbered[name])])
        return value.detach().clone()

    def _mask(self, weight: str, values: torch.Tensor, density: float) -> torch.Tensor:
        layer = self._layers[weight]
        if layer.layout.groups > 1:
            layer = self._forms[False].grouped(layer)
        return largest_units(values, layer, self._pattern, density, _NORM).to(values.device)


class _Form:
    """One mode's graph, with the code for each set of literals that was met."""

    def __init__(self, analysis: Analysis, mode: bool) -> None:
        graph = analysis.program.graphs[mode]
        self._mode = mode
        self._graph = copy_graph(graph)
        pairs = list(zip(graph.nodes, self._graph.nodes, strict=True))
        self._sized = [
            (old, new, new.target, new.args, dict(new.kwargs)) for old, new in pairs if rewrite_of(old) is not None
        ]
        self._multiplied = {name: new for _, new in pairs if (name := weight_name(new)) is not None}
        self._made: dict[str, Forward] = {}

    def forward(self, analysis: Analysis, kept: Any) -> Forward:
        """The code for what is kept."""
        cut = Cut(analysis.traces[self._mode], lambda labels: kept[analysis.atoms.of(labels)])
        for old, new, target, args, kwargs in self._sized:
            new.target, new.args, new.kwargs = target, args, kwargs
            rewrite = rewrite_of(old)
            assert rewrite is not None
            rewrite(cut, old, new)
        literals = repr([(str(new.target), new.args, new.kwargs) for _, new, *_ in self._sized])
        if literals not in self._made:
            if len(self._made) >= _KEPT_FORMS:
                self._made.pop(next(iter(self._made)))
            self._made[literals] = compile_forward(self._graph)
        return self._made[literals]

    def grouped(self, layer: MaskableLayer) -> MaskableLayer:
        """The layer with as many groups as :meth:`forward` left it."""
        groups = argument(self._multiplied[layer.weight], _GROUPS_AT, "groups", 1)
        return dataclasses.replace(layer, layout=dataclasses.replace(layer.layout, groups=groups))


def _home(root: _Level, name: str) -> tuple[_Level, str]:
    """The level that holds a tensor of a dotted name, made where it is missing, and the last part of the name."""
    *path, leaf = name.split(".")
    level = root
    for part in path:
        if not hasattr(level, part):
            setattr(level, part, _Level())
        level = getattr(level, part)
    return level, leaf


def _cut(mask: Any) -> int | torch.Tensor | None:
    """What is kept of an axis: all (None), so many of the first, or the positions."""
    count = int(mask.sum())
    if count == mask.size:
        return None
    return count if mask[:count].all() else torch.from_numpy(np.flatnonzero(mask))


def _sliced(tensor: torch.Tensor, cuts: Sequence[int | torch.Tensor | None]) -> torch.Tensor:
    for dim, cut in enumerate(cuts):
        if isinstance(cut, int):
            tensor = tensor.narrow(dim, 0, cut)
        elif cut is not None:
            tensor = tensor.index_select(dim, cut.to(tensor.device))
    return tensor
