"""Operators that regroup or reorder dimensions: view, flatten, permute, squeeze, expand."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from compress.axes.labels import Array, fixed
from compress.axes.trace import Axes, Cut, Trace, argument, aten, rewrites, rule

_VIEWS = aten(
    "view reshape _unsafe_view view_copy flatten.using_ints unflatten.int squeeze squeeze.dim squeeze.dims unsqueeze"
)


_SWAPS = aten("transpose.int swapaxes swapdims")
_MOVES = aten("movedim.int movedim.intlist")


@rule(*_VIEWS)
def view(trace: Trace, node: fx.Node) -> Axes:
    """Dimensions are matched by their products; what is merged or split becomes a product of factors."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    place = trace.place(node)
    result: Axes = []
    for sources, sizes in _matched([labels.size for labels in x], shape):
        result.extend(_regroup(trace, [x[dim] for dim in sources], sizes, place))
    return result


@rule(*aten("reshape_as view_as"))
def reshape_as(trace: Trace, node: fx.Node) -> Any:
    """A reshape to another value's shape, whose dimensions the result's are tied to."""
    result = view(trace, node)
    for mine, theirs in zip(result, trace.axes(node.args[1]), strict=True):
        trace.labels.tie(mine, theirs, f"shaped like elements that never change ({trace.place(node)})")
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
    if not any(labels.any() for labels in sources):
        return [fixed(size) for size in sizes]
    whole = [labels for labels in sources if labels.size != 1] or sources[:1]
    merged = trace.labels.product(whole)
    if sum(size != 1 for size in sizes) <= 1:
        return [merged if size == merged.size else fixed(size) for size in sizes]
    return trace.labels.factors(merged, sizes, f"split beside elements that never change ({place})")


