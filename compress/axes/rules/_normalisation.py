"""Normalisations whose statistics run over batch and space only: their parameters go with the channel."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.trace import Trace, argument, aten, rule


@rule(*aten("batch_norm instance_norm"))
def batch_norm(trace: Trace, node: fx.Node) -> Any:
    """Scale, shift and running statistics are one value a channel (dimension 1)."""
    x = trace.axes(argument(node, 0, "input"))
    place = trace.place(node)
    for position, name in ((1, "weight"), (2, "bias"), (3, "running_mean"), (4, "running_var")):
        operand = argument(node, position, name)
        if operand is not None:
            trace.labels.tie(x[1], trace.axes(operand)[0], f"normalises channels that never change ({place})")
    return x
