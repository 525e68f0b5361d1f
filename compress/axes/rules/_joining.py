"""Operators that join and cut axes: concatenation, split, slice, pad. Their literals follow what is kept."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.axes.labels import Array, fixed
from compress.axes.trace import Axes, Cut, Trace, argument, aten, rewrites, rule

_SPLITS = aten(
    "chunk split.Tensor split.sizes split_with_sizes tensor_split.sections tensor_split.indices unsafe_chunk"
    " unsafe_split.Tensor"
)
_PADS = aten("pad constant_pad_nd")


@rule(*aten("cat concat concatenate"))
def concatenate(trace: Trace, node: fx.Node) -> Any:
    """The joined dimension is the operands' indices one after another; the other dimensions are tied."""
    parts = [trace.axes(part) for part in argument(node, 0, "tensors")]
    parts = [axes for axes in parts if axes]
    dim = argument(node, 1, "dim", 0) % len(parts[0])
    place = trace.place(node)
    result: Axes = []
    for position in range(len(parts[0])):
        columns = [axes[position] for axes in parts]
        if position == dim:
            result.append(_joined(columns))
            continue
        live = next((labels for labels in columns if labels.any()), columns[0])
        for labels in columns:
            trace.labels.tie(live, labels, f"joined beside elements that never change ({place})")
        result.append(live)
    return result


def _joined(columns: list[Array]) -> Array:
    if any(labels.any() for labels in columns):
        return np.concatenate(columns)
    return fixed(sum(labels.size for labels in columns))


@rule(*_SPLITS)
def split(trace: Trace, node: fx.Node) -> Any:
    """Each piece is a stretch of the axis."""
    x = trace.axes(argument(node, 0, "self"))
    dim = argument(node, 2, "dim", 0) % len(x)
    sizes = [shape[dim] for shape in trace.shapes[node]]
    if sum(sizes) != x[dim].size:
        return trace.refuse(node, "pieces that overlap")  # the places to split at do not ascend
    ends = np.cumsum([0, *sizes])
    return [[labels[a:b] if at == dim else labels for at, labels in enumerate(x)] for a, b in pairwise(ends)]