@rewrites(*aten("view reshape _unsafe_view view_copy expand broadcast_to"))
def literal_sizes(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Literal sizes follow what is kept."""
    new.update_arg(1, _kept_sizes(cut, old, argument(old, 1, "size"), argument(new, 1, "size"), 0))


@rewrites(*aten("unflatten.int"))
def unflattened_sizes(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Literal sizes follow what is kept."""
    first = argument(old, 1, "dim") % cut.rank(argument(old, 0, "self"))
    new.update_arg(2, _kept_sizes(cut, old, argument(old, 2, "sizes"), argument(new, 2, "sizes"), first))


def _kept_sizes(cut: Cut, old: fx.Node, sizes: Any, written: Any, first: int) -> list[Any]:
    """The sizes of the result's dimensions from ``first`` on; -1 stays, a computed size is scaled by what is kept."""
    return [
        _kept_size(cut, old, size, present, dim)
        for dim, (size, present) in enumerate(zip(sizes, written, strict=True), start=first)
    ]


def _kept_size(cut: Cut, old: fx.Node, size: Any, written: Any, dim: int) -> Any:
    if size == -1 or not cut.cut(old, dim):
        return written
    if isinstance(size, int):
        return cut.kept(old, dim)
    graph, after = written.graph, written
    with graph.inserting_after(after):
        product = graph.call_function(operator.mul, (after, cut.kept(old, dim)))
    with graph.inserting_after(product):
        return graph.call_function(operator.floordiv, (product, cut.keep(old, dim).size))


@rule(*aten("expand broadcast_to"))
def expand(trace: Trace, node: fx.Node) -> Any:
    """New and stretched dimensions are literal; the others pass through."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    lead = len(shape) - len(x)
    return [
        x[dim - lead] if dim >= lead and x[dim - lead].size == size else fixed(size) for dim, size in enumerate(shape)
    ]


@rule(*aten("permute transpose.int swapaxes swapdims t numpy_T movedim.int movedim.intlist"))
def permute(trace: Trace, node: fx.Node) -> Any:
    """Dimensions change places."""
    x = trace.axes(argument(node, 0, "self"))
    if node.target is torch.ops.aten.permute.default:
        return [x[dim] for dim in argument(node, 1, "dims")]
    if node.target in _SWAPS:
        first, second = argument(node, 1, "dim0"), argument(node, 2, "dim1")
        swapped = list(x)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        return swapped
    if node.target in _MOVES:
        numbered = torch.empty(tuple(range(1, len(x) + 1)), device="meta")
        moved = numbered.movedim(argument(node, 1, "source"), argument(node, 2, "destination"))
        return [x[number - 1] for number in moved.shape]
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


@rule(*aten("roll flip"))
def reordered(trace: Trace, node: fx.Node) -> Any:
    """Dimensions whose elements change places stay as they are."""
    x = trace.axes(argument(node, 0, "self"))
    dims = argument(node, 2 if node.target is torch.ops.aten.roll.default else 1, "dims", [])
    for dim in dims or range(len(x)):
        trace.labels.freeze(x[dim], f"its elements change places ({trace.place(node)})")
    return x


@rule(*aten("pixel_shuffle pixel_unshuffle"))
def pixel_shuffle(trace: Trace, node: fx.Node) -> Any:
    """Channels hold blocks of pixels: a channel goes with its whole block."""
    x, factor = trace.axes(argument(node, 0, "self")), argument(node, 1, "upscale_factor")
    shape, place = trace.shape(node), trace.place(node)
    for labels in x[-2:]:
        trace.labels.freeze(labels, f"pixels change places ({place})")
    space = [fixed(size) for size in shape[-2:]]
    if node.target is torch.ops.aten.pixel_shuffle.default:
        channels, block = trace.labels.factors(x[-3], [shape[-3], factor * factor], f"blocks of pixels ({place})")
        trace.labels.freeze(block, f"position in a block of pixels ({place})")
        return [*x[:-3], channels, *space]
    return [*x[:-3], trace.labels.product([x[-3], fixed(shape[-3] // x[-3].size)]), *space]


@rule(*aten("channel_shuffle"))
def channel_shuffle(trace: Trace, node: fx.Node) -> Any:
    """Lanes and positions in them change roles."""
    x, groups = trace.axes(argument(node, 0, "self")), argument(node, 1, "groups")
    lanes = trace.labels.factors(x[1], [groups, x[1].size // groups], f"lanes ({trace.place(node)})")
    return [x[0], trace.labels.product(lanes[::-1]), *x[2:]]


@rewrites(*aten("channel_shuffle"))
def lanes(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Lanes that went whole are no longer counted."""
    keep = cut.keep(argument(old, 0, "self"), 1).reshape(argument(old, 1, "groups"), -1)
    new.update_arg(1, int(keep.any(axis=1).sum()))


@rule(*aten("repeat tile"))
def repeat(trace: Trace, node: fx.Node) -> Any:
    """Repeated dimensions hold their elements several times; the others pass through."""
    x, shape = trace.axes(argument(node, 0, "self")), trace.shape(node)
    lead = len(shape) - len(x)
    result: Axes = [fixed(size) for size in shape[:lead]]
    for labels, size in zip(x, shape[lead:], strict=True):
        copies = size // labels.size  # how often may be the batch size, which is no literal
        result.append(trace.labels.product([fixed(copies), labels]) if copies > 1 else labels)
    return result


@rule(*aten("repeat_interleave.self_int"))
def repeat_interleave(trace: Trace, node: fx.Node) -> Any:
    """Each element of a dimension several times in a row; it goes with all its copies."""
    x, dim = trace.axes(argument(node, 0, "self")), argument(node, 2, "dim")
    if dim is None or not isinstance(times := argument(node, 1, "repeats"), int):
        return trace.refuse(node, "repetition of a flattened tensor or a computed number of times")
    repeated = trace.labels.product([x[dim], fixed(times)])
    return [repeated if at == dim % len(x) else labels for at, labels in enumerate(x)]


@rule(*aten("view_as_real view_as_complex"))
def complex_view(trace: Trace, node: fx.Node) -> Any:
    """The last dimension of a complex number's real form holds its two parts, which stay."""
    x = trace.axes(node.args[0])
    if node.target is torch.ops.aten.view_as_real.default:
        return [*x, fixed(2)]
    trace.labels.freeze(x[-1], f"parts of complex numbers ({trace.place(node)})")
    return x[:-1]
