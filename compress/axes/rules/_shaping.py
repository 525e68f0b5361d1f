"""Operators that regroup or reorder dimensions: view, flatten, permute, squeeze, expand."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import fx

from compress.axes.labels import Array, fixed
from compress.axes.trace import Axes, Cut, Trace, argument, aten, rewrites, rule

_VIEWS = aten(
    "view reshape _unsafe_view view_copy flatten.using_ints unflatten.int squeeze squeeze.dim squeeze.dims unsqueeze"
)


@rule(*_VIEWS)
def view(trace: Trace, node: fx.Node) -> Any:
    """Dimensions are matched by their products; merging keeps at most one prunable factor."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    place = trace.place(node)
    result: Axes = []
    for sources, sizes in _matched([labels.size for labels in x], shape):
        result.extend(_regroup(trace, [x[dim] for dim in sources], sizes, place))
    return result


def _matched(before: list[int], after: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Cut both shapes into the shortest runs of equal product; trailing ones join the last run."""
    runs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        sources, sizes = [], []
        left = right = 1
        if i < len(before):
            left, sources, i = before[i], [i], i + 1
        if j < len(after):
            right, sizes, j = after[j], [after[j]], j + 1
        while left != right:
            if left < right:
                left, i = left * before[i], i + 1
                sources.append(i - 1)
            else:
                right, j = right * after[j], j + 1
                sizes.append(after[j - 1])
        runs.append((sources, sizes))
    return runs


def _regroup(trace: Trace, sources: list[Array], sizes: list[int], place: str) -> Axes:
    live = [labels for labels in sources if labels.any()]
    if not live:
        return [fixed(size) for size in sizes]
    total = int(np.prod(sizes))
    if len(live) == 1 and sum(size != 1 for size in sizes) <= 1:
        grid = np.meshgrid(*sources, indexing="ij")
        at = next(index for index, labels in enumerate(sources) if labels is live[0])
        merged = grid[at].reshape(total)
        return [merged if size != 1 or total == 1 else fixed(size) for size in sizes]
    for labels in live:
        trace.labels.freeze(labels, f"split or merged with another axis by a reshape ({place})")
    return [fixed(size) for size in sizes]


@rewrites(*aten("view reshape _unsafe_view view_copy expand"))
def literal_sizes(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Literal sizes follow what is kept."""
    new.update_arg(1, _kept_sizes(cut, old, argument(old, 1, "size"), argument(new, 1, "size"), 0))


@rewrites(*aten("unflatten.int"))
def unflattened_sizes(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Literal sizes follow what is kept."""
    first = argument(old, 1, "dim") % cut.rank(argument(old, 0, "self"))
    new.update_arg(2, _kept_sizes(cut, old, argument(old, 2, "sizes"), argument(new, 2, "sizes"), first))


def _kept_sizes(cut: Cut, old: fx.Node, sizes: Any, written: Any, first: int) -> list[Any]:
    """The sizes of the result's dimensions from ``first`` on; computed ones and -1 stay as they are ``written``."""
    return [
        cut.kept(old, dim) if isinstance(size, int) and size != -1 and cut.cut(old, dim) else present
        for dim, (size, present) in enumerate(zip(sizes, written, strict=True), start=first)
    ]


@rule(*aten("expand"))
def expand(trace: Trace, node: fx.Node) -> Any:
    """New and stretched dimensions are literal; the others pass through."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    lead = len(shape) - len(x)
    return [
        x[dim - lead] if dim >= lead and x[dim - lead].size == size else fixed(size) for dim, size in enumerate(shape)
    ]


@rule(*aten("permute transpose.int t numpy_T movedim.int"))
def permute(trace: Trace, node: fx.Node) -> Any:
    """Dimensions change places."""
    x = trace.axes(argument(node, 0, "self"))
    if node.target is torch.ops.aten.permute.default:
        return [x[dim] for dim in argument(node, 1, "dims")]
    if node.target is torch.ops.aten.transpose.int:
        first, second = argument(node, 1, "dim0"), argument(node, 2, "dim1")
        swapped = list(x)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        return swapped
    if node.target is torch.ops.aten.movedim.int:
        moved = list(x)
        moved.insert(argument(node, 2, "destination") % len(x), moved.pop(argument(node, 1, "source")))
        return moved
    return x[::-1]


@rule(operator.getitem)
def pick(trace: Trace, node: fx.Node) -> Any:
    """One result of an operator with several."""
    return trace.values[argument(node, 0, "a")][argument(node, 1, "b")]


@rule(
    *aten("sym_size.int sym_numel"),
    operator.add,
    operator.sub,
    operator.mul,
    operator.floordiv,
    operator.mod,
    operator.truediv,
)
def size_arithmetic(trace: Trace, node: fx.Node) -> Any:
    """Sizes of open dimensions have no axes."""
    return None
