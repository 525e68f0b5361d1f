"""Recurrent layers on the meta device: torch unrolls every time step there, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_aten = torch.ops.aten
GATES = {_aten.lstm.input: 4, _aten.gru.input: 3, _aten.rnn_tanh.input: 1, _aten.rnn_relu.input: 1}


def recurrent(target: Any, args: Sequence[Any]) -> tuple[torch.Tensor, ...] | None:
    """What the operator would return for operands on the meta device; None for layers with a projection.

    Raises:
        RuntimeError: the widths of input, state and weights do not fit.
    """
    x, state, weights, biased, layers = args[:5]
    ways, batch_first = 2 if args[7] else 1, args[8]
    per_way = 4 if biased else 2
    if len(weights) != layers * ways * per_way:
        return None
    states = list(state) if isinstance(state, (list, tuple)) else [state]
    hidden = int(weights[1].shape[1])
    for layer in range(layers):
        features = int(x.shape[2]) if layer == 0 else hidden * ways
        for way in range(ways):
            first = (layer * ways + way) * per_way
            _check(weights[first : first + per_way], GATES[target] * hidden, features, hidden)
    batch = int(x.shape[0] if batch_first else x.shape[1])
    for item in states:
        if tuple(item.shape) != (layers * ways, batch, hidden):
            raise RuntimeError(f"a state of shape {tuple(item.shape)} for {hidden} hidden units")
    output = torch.empty((*x.shape[:2], hidden * ways), dtype=x.dtype, device="meta")
    return (output, *(torch.empty_like(item) for item in states))


def _check(weights: Sequence[torch.Tensor], rows: int, features: int, hidden: int) -> None:
    wanted = [(rows, features), (rows, hidden), (rows,), (rows,)]
    for weight, shape in zip(weights, wanted, strict=False):
        if tuple(weight.shape) != shape:
            raise RuntimeError(f"a recurrent weight of shape {tuple(weight.shape)} where {shape} is needed")
