"""Pooling, resizing and reductions: channels pass through, what is summarised stays."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import fx

from compress.axes.labels import fixed
from compress.axes.rules._normalisation import reduced
from compress.axes.trace import Axes, Trace, argument, aten, rule

_POOLS = aten(
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d "
    "adaptive_max_pool2d max_pool2d_with_indices upsample_nearest2d.vec upsample_bilinear2d.vec upsample_bicubic2d.vec "
    "upsample_nearest2d upsample_bilinear2d "
    "_upsample_bicubic2d_aa.vec _upsample_bilinear2d_aa.vec reflection_pad1d reflection_pad2d reflection_pad3d "
    "replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d.vec upsample_nearest3d.vec "
    "upsample_linear1d.vec upsample_trilinear3d.vec _upsample_nearest_exact2d.vec adaptive_max_pool1d "
    "adaptive_max_pool3d max_pool1d_with_indices max_pool3d_with_indices"
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
    found = re.search(r"(\d)d", str(node.target))
    assert found
    lead = len(x) - int(found[1])
    for space in x[lead:]:
        trace.labels.freeze(space, f"pooled over ({trace.place(node)})")
    return [*x[:lead], *(fixed(size) for size in shape[lead:])]


@rule(
    *aten("mean mean.dim amax amin max min var.correction std.correction var.dim std.dim"),
    *aten("var_mean.correction var_mean.dim"),
)
def reduction(trace: Trace, node: fx.Node) -> Any:
    """Removing an element of a reduced dimension changes the statistic."""
    x, dims = trace.axes(argument(node, 0, "self")), argument(node, 1, "dim")
    chosen = range(len(x)) if dims in (None, []) else ([dims] if isinstance(dims, int) else dims)
    for dim in chosen:
        trace.labels.flag(x[dim], f"a statistic runs over it ({trace.place(node)})")
    if isinstance(trace.shapes[node], list):
        return [reduced(trace, node, x, dims, shape) for shape in trace.shapes[node]]
    return reduced(trace, node, x, dims)


@rule(*aten("sum sum.dim_IntList"))
def summation(trace: Trace, node: fx.Node) -> Any:
    """A sum over a shrinking axis equals masking: zeros add nothing."""
    return reduced(trace, node, trace.axes(argument(node, 0, "self")), argument(node, 1, "dim"))


@rule(*aten("max.dim min.dim argmax topk sort cumsum cumprod"))
def ordered(trace: Trace, node: fx.Node) -> Any:
    """Where positions matter, the dimension stays."""
    x = trace.axes(argument(node, 0, "self"))
    default = 2 if node.target is torch.ops.aten.topk.default else 1
    dim = argument(node, default, "dim")
    for labels in x if dim is None else [x[dim]]:
        trace.labels.freeze(labels, f"positions along it matter ({trace.place(node)})")
    shapes = trace.shapes[node]
    one = [labels for at, labels in enumerate(x)]
    if isinstance(shapes, list):
        return [_shaped(one, shape, dim) for shape in shapes]
    return _shaped(one, shapes, dim)


def _shaped(x: Axes, shape: tuple[int, ...], dim: int | None) -> Axes:
    """The axes of a result in which ``dim`` was dropped or shortened."""
    if dim is None:
        return [fixed(size) for size in shape]
    left = x if len(shape) == len(x) else [labels for at, labels in enumerate(x) if at != dim % len(x)]
    return [labels if labels.size == size else fixed(size) for labels, size in zip(left, shape, strict=True)]


@rule(*aten("grid_sampler"))
def sampled(trace: Trace, node: fx.Node) -> Any:
    """Channels pass through; places are computed from a grid, which stays."""
    x, grid = trace.axes(node.args[0]), trace.axes(node.args[1])
    for labels in (*x[2:], *grid[1:]):
        trace.labels.freeze(labels, f"sampled at computed places ({trace.place(node)})")
    return [*x[:2], *(fixed(size) for size in trace.shape(node)[2:])]


@rule(*aten("fft_rfft fft_irfft fft_fft fft_ifft fft_rfft2 fft_irfft2 fft_fft2 fft_ifft2 fft_rfftn fft_irfftn"))
def transformed(trace: Trace, node: fx.Node) -> Any:
    """Dimensions that are transformed stay; the others pass through."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    default = [-1] if str(node.target).split(".")[1] in _ONE_DIMENSION else [-2, -1]
    dims = argument(node, 2, "dim", default)
    gone = {dim % len(x) for dim in ([dims] if isinstance(dims, int) else dims or range(len(x)))}
    for dim in gone:
        trace.labels.freeze(x[dim], f"Fourier transform along it ({trace.place(node)})")
    return [fixed(shape[at]) if at in gone else labels for at, labels in enumerate(x)]


_ONE_DIMENSION = {"fft_rfft", "fft_irfft", "fft_fft", "fft_ifft"}
