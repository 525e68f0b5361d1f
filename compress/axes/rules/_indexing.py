"""Picking by index: through a constant list of positions the axis is known, otherwise what is picked from stays."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from compress.axes.labels import fixed
from compress.axes.trace import Axes, Trace, aten, rule

_PICKS = {*aten("index.Tensor index_select")}
_PASSING = {*aten("lift_fresh_copy detach detach_ alias clone contiguous to.device to.dtype to.dtype_layout _to_copy")}


@rule(*aten("embedding"))
def embedding(trace: Trace, node: fx.Node) -> Any:
    """A table's rows are picked by index and stay; its width passes through."""
    table, index = trace.axes(node.args[0]), trace.axes(node.args[1])
    trace.labels.freeze(table[0], f"rows picked by index ({trace.place(node)})")
    return [*index, table[1]]


@rule(*aten("index.Tensor"))
def index(trace: Trace, node: fx.Node) -> Any:
    """Indexed dimensions stay, unless one is picked from by a constant list; the others pass through. Neighbouring
    index tensors are replaced by their joint shape.
    """
    x, picked = trace.axes(node.args[0]), node.args[1]
    assert isinstance(picked, (list, tuple))
    at = [dim for dim, item in enumerate(picked) if item is not None]
    if len(at) == 1 and (mapped := _mapped(trace, node, x, at[0], picked[at[0]])) is not None:
        return mapped
    for dim in at:
        for labels in (x[dim], *trace.axes(picked[dim])):
            trace.labels.freeze(labels, f"picked by index ({trace.place(node)})")
    if at != list(range(at[0], at[-1] + 1)):
        return trace.refuse(node, "indexing with tensors that are apart")
    shape = trace.shape(node)
    count = len(shape) - (len(x) - len(at))
    return [*x[: at[0]], *(fixed(size) for size in shape[at[0] : at[0] + count]), *x[at[-1] + 1 :]]


@rule(*aten("index_select"))
def index_select(trace: Trace, node: fx.Node) -> Any:
    """As :func:`index` with one list of positions."""
    x = trace.axes(node.args[0])
    dim, picked = node.args[1], node.args[2]
    assert isinstance(dim, int)
    mapped = _mapped(trace, node, x, dim % len(x), picked)
    if mapped is not None:
        return mapped
    for labels in (x[dim], *trace.axes(picked)):
        trace.labels.freeze(labels, f"picked by index ({trace.place(node)})")
    return [fixed(trace.shape(node)[at]) if at == dim % len(x) else labels for at, labels in enumerate(x)]


def _mapped(trace: Trace, node: fx.Node, x: Axes, dim: int, picked: Any) -> Axes | None:
    """The axes behind a constant list of positions in ``dim``; None where the list is not known or used otherwise.

    The entries of the list go with what they pick, and those that stay are renumbered: see :meth:`Trace.renumber`.
    """
    source = _stored_list(picked)
    if source is None or not x[dim].any():
        return None
    name = str(source.target)
    positions = trace.constants.get(name)
    if positions is None or positions.ndim != 1 or positions.is_floating_point() or positions.dtype is torch.bool:
        return None
    taken = x[dim][(positions % x[dim].size).cpu().numpy()]
    place = trace.place(node)
    trace.renumber(name, x[dim], f"positions in it are listed twice ({place})")
    trace.labels.tie(taken, trace.axes(source)[0], f"picked by index ({place})")
    return [taken if at == dim else labels for at, labels in enumerate(x)]


def _stored_list(picked: Any) -> fx.Node | None:
    """The stored tensor that ``picked`` is, if nothing but picking uses it."""
    node = picked
    while isinstance(node, fx.Node) and node.target in _PASSING:
        node = node.args[0]
    if not isinstance(node, fx.Node) or node.op != "get_attr" or not _only_picks(node):
        return None
    return node


def _only_picks(node: fx.Node) -> bool:
    return all(user.target in _PICKS or (user.target in _PASSING and _only_picks(user)) for user in node.users)
