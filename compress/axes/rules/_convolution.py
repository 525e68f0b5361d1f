"""Convolution ties its input channels to weight dimension 1 and its output channels to weight dimension 0."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.labels import fixed
from compress.axes.trace import Axes, Cut, Trace, argument, aten, rewrites, rule, set_argument

_PLAIN = aten("conv1d conv2d conv3d conv1d.padding conv2d.padding conv3d.padding")
_TRANSPOSED = aten("conv_transpose1d conv_transpose2d.input conv_transpose3d.input")


@rule(*_PLAIN)
def convolution(trace: Trace, node: fx.Node) -> Any:
    """Grouped convolution loses whole groups, or is thinned evenly: the same position inside every group."""
    source, weight = argument(node, 0, "input"), argument(node, 1, "weight")
    x, w = trace.axes(source), trace.axes(weight)
    if len(x) != len(w):
        return trace.refuse(node, "convolution without a batch dimension")
    groups = argument(node, 6, "groups", 1)
    place = trace.place(node)
    for kernel in w[2:]:
        trace.labels.freeze(kernel, f"kernel size ({place})")
    if groups == 1:
        trace.labels.tie(x[1], w[1], f"input channels that never change ({place})")
    else:
        reason = f"groups over input channels that never change ({place})"
        cells, inner = trace.labels.factors(x[1], [groups, x[1].size // groups], reason)
        trace.labels.tie(inner, w[1], reason)
        outer = w[0].size // groups
        trace.labels.tie(
            w[0], trace.labels.product([cells, trace.labels.fresh(outer) if outer > 1 else fixed(1)]), reason
        )
    return _spatial(trace, node, x, w[0], place)


@rewrites(*_PLAIN, *_TRANSPOSED)
def convolution_groups(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """The number of groups follows the kept input channels."""
    groups = argument(old, 6, "groups", 1)
    if groups == 1:
        return
    keep = cut.keep(argument(old, 0, "input"), 1)
    set_argument(new, 6, "groups", int(keep.reshape(groups, -1).any(axis=1).sum()))


@rule(*_TRANSPOSED)
def transposed_convolution(trace: Trace, node: fx.Node) -> Any:
    """The weight of a transposed convolution has its input channels first."""
    source, weight = argument(node, 0, "input"), argument(node, 1, "weight")
    x, w = trace.axes(source), trace.axes(weight)
    if len(x) != len(w):
        return trace.refuse(node, "transposed convolution without a batch dimension")
    groups, place = argument(node, 6, "groups", 1), trace.place(node)
    for kernel in w[2:]:
        trace.labels.freeze(kernel, f"kernel size ({place})")
    trace.labels.tie(x[1], w[0], f"input channels that never change ({place})")
    if groups == 1:
        return _spatial(trace, node, x, w[1], place)
    reason = f"groups over input channels that never change ({place})"
    cells, _ = trace.labels.factors(x[1], [groups, x[1].size // groups], reason)
    return _spatial(trace, node, x, trace.labels.product([cells, w[1]]), place)


def _spatial(trace: Trace, node: fx.Node, x: Axes, out: Any, place: str) -> Axes:
    bias = argument(node, 2, "bias")
    if bias is not None:
        trace.labels.tie(trace.axes(bias)[0], out, f"bias ({place})")
    for space in x[2:]:
        trace.labels.freeze(space, f"convolved over ({place})")
    return [x[0], out, *(fixed(size) for size in trace.shape(node)[2:])]
