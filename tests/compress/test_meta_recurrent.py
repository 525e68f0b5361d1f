"""Shapes of recurrent layers against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.meta_recurrent import recurrent

_aten = torch.ops.aten


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh"])
@pytest.mark.parametrize(
    ("layers", "both_ways", "batch_first", "bias"), [(1, False, False, True), (2, True, True, False)]
)
def test_shapes_are_those_that_torch_computes(
    kind: str, layers: int, both_ways: bool, batch_first: bool, bias: bool
) -> None:
    made = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}[kind]
    layer = made(5, 4, layers, bias=bias, batch_first=batch_first, bidirectional=both_ways)
    x, state = torch.randn(3, 7, 5), torch.zeros(layers * (1 + both_ways), 3 if batch_first else 7, 4)
    states: list[torch.Tensor] | torch.Tensor = [state, state] if kind == "lstm" else state
    weights = [item.detach() for item in layer._flat_weights if item is not None]
    args = (x, states, weights, bias, layers, 0.0, False, both_ways, batch_first)
    operator = getattr(_aten, kind).input
    wanted, found = operator(*args), recurrent(operator, args)
    assert found is not None
    assert [tuple(item.shape) for item in found] == [tuple(item.shape) for item in wanted]


def test_widths_that_do_not_fit_are_refused() -> None:
    layer = nn.GRU(5, 4)
    weights = [item.detach() for item in layer._flat_weights if item is not None]
    x, state = torch.randn(7, 3, 6), torch.zeros(1, 3, 4)
    with pytest.raises(RuntimeError, match="recurrent weight"):
        recurrent(_aten.gru.input, (x, state, weights, True, 1, 0.0, False, False, False))
