"""Normalisations: parameters go with their index; a normalisation over an axis that shrinks changes its statistics."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.labels import fixed
from compress.axes.trace import Axes, Cut, Trace, argument, aten, rewrites, rule, set_argument


@rule(*aten("batch_norm instance_norm"))
def batch_norm(trace: Trace, node: fx.Node) -> Any:
    """Scale, shift and running statistics are one value a channel (dimension 1); statistics run over the others."""
    x = trace.axes(argument(node, 0, "input"))
    place = trace.place(node)
    for position, name in ((1, "weight"), (2, "bias"), (3, "running_mean"), (4, "running_var")):
        operand = argument(node, position, name)
        if operand is not None:
            trace.labels.tie(x[1], trace.axes(operand)[0], f"normalises channels that never change ({place})")
    for labels in x[2:]:  # a standardised weight has input channels here
        trace.labels.flag(labels, f"normalised over ({place})")
    return x


@rule(*aten("layer_norm rms_norm"))
def layer_norm(trace: Trace, node: fx.Node) -> Any:
    """Statistics run over the trailing dimensions named by the normalised shape."""
    x = trace.axes(argument(node, 0, "input"))
    count = len(argument(node, 1, "normalized_shape"))
    place = trace.place(node)
    for labels in x[-count:]:
        trace.labels.flag(labels, f"normalised over ({place})")
    for position, name in ((2, "weight"), (3, "bias")):
        operand = argument(node, position, name)
        if isinstance(operand, fx.Node):
            for mine, theirs in zip(x[-count:], trace.axes(operand), strict=True):
                trace.labels.tie(mine, theirs, f"normalises features that never change ({place})")
    return x


@rewrites(*aten("layer_norm rms_norm"))
def normalised_shape(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """The normalised shape spells the trailing sizes out."""
    source, shape = argument(old, 0, "input"), argument(new, 1, "normalized_shape")
    first = cut.rank(source) - len(shape)
    new.update_arg(
        1, [cut.kept(source, first + at) if isinstance(size, int) else size for at, size in enumerate(shape)]
    )


@rule(*aten("group_norm"))
def group_norm(trace: Trace, node: fx.Node) -> Any:
    """Whole groups go without a trace; inside a group, thinned evenly, the group's statistics change."""
    x = trace.axes(argument(node, 0, "input"))
    groups, place = argument(node, 1, "num_groups"), trace.place(node)
    _, inner = trace.labels.factors(
        x[1], [groups, x[1].size // groups], f"groups of channels that never change ({place})"
    )
    trace.labels.flag(inner, f"normalised over, within groups ({place})")
    for position, name in ((2, "weight"), (3, "bias")):
        operand = argument(node, position, name)
        if operand is not None:
            trace.labels.tie(x[1], trace.axes(operand)[0], f"normalises channels that never change ({place})")
    return x


@rewrites(*aten("group_norm"))
def number_of_groups(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Groups that went whole are no longer counted."""
    keep = cut.keep(argument(old, 0, "input"), 1)
    rows = keep.reshape(argument(old, 1, "num_groups"), -1)
    set_argument(new, 1, "num_groups", int(rows.any(axis=1).sum()))


@rule(*aten("softmax.int log_softmax.int _softmax _log_softmax"))
def softmax(trace: Trace, node: fx.Node) -> Any:
    """The sum of exponentials runs over one dimension."""
    x: Axes = trace.axes(argument(node, 0, "self"))
    trace.labels.flag(x[argument(node, 1, "dim")], f"softmax over it ({trace.place(node)})")
    return x


@rule(*aten("linalg_vector_norm norm.ScalarOpt_dim"))
def vector_norm(trace: Trace, node: fx.Node) -> Any:
    """A norm over a shrinking axis equals masking: zeros add nothing."""
    x = trace.axes(argument(node, 0, "self"))
    dims = argument(node, 2, "dim")
    return reduced(trace, node, x, dims)


def reduced(trace: Trace, node: fx.Node, x: Axes, dims: Any, shape: tuple[int, ...] | None = None) -> Axes:
    """The axes that remain when ``dims`` (all where empty) are summed up."""
    gone = (
        set(range(len(x))) if dims in (None, []) else {d % len(x) for d in ([dims] if isinstance(dims, int) else dims)}
    )
    keeps_rank = len(shape if shape is not None else trace.shape(node)) == len(x)
    return [fixed(1) if at in gone else labels for at, labels in enumerate(x) if keeps_rank or at not in gone]
