"""The removal oracle: an interpreter of the *original* graph in which what a plan removes is masked at every value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.axes.statistics import STATISTICS_OF, kept_statistic
from compress.axes.surgery import kept_atoms
from compress.axes.trace import Trace


def masked_forward(
    analysis: Analysis, keep: Mapping[str, Array], inputs: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...]:
    """Run the uncut evaluation graph with every removed index of every value set to zero, and return its outputs.

    Statistics run over what is kept. This is what removal must equal. No tensor is sliced and no literal rewritten
    here, so a mistake in the surgery cannot hide.
    """
    program, trace = analysis.program, analysis.traces[False]
    kept = kept_atoms(analysis, keep)
    tensors = program.tensors
    feed = iter(inputs)
    values: dict[fx.Node, Any] = {}
    last = _last_uses(program.graphs[False])
    with torch.no_grad():
        for node in program.graphs[False].nodes:
            if node.op == "placeholder":
                values[node] = next(feed)
            elif node.op == "get_attr":
                values[node] = _masked(tensors[str(node.target)].detach().clone(), trace.values[node], analysis, kept)
            elif node.op == "output":
                return tuple(values[leaf] for leaf in node.args[0])
            else:
                args = fx.map_arg(node.args, lambda n: values[n])
                kwargs = fx.map_arg(node.kwargs, lambda n: values[n])
                found = _run(node, args, kwargs, trace, analysis, kept)
                values[node] = _masked(found, trace.values[node], analysis, kept)
            for spent in last.get(node, ()):
                del values[spent]
    raise AssertionError("a graph without output")


def _last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Which values are not needed any more after each node: video networks hold gigabytes otherwise."""
    user = {operand: node for node in graph.nodes for operand in node.all_input_nodes}
    found: dict[fx.Node, list[fx.Node]] = {}
    for operand, node in user.items():
        found.setdefault(node, []).append(operand)
    return found


def _run(node: fx.Node, args: Any, kwargs: Any, trace: Trace, analysis: Analysis, kept: np.ndarray) -> Any:
    """Statistics run over kept elements only; everything else runs as it is."""
    statistic = kept_statistic(node.target)
    if statistic is None:
        return node.target(*args, **kwargs)  # type: ignore[operator]
    summarised = node.args[STATISTICS_OF.get(node.target, 0)]
    masks = [kept[analysis.atoms.of(labels)] for labels in trace.axes(summarised)]
    return statistic(node, args, kwargs, masks)


def _masked(value: Any, axes: Any, analysis: Analysis, kept: np.ndarray) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_masked(item, axis, analysis, kept) for item, axis in zip(value, axes, strict=True))
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    for dim, labels in enumerate(axes):
        mask = kept[analysis.atoms.of(labels)]
        if mask.all() or value.shape[dim] != mask.size:
            continue
        shape = [1] * value.ndim
        shape[dim] = mask.size
        gone = torch.from_numpy(~mask).reshape(shape)
        overlapping = any(stride == 0 and size > 1 for stride, size in zip(value.stride(), value.shape, strict=True))
        # In place, so that a view stays a view: the graph may write through it later.
        value = value.masked_fill(gone, 0) if overlapping else value.masked_fill_(gone, 0)
    return value
