"""Surgery: removing atoms slices the tensors they lie in and rewrites the literals that spell sizes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from compress import room
from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.axes.trace import Cut, rewrite_of
from compress.errors import PlanError
from compress.program import Program
from compress.shapes import copy_graph, shapes_of

Mask = NDArray[np.bool_]
_BLOCK = 1 << 16  # elements: what lies between two slices stays in a cache
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # what is copied need not be understood


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

    tensors = {
        name: _sliced(tensor, [mask(axis) for axis in analysis.stored[name]])
        for name, tensor in program.tensors.items()
    }
    for name, axis in analysis.renumbered.items():
        tensors[name] = _renumbered(tensors[name], mask(axis))
    smaller = program.rebuilt(tensors, rewritten_graphs(analysis, keep))
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


def _sliced(tensor: torch.Tensor, masks: list[Mask]) -> torch.Tensor:
    """A contiguous copy of what the masks keep; block by block, so that no copy of the uncut whole is made between."""
    source = tensor.detach()
    kept = [np.flatnonzero(mask) for mask in masks]
    result = room.empty([index.size for index in kept], source)
    cut = [dim for dim, mask in enumerate(masks) if not mask.all()]
    if not cut:
        return result.copy_(source)
    if source.device.type != "cpu" or source.element_size() not in _BITS:
        for dim in cut:
            source = source.index_select(dim, torch.from_numpy(kept[dim]).to(source.device))
        return result.copy_(source)
    bits = _BITS[source.element_size()]
    _gather(source.view(bits).numpy(), kept, cut, result.view(bits).numpy())
    return result


def _gather(source: Any, kept: list[Array], cut: list[int], result: Any) -> None:
    """Fill ``result`` with what is kept along the dimensions in ``cut``. (torch takes several times longer.)"""
    first, *others = cut
    for start, stop in _blocks(kept[first].size, result.size, whole=bool(first)):
        block, part = source, result if first else result[start:stop]
        indices = [(first, kept[first][start:stop]), *((other, kept[other]) for other in others)]
        for dim, index in indices[:-1]:
            block = block.take(index, axis=dim)
        dim, index = indices[-1]
        block.take(index, axis=dim, out=part, mode="clip")  # "raise" would go through a buffer


def _blocks(count: int, elements: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Stretches of the first dimension; one stretch where parts of the result would not lie together."""
    step = count if whole else max(1, _BLOCK * count // max(elements, 1))
    for start in range(0, count, step):
        yield start, min(start + step, count)


def _renumbered(positions: torch.Tensor, keep: Mask) -> torch.Tensor:
    """Positions among all indices become positions among those kept."""
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
