"""Sliding windows: every channel is taken several times, once for each position in the window."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.labels import fixed
from compress.axes.trace import Axes, Trace, argument, aten, rule


@rule(*aten("im2col"))
def unfold(trace: Trace, node: fx.Node) -> Any:
    """(N, C, H, W) to (N, C x window, places)."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    _freeze_space(trace, x[-2:], node)
    taken = trace.labels.product([x[-3], fixed(shape[-2] // x[-3].size)])
    return [*x[:-3], taken, fixed(shape[-1])]


@rule(*aten("col2im"))
def fold(trace: Trace, node: fx.Node) -> Any:
    """(N, C x window, places) to (N, C, H, W), summed where windows overlap."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    _freeze_space(trace, x[-1:], node)
    place = trace.place(node)
    window = x[-2].size // shape[-3]
    channels, inside = trace.labels.factors(x[-2], [shape[-3], window], f"windows of channels that stay ({place})")
    trace.labels.freeze(inside, f"position in a window ({place})")
    return [*x[:-2], channels, *(fixed(size) for size in shape[-2:])]


@rule(*aten("unfold"))
def windows_along(trace: Trace, node: fx.Node) -> Any:
    """Windows along one dimension, which stays; their elements are a new last dimension."""
    x = trace.axes(argument(node, 0, "self"))
    dim = argument(node, 1, "dimension") % len(x)
    _freeze_space(trace, x[dim : dim + 1], node)
    shape = trace.shape(node)
    return [*(fixed(shape[at]) if at == dim else labels for at, labels in enumerate(x)), fixed(shape[-1])]


def _freeze_space(trace: Trace, space: Axes, node: fx.Node) -> None:
    for labels in space:
        trace.labels.freeze(labels, f"a window slides over it ({trace.place(node)})")
