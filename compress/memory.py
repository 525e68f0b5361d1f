"""Peak activation memory. The rule: the evaluation graph runs at batch 1, operator by operator in its own order; what
is alive while an operator runs is its operands, its results and every value that is used later. A value is freed after
its last use, an input of the network too; the outputs stay. Values that share storage (views, slices of a split,
in-place results) are one buffer that lives as long as any of them. Parameters, buffers and constants are not counted,
nor are scratch spaces inside an operator. The peak is the largest sum of bytes over all operators.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from compress.blank import Blank, storage_of

_Value = Blank | torch.Tensor


@dataclass(frozen=True)
class Activation:
    """One buffer that running a graph allocates: the value that made it, its size, the operators it lives through.

    ``result`` is the position among several results, ``first`` and ``last`` are positions in the graph.
    """

    node: fx.Node
    result: int | None
    shape: tuple[int, ...]
    itemsize: int
    first: int
    last: int


def activations(graph: fx.Graph, values: Mapping[fx.Node, Any]) -> list[Activation]:
    """Find the buffers of ``graph`` in order of allocation; ``values`` are its values without numbers."""
    made: dict[object, tuple[fx.Node, int | None, _Value, int]] = {}
    last: dict[object, int] = {}
    stored: set[object] = set()
    for at, node in enumerate(graph.nodes):
        for operand in node.all_input_nodes:
            for _, tensor in _tensors(values[operand]):
                last[storage_of(tensor)] = at
        for result, tensor in _tensors(values[node]) if node.op != "output" else ():
            storage = storage_of(tensor)
            if node.op == "get_attr":
                stored.add(storage)
            elif storage not in stored:
                made.setdefault(storage, (node, result, tensor, at))
                last[storage] = at
    return [
        Activation(node, result, tuple(tensor.shape), tensor.dtype.itemsize, first, last[storage])
        for storage, (node, result, tensor, first) in made.items()
    ]


class Timeline:
    """When buffers come and go: turns their sizes into what is alive at each moment."""

    def __init__(self, buffers: Sequence[Activation]) -> None:
        count = len(buffers)
        comes = np.array([buffer.first for buffer in buffers], np.int64)
        goes = np.array([buffer.last for buffer in buffers], np.int64)
        moment = np.concatenate([2 * comes, 2 * goes + 1])  # what an operator frees goes after what it makes came
        self._order = np.argsort(moment, kind="stable")
        self._buffer = np.concatenate([np.arange(count), np.arange(count)])[self._order]
        self._sign = np.concatenate([np.ones(count), -np.ones(count)])[self._order]

    def alive(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bytes alive after each coming and going, (choices, moments), for sizes of shape (choices, buffers)."""
        return np.cumsum(sizes[:, self._buffer] * self._sign, axis=1)

    def peak(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The most that is alive at once, for each row of ``sizes`` of shape (choices, buffers)."""
        if not self._buffer.size:
            return np.zeros(len(sizes))
        found: NDArray[np.float64] = self.alive(sizes).max(axis=1)
        return found

    def at_peak(self, sizes: NDArray[np.float64]) -> NDArray[np.int64]:
        """The buffers that are alive when most is, for ``sizes`` of shape (buffers,)."""
        moment = int(self.alive(sizes[None])[0].argmax())
        present = np.bincount(self._buffer[: moment + 1], self._sign[: moment + 1], sizes.size)
        return np.flatnonzero(present > 0)


def peak_memory(buffers: Sequence[Activation]) -> int:
    """Bytes of the most activations alive at once, by the rule of this module."""
    sizes = np.array([[float(math.prod(buffer.shape)) * buffer.itemsize for buffer in buffers]])
    return int(Timeline(buffers).peak(sizes)[0])


def _tensors(value: Any) -> Iterator[tuple[int | None, _Value]]:
    if isinstance(value, (Blank, torch.Tensor)):
        yield None, value
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            if isinstance(item, (Blank, torch.Tensor)):
                yield position, item
