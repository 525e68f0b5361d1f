"""The removal oracle: an interpreter of the *original* graph in which what a plan removes is masked at every value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.axes.surgery import kept_atoms


def masked_forward(
    analysis: Analysis, keep: Mapping[str, Array], inputs: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, ...]:
    """Run the uncut evaluation graph with every removed index of every value set to zero, and return its outputs.

    For exact axes this is what removal must equal. No tensor is sliced and no literal rewritten here, so a mistake in
    the surgery cannot hide.
    """
    program, trace = analysis.program, analysis.traces[False]
    kept = kept_atoms(analysis, keep)
    tensors = program.tensors
    feed = iter(inputs)
    values: dict[fx.Node, Any] = {}
    with torch.no_grad():
        for node in program.graphs[False].nodes:
            if node.op == "placeholder":
                values[node] = next(feed)
            elif node.op == "get_attr":
                values[node] = tensors[str(node.target)].detach().clone()
            elif node.op == "output":
                return tuple(values[leaf] for leaf in node.args[0])
            else:
                args = fx.map_arg(node.args, lambda n: values[n])
                kwargs = fx.map_arg(node.kwargs, lambda n: values[n])
                values[node] = _masked(node.target(*args, **kwargs), trace.values[node], analysis, kept)
    raise AssertionError("a graph without output")


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
        value = value * torch.from_numpy(mask).to(value.dtype).reshape(shape)
    return value
