"""What surrounds a network's layers: the operators without weights that belong to each, and who reads whom."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import fx

from compress.axes.analysis import Analysis

_FREE = frozenset(
    (
        *("view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "expand", "expand_as", "permute", "alias"),
        *("transpose", "contiguous", "detach", "dropout", "feature_dropout", "clone", "lift_fresh_copy", "to", "chunk"),
        *("select", "slice", "split", "split_with_sizes", "t", "batch_norm", "sym_size", "unbind", "movedim"),
    )
)
"""Operators that a runtime folds away or that only move data: they do not make a kind of layer."""


class Around:
    """Which operators without weights belong to each layer, and which come straight after it.

    Args:
        analysis: of the network.
        layers: the nodes of its evaluation graph that are layers.
    """

    def __init__(self, analysis: Analysis, layers: Sequence[fx.Node]) -> None:
        self._layers = set(layers)
        self._shapes = analysis.running.shapes
        nodes = list(analysis.program.graphs[False].nodes)
        order = {node: at for at, node in enumerate(nodes)}
        reader: dict[fx.Node, fx.Node] = {}
        for node in reversed(nodes):
            ahead = [user if user in self._layers else reader.get(user) for user in node.users]
            nearest = [one for one in ahead if one is not None]
            if nearest:
                reader[node] = min(nearest, key=order.__getitem__)
        self._follows = follows = dict[fx.Node, fx.Node]()
        for node in nodes:
            behind = [one if one in self._layers else follows.get(one) for one in node.all_input_nodes]
            last = [one for one in behind if one is not None]
            if last:
                follows[node] = max(last, key=order.__getitem__)
        self._before: dict[fx.Node, list[str]] = {}
        for node in nodes:
            home = reader.get(node) or follows.get(node)
            if home is not None and node not in self._layers and self._counts(node):
                self._before.setdefault(home, []).append(_operator(node) + self._where(node, home))

    def read_by(self, call: fx.Node) -> fx.Node | None:
        """The last layer whose output a layer reads."""
        return self._follows.get(call)

    def words(self, calls: Sequence[fx.Node]) -> str:
        """Return what goes with a layer: `` with add, relu; into relu``. Operators on pictures of another size than
        the layer reads, such as the pooling before it, are told with it.
        """
        own = Counter(name for call in calls for name in self._before.get(call, []))
        after = sorted({name for call in calls for name in self._after(call)})
        with_words = f" with {', '.join(_times(name, count) for name, count in sorted(own.items()))}" if own else ""
        return with_words + (f"; into {', '.join(after)}" if after else "")

    def _after(self, call: fx.Node) -> list[str]:
        """Operators that read the layer's output, past those that are free."""
        waiting, found = list(call.users), []
        while waiting:
            user = waiting.pop()
            if user in self._layers or user.op == "output":
                continue
            if self._counts(user):
                found.append(_operator(user))
            else:
                waiting += list(user.users)
        return found

    def _where(self, node: fx.Node, layer: fx.Node) -> str:
        """The size of what an operator reads, where it is not that of what its layer reads."""
        read = [one for one in node.all_input_nodes if isinstance(self._shapes.get(one), tuple | list)]
        sizes = [_positions(self._shapes[one]) for one in read or [node]]
        most = max(sizes, key=math.prod)
        own = _positions(self._shapes[layer.all_input_nodes[0]])
        return "" if math.prod(most) == math.prod(own) else f" on {'x'.join(map(str, most)) or '1'}"

    def _counts(self, node: fx.Node) -> bool:
        is_tensor = isinstance(self._shapes.get(node), tuple | list)
        return node.op == "call_function" and is_tensor and bool(_operator(node)) and _operator(node) not in _FREE


def _operator(node: fx.Node) -> str:
    """The operator's plain name, in place or not; none for what is not an operator on tensors."""
    return str(node.target).split(".")[1].rstrip("_") if isinstance(node.target, torch._ops.OpOverload) else ""


def _positions(shape: Sequence[int]) -> Sequence[int]:
    """All but batch and channels, of pictures (channels second) and of rows (channels last)."""
    return shape[2:] if len(shape) > 3 else shape[1:-1]


def _times(name: str, count: int) -> str:
    return name if count == 1 else f"{count} {name}"
