"""A scale that the class derives from a width is kept by scaling the weights before it.

Attention divides its scores by the square root of the head width: ``scaled_dot_product_attention`` does so by itself,
other classes in ``forward``. Once the head is narrower the class would divide by less than the network that was
trained. The product of queries and keys is linear in the queries, so the rows of the weights that make the queries
take the ratio of the two scales, and the function stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.axes.trace import aten
from compress.program import Program

_RESHAPING = frozenset(
    aten(
        "view reshape permute transpose.int unsqueeze squeeze.dim squeeze contiguous clone select.int slice.Tensor"
        " unbind.int split.Tensor split_with_sizes chunk flatten.using_ints unflatten.int expand alias detach"
        " movedim.int swapaxes t"
    )
)
_MATRIX = frozenset(aten("linear"))
_CONVOLUTION = frozenset(aten("conv1d conv2d conv3d"))
_NORM = frozenset(aten("layer_norm rms_norm"))
_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
_TIMES = frozenset(aten("mul.Tensor mul.Scalar mul_.Tensor"))
_OVER = frozenset(aten("div.Tensor div.Scalar div_.Tensor"))
_GETITEM = "getitem"


@dataclass(frozen=True)
class Fold:
    """Rows (first dimension) of a tensor that are multiplied by ``factor``."""

    tensor: str
    rows: tuple[int, ...]
    factor: float

    def apply(self, tensor: torch.Tensor) -> None:
        """Multiply in place."""
        with torch.no_grad():
            tensor[list(self.rows)] *= self.factor


def scale_of(node: fx.Node) -> float | None:
    """The number by which ``node`` multiplies its first operand, where it does just that."""
    if node.target is _ATTENTION:
        value = node.kwargs.get("scale")
    elif node.target in _TIMES or node.target in _OVER:
        value = node.args[1]
    else:
        return None
    if not isinstance(value, (int, float)) or not value:
        return None
    return 1.0 / value if node.target in _OVER else float(value)


def fold(program: Program, meta: Mapping[fx.Node, Any], node: fx.Node, factor: float) -> frozenset[Fold] | None:
    """What to scale so that ``node``, a scaling or an attention, acts as if its scale were larger by ``factor``.

    Args:
        program: the edited module's capture.
        meta: the values of the graph that ``node`` is in, on the meta device.
        node: multiplies by a scale that is not wanted.
        factor: the wanted scale over the present one.

    Returns:
        Rows of stored tensors, or None where they cannot be told from the graph.
    """
    sides = node.args[:2] if node.target is _ATTENTION else node.args[:1]
    for operand in sides:
        assert isinstance(operand, fx.Node)
        found = _Folding(program, meta, factor).before(node, operand)
        if found is not None:
            return found
    return None


class _Folding:
    def __init__(self, program: Program, meta: Mapping[fx.Node, Any], factor: float) -> None:
        self._program = program
        self._meta = meta
        self._factor = factor

    def before(self, node: fx.Node, operand: fx.Node) -> frozenset[Fold] | None:
        """Scale what ``operand`` is made of, as long as nobody but ``node`` sees it."""
        source = operand
        while _passes(source):
            (source,) = source.all_input_nodes[:1]
        dim = _channel_dim(source, self._meta)
        if dim is None:
            return None
        marked = self._marked(source, dim, node)
        rows = _rows(marked[operand])
        for user, seen in _leaving(marked):
            if not (user is node and seen is operand) and rows & _rows(marked[seen]):
                return None
        return self._folds(source, rows)

    def _marked(self, source: fx.Node, dim: int, end: fx.Node) -> dict[fx.Node, Any]:
        """The channel number of every element of every value, up to ``end``, that is merely a rearranged ``source``."""
        shape = self._meta[source].shape
        view = [1] * len(shape)
        view[dim] = shape[dim]
        marked: dict[fx.Node, Any] = {source: torch.arange(shape[dim]).view(view).expand(shape).contiguous()}
        waiting = list(source.users)
        while waiting:
            node = waiting.pop()
            if node not in marked and node is not end and _passes(node) and node.all_input_nodes[0] in marked:
                waiting += node.users
                args, kwargs = fx.map_arg((node.args, node.kwargs), self._operand(marked))
                if _scales(node):
                    marked[node] = args[0]
                else:
                    assert callable(node.target)
                    marked[node] = node.target(*args, **kwargs)
        return marked

    def _operand(self, marked: Mapping[fx.Node, Any]) -> Any:
        return lambda node: marked.get(node, self._meta[node])

    def _folds(self, source: fx.Node, rows: frozenset[int]) -> frozenset[Fold] | None:
        first = 2 if source.target in _NORM else 1
        found: set[Fold] = set()
        for operand in source.args[first : first + 2]:
            if operand is None:
                continue
            pieces = list(_stored(operand))
            if not pieces or any(len(piece.users) > 1 for piece in pieces):
                return None
            offset = 0
            for piece in pieces:
                name = str(piece.target)
                length = self._program.tensors[name].shape[0]
                mine = sorted(row - offset for row in rows if offset <= row < offset + length)
                if mine:
                    found.add(Fold(name, tuple(mine), self._factor))
                offset += length
        weight = source.args[first] if len(source.args) > first else None
        return frozenset(found) if weight is not None else None


def _stored(operand: Any) -> Iterator[fx.Node]:
    """The stored tensors that make up a weight or bias: itself, or the pieces that are joined in order."""
    if isinstance(operand, fx.Node):
        if operand.op == "get_attr":
            yield operand
        elif operand.target is torch.ops.aten.cat.default and isinstance(operand.args[0], (list, tuple)):
            pieces = [list(_stored(piece)) for piece in operand.args[0]]
            if all(len(piece) == 1 for piece in pieces):
                yield from (piece[0] for piece in pieces)


def _passes(node: fx.Node) -> bool:
    if node.op != "call_function":
        return False
    return node.target in _RESHAPING or getattr(node.target, "__name__", "") == _GETITEM or _scales(node)


def _scales(node: fx.Node) -> bool:
    return node.target is not _ATTENTION and scale_of(node) is not None


def _channel_dim(node: fx.Node, meta: Mapping[fx.Node, Any]) -> int | None:
    if node.target in _CONVOLUTION:
        return 1
    if node.target in _MATRIX:
        return len(meta[node].shape) - 1
    normalised = node.args[1] if node.target in _NORM else None
    return len(meta[node].shape) - 1 if isinstance(normalised, (list, tuple)) and len(normalised) == 1 else None


def _rows(marked: Any) -> frozenset[int]:
    if isinstance(marked, torch.Tensor):
        return frozenset(marked.unique().tolist())
    return frozenset().union(*(_rows(item) for item in marked))


def _leaving(marked: Mapping[fx.Node, Any]) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Every use of a rearranged value by an operator that does more than rearrange."""
    for seen in marked:
        yield from ((user, seen) for user in seen.users if user not in marked)