@rewrites(*_SPLITS)
def split_sizes(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Pieces may now differ in size: spell the sizes out."""
    dim = argument(old, 2, "dim", 0)
    if not cut.cut(argument(old, 0, "self"), dim):
        return
    sizes = [cut.count(piece[dim]) for piece in cut.pieces(old)]
    new.target = torch.ops.aten.split_with_sizes.default
    new.args = (new.args[0], sizes, dim)
    new.kwargs = {}


@rule(*aten("slice.Tensor"))
def slice_axis(trace: Trace, node: fx.Node) -> Any:
    """A stretch of an axis, possibly with a step."""
    x = trace.axes(argument(node, 0, "self"))
    dim = argument(node, 1, "dim", 0) % len(x)
    window = _window(node, x[dim].size)
    if window is None:
        return trace.refuse(node, "slice with a computed bound")
    taken = x[dim][window] if window.step == 1 else _every(trace, node, x[dim], window)
    return [taken if at == dim else labels for at, labels in enumerate(x)]


def _every(trace: Trace, node: fx.Node, labels: Array, window: slice) -> Array:
    """Every n-th element (rotary pairs are taken apart so): runs of n go whole, so that the step stays right."""
    reason = f"every {window.step}th element is taken ({trace.place(node)})"
    if labels.size % window.step or window.start >= window.step or window.stop <= labels.size - window.step:
        trace.labels.freeze(labels, reason)
        return labels[window]
    runs, position = trace.labels.factors(labels, [labels.size // window.step, window.step], reason)
    trace.labels.freeze(position, reason)
    return runs


def _window(node: fx.Node, size: int) -> slice | None:
    start, end, step = argument(node, 2, "start"), argument(node, 3, "end"), argument(node, 4, "step", 1)
    if any(isinstance(value, fx.Node) for value in (start, end, step)):
        return None
    return slice(*slice(start, end, step).indices(size))


@rewrites(*aten("slice.Tensor"))
def slice_bounds(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Bounds move to where the kept elements are. A slice to the end stays one: the axis may hold the batch, too."""
    source, dim = argument(old, 0, "self"), argument(old, 1, "dim", 0)
    if not cut.cut(source, dim):
        return
    keep = cut.keep(source, dim)
    window = _window(old, keep.size)
    assert window is not None
    to_the_end = window.stop == keep.size
    if window.step != 1:
        start, end = window.start, int(keep.sum())
    else:
        start = int(keep[: window.start].sum())
        end = start + int(keep[window].sum())
    new.args = (new.args[0], dim, start, sys.maxsize if to_the_end else end, window.step)
    new.kwargs = {}


@rule(*aten("select.int"))
def select(trace: Trace, node: fx.Node) -> Any:
    """The selected dimension stays as it is: its indices are spelled out in the graph."""
    x = trace.axes(argument(node, 0, "self"))
    dim = argument(node, 1, "dim") % len(x)
    trace.labels.freeze(x[dim], f"one element of it is selected ({trace.place(node)})")
    return [labels for at, labels in enumerate(x) if at != dim]


@rule(*_PADS)
def pad(trace: Trace, node: fx.Node) -> Any:
    """Padding adds indices of its own, which can go with whatever they are combined with later."""
    x = trace.axes(argument(node, 0, "self"))
    amounts = argument(node, 1, "pad")
    repeats = node.target is torch.ops.aten.pad.default and argument(node, 2, "mode", "constant") != "constant"
    if repeats and _pads_live(x, amounts):
        return trace.refuse(node, "padding that repeats elements")
    if any(isinstance(value, fx.Node) for value in amounts):
        return trace.refuse(node, "padding that is computed")
    result = list(x)
    for dim, before, after in _amounts(len(x), amounts):
        if not (before or after):
            continue
        left = x[dim][max(0, -before) : x[dim].size - max(0, -after)]  # negative amounts cut
        before, after = max(0, before), max(0, after)
        if x[dim].any():
            result[dim] = np.concatenate([trace.labels.fresh(before), left, trace.labels.fresh(after)])
        else:
            result[dim] = fixed(before + left.size + after)
    return result


def _amounts(rank: int, amounts: Any) -> list[tuple[int, int, int]]:
    """Torch lists paddings from the last dimension backwards."""
    return [(rank - 1 - at, amounts[2 * at], amounts[2 * at + 1]) for at in range(len(amounts) // 2)]


def _pads_live(x: Axes, amounts: Any) -> bool:
    return any((before or after) and x[dim].any() for dim, before, after in _amounts(len(x), amounts))


@rewrites(*_PADS)
def pad_amounts(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Padding along a shrinking axis shrinks with it, and so does what negative amounts cut off."""
    source = argument(old, 0, "self")
    amounts = list(argument(old, 1, "pad"))
    if any(isinstance(value, fx.Node) for value in amounts):
        return
    for at, (dim, before, after) in enumerate(_amounts(cut.rank(source), amounts)):
        if not (before or after):
            continue
        held, keep = cut.keep(source, dim), cut.keep(old, dim)
        amounts[2 * at] = int(keep[:before].sum()) if before >= 0 else -int(held[:-before].sum())
        amounts[2 * at + 1] = (
            int(keep[keep.size - after :].sum()) if after >= 0 else -int(held[held.size + after :].sum())
        )
    new.update_arg(1, amounts)


@rule(*aten("stack"))
def stack(trace: Trace, node: fx.Node) -> Any:
    """Equal axes side by side in a new dimension, which stays."""
    parts = [trace.axes(part) for part in argument(node, 0, "tensors")]
    dim = argument(node, 1, "dim", 0) % (len(parts[0]) + 1)
    place = trace.place(node)
    tied = []
    for column in zip(*parts, strict=True):
        live = next((labels for labels in column if labels.any()), column[0])
        for labels in column:
            trace.labels.tie(live, labels, f"stacked beside elements that never change ({place})")
        tied.append(live)
    return [*tied[:dim], fixed(len(parts)), *tied[dim:]]


@rule(*aten("glu"))
def gated(trace: Trace, node: fx.Node) -> Any:
    """The first half of a dimension times the sigmoid of the second: both halves go together."""
    x, dim = trace.axes(argument(node, 0, "self")), argument(node, 1, "dim", -1)
    half = x[dim].size // 2
    trace.labels.tie(x[dim][:half], x[dim][half:], f"gated by elements that never change ({trace.place(node)})")
    return [labels[:half] if at == dim % len(x) else labels for at, labels in enumerate(x)]


@rule(*aten("unbind.int"))
def unbind(trace: Trace, node: fx.Node) -> Any:
    """One result for each element of a dimension, which stays."""
    x = trace.axes(argument(node, 0, "self"))
    dim = argument(node, 1, "dim", 0) % len(x)
    trace.labels.freeze(x[dim], f"taken apart element by element ({trace.place(node)})")
    rest = [labels for at, labels in enumerate(x) if at != dim]
    return [list(rest) for _ in range(x[dim].size)]
