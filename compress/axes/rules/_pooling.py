"""Pooling, resizing and reductions: channels pass through, what is summarised stays."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.labels import fixed
from compress.axes.trace import Axes, Trace, argument, aten, rule

_POOLS = aten(
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d "
    "adaptive_max_pool2d max_pool2d_with_indices upsample_nearest2d.vec upsample_bilinear2d.vec upsample_bicubic2d.vec "
    "upsample_nearest2d upsample_bilinear2d reflection_pad2d replication_pad2d"
)


@rule(*_POOLS)
def pool(trace: Trace, node: fx.Node) -> Any:
    """Batch and channels pass through; space is summarised."""
    x = trace.axes(argument(node, 0, "self"))
    shape = trace.shapes[node]
    if isinstance(shape, list):  # value and indices
        return [_pooled(trace, node, x, one) for one in shape]
    return _pooled(trace, node, x, shape)


def _pooled(trace: Trace, node: fx.Node, x: Axes, shape: tuple[int, ...]) -> Axes:
    for space in x[2:]:
        trace.labels.freeze(space, f"pooled over ({trace.place(node)})")
    return [*x[:2], *(fixed(size) for size in shape[2:])]


@rule(*aten("mean.dim sum.dim_IntList amax amin var.correction std.correction"))
def reduction(trace: Trace, node: fx.Node) -> Any:
    """Reduced dimensions are frozen: removing an element of them would change the statistic."""
    x = trace.axes(argument(node, 0, "self"))
    dims = argument(node, 1, "dim")
    reduced = set(range(len(x))) if not dims else {dim % len(x) for dim in ([dims] if isinstance(dims, int) else dims)}
    kept_dim = len(trace.shape(node)) == len(x)
    result: Axes = []
    for dim, labels in enumerate(x):
        if dim not in reduced:
            result.append(labels)
            continue
        trace.labels.freeze(labels, f"a statistic runs over it ({trace.place(node)})")
        if kept_dim:
            result.append(fixed(1))
    return result


@rule(*aten("mean"))
def reduce_all(trace: Trace, node: fx.Node) -> Any:
    """A mean over everything."""
    for labels in trace.axes(argument(node, 0, "self")):
        trace.labels.freeze(labels, f"a statistic runs over it ({trace.place(node)})")
    return []
