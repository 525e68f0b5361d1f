"""Matrix products and attention: the contracted dimensions are tied, the others pass through."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.labels import Array
from compress.axes.rules._elementwise import broadcast
from compress.axes.trace import Axes, Trace, argument, aten, rule
from compress.einsum import letters_of


@rule(*aten("matmul mm bmm mv dot"))
def matmul(trace: Trace, node: fx.Node) -> Any:
    """(..., M, K) times (..., K, N); a missing leading or trailing dimension is that of a vector."""
    return _multiplied(trace, node, trace.axes(node.args[0]), trace.axes(node.args[1]))


@rule(*aten("addmm baddbmm"))
def matmul_and_add(trace: Trace, node: fx.Node) -> Any:
    """A matrix product onto which the first operand is added."""
    result = _multiplied(trace, node, trace.axes(node.args[1]), trace.axes(node.args[2]))
    return broadcast(trace, node, [result, trace.axes(node.args[0])], trace.shape(node))


def _multiplied(trace: Trace, node: fx.Node, left: Axes, right: Axes) -> Axes:
    place = trace.place(node)
    inner = right[-2] if len(right) > 1 else right[0]
    trace.labels.tie(left[-1], inner, f"multiplied with features that never change ({place})")
    tail = ([left[-2]] if len(left) > 1 else []) + ([right[-1]] if len(right) > 1 else [])
    shape = trace.shape(node)
    lead = broadcast(trace, node, [left[:-2], right[:-2]], shape[: len(shape) - len(tail)])
    return [*lead, *tail]


@rule(*aten("scaled_dot_product_attention"))
def attention(trace: Trace, node: fx.Node) -> Any:
    """Query (..., L, E), key (..., S, E), value (..., S, V): E and V are widths, the softmax runs over S.

    With grouped queries the heads of the query are the heads of key and value, each repeated.
    """
    query, key, value = (trace.axes(node.args[at]) for at in range(3))
    place, labels = trace.place(node), trace.labels
    labels.tie(query[-1], key[-1], f"compared with features that never change ({place})")
    labels.tie(key[-2], value[-2], f"attends to tokens that never change ({place})")
    labels.flag(key[-2], f"softmax over it ({place})")
    if argument(node, 5, "is_causal"):
        for tokens in (query[-2], key[-2]):
            labels.freeze(tokens, f"the order of its elements matters ({place})")
    lead = list(trace.shape(node)[:-2])
    if argument(node, 7, "enable_gqa") and query[-3].size != key[-3].size:
        repeats = query[-3].size // key[-3].size
        heads, _ = labels.factors(query[-3], [key[-3].size, repeats], f"shared heads ({place})")
        labels.tie(heads, key[-3], f"shared heads ({place})")
        labels.tie(key[-3], value[-3], f"shared heads ({place})")
        outer = broadcast(trace, node, [query[:-2]], tuple(lead))
    else:
        outer = broadcast(trace, node, [query[:-2], key[:-2], value[:-2]], tuple(lead))
    mask = argument(node, 3, "attn_mask")
    if isinstance(mask, fx.Node):
        shape = (*lead, query[-2].size, key[-2].size)
        broadcast(trace, node, [[*outer, query[-2], key[-2]], trace.axes(mask)], shape)
    return [*outer, query[-2], value[-1]]


@rule(*aten("einsum"))
def einsum(trace: Trace, node: fx.Node) -> Any:
    """Equal letters are tied; letters that are summed over equal masking."""
    equation, operands = node.args[0], node.args[1]
    assert isinstance(equation, str)
    assert isinstance(operands, (list, tuple))
    inputs, output = letters_of(equation, [len(trace.axes(operand)) for operand in operands])
    place = trace.place(node)
    axes: dict[str, Array] = {}
    for letters, operand in zip(inputs, operands, strict=True):
        for letter, labels in zip(letters, trace.axes(operand), strict=True):
            known = axes.get(letter)
            if known is not None and known.size == labels.size:
                trace.labels.tie(known, labels, f"multiplied with elements that never change ({place})")
            if known is None or (labels.size >= known.size and labels.any()):
                axes[letter] = labels
    return [axes[letter] for letter in output]
