"""Linear layers tie the last dimension of their input to weight dimension 1 and produce weight dimension 0."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.trace import Trace, argument, aten, rule


@rule(*aten("linear"))
def linear(trace: Trace, node: fx.Node) -> Any:
    """All leading dimensions pass through."""
    x, w = trace.axes(argument(node, 0, "input")), trace.axes(argument(node, 1, "weight"))
    place = trace.place(node)
    if len(w) != 2:
        return trace.refuse(node, "linear with a weight that is not a matrix")
    trace.labels.tie(x[-1], w[1], f"input features that never change ({place})")
    bias = argument(node, 2, "bias")
    if bias is not None:
        trace.labels.tie(trace.axes(bias)[0], w[0], f"bias ({place})")
    return [*x[:-1], w[0]]
