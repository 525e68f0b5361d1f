"""Surgery: removing atoms slices the tensors they lie in and rewrites the literals that spell sizes out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.axes.slicing import Slicer
from compress.axes.trace import Cut, rewrite_of
from compress.errors import PlanError
from compress.program import Program
from compress.shapes import copy_graph, shapes_of
from compress.sparsity.carrying import carried

Mask = NDArray[np.bool_]


def kept_atoms(analysis: Analysis, keep: Mapping[str, Array]) -> Mask:
    """Mask over all classes. ``keep`` gives, by group name, the positions that stay; groups not named stay whole."""
    kept = np.ones(analysis.atoms.reason_index.size, bool)
    for group in analysis.prunable:
        if group.name in keep:
            kept[group.atoms] = False
            kept[group.atoms[keep[group.name]]] = True
    return analysis.atoms.closed(kept)


def remove(analysis: Analysis, keep: Mapping[str, Array]) -> Program:
    """Return a smaller Program; the one analysed is left as it is.

    Args:
        analysis: of the Program to be cut.
        keep: by group name, the sorted positions of the atoms that stay.

    Raises:
        PlanError: the cut graph no longer runs (an engine rule is wrong: nothing is returned).
    """
    program = analysis.program
    kept = kept_atoms(analysis, keep)

    def mask(labels: Array) -> Mask:
        found: Mask = kept[analysis.atoms.of(labels)]
        return found

    slicer = Slicer()
    tensors = {
        name: slicer.sliced(tensor, [mask(axis) for axis in analysis.stored[name]])
        for name, tensor in program.tensors.items()
    }
    for name, axis in analysis.renumbered.items():
        tensors[name] = renumbered(tensors[name], mask(axis))
    smaller = program.rebuilt(tensors, rewritten_graphs(analysis, keep), masks={})
    cut = {
        name: slicer.sliced(one.kept, [mask(axis) for axis in analysis.stored[name]])
        for name, one in program.masks.items()
    }
    smaller.set_masks(carried(smaller, cut, program.masks))
    planted = smaller.tensors
    for mode, graph in smaller.graphs.items():
        try:
            shapes_of(graph, planted, smaller.input_shapes(batch=2))
        except (RuntimeError, IndexError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise PlanError(
                f"the {'training' if mode else 'evaluation'} graph does not run after the cut ({first})",
                hint="please report this: run 'compress inspect --verify' on the network",
            ) from error
    return smaller


def rewritten_graphs(analysis: Analysis, keep: Mapping[str, Array]) -> dict[bool, fx.Graph]:
    """Both graphs with the literals that they have after the cut; see :func:`remove`."""
    kept = kept_atoms(analysis, keep)
    cuts = {mode: Cut(trace, lambda labels: kept[analysis.atoms.of(labels)]) for mode, trace in analysis.traces.items()}
    return {mode: _rewritten(analysis.program.graphs[mode], cut) for mode, cut in cuts.items()}


def renumbered(positions: torch.Tensor, keep: Mask) -> torch.Tensor:
    """Return positions among all indices as positions among those that ``keep``, of shape (indices,), keeps."""
    among_kept = torch.from_numpy(np.cumsum(keep) - 1).to(positions)
    return among_kept[positions % keep.size]


def _rewritten(graph: fx.Graph, cut: Cut) -> fx.Graph:
    copied = copy_graph(graph)
    for old, new in zip(graph.nodes, list(copied.nodes), strict=True):
        rewrite = rewrite_of(old)
        if rewrite is not None:
            rewrite(cut, old, new)
    copied.lint()
    return copied
