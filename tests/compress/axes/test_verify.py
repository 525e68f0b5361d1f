"""``inspect --verify``: what rounding explains passes, what it does not is noticed, and nothing is proven by NaN."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import fx, nn

import compress
from compress import Program
from compress.axes import trace as tracing
from compress.axes.trace import Trace
from compress.axes.verify import LARGEST_ALLOWED, verify
from compress.errors import InputError
from compress.pipeline.inspect import verification


class Deep(nn.Module):
    """Sines of sums that grow: the deeper, the more chaotic."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 16, 1)
        self.layers = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(depth))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = x + torch.sin(layer(x))
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


class Rooted(nn.Module):
    """Divides by the root of a buffer that training keeps positive, or takes the root of what may be negative."""

    def __init__(self, *, positive: bool) -> None:
        super().__init__()
        self.conv, self.head, self.positive = nn.Conv2d(8, 8, 1), nn.Linear(8, 5), positive
        self.var: torch.Tensor
        self.register_buffer("var", torch.rand(8, 1, 1) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        x = x / torch.sqrt(self.var) if self.positive else torch.sqrt(x)
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


def _captured(network: nn.Module) -> Program:
    return compress.capture(network.eval(), (torch.randn(2, 8, 6, 6),))


@pytest.mark.parametrize("depth", [2, 30])
def test_rounding_passes_and_is_told_by_nudging_the_weights(depth: int) -> None:
    found = verify(_captured(Deep(depth)))
    assert found.passed
    assert 0 < max(found.permutation_error, found.removal_error) < 1e-14 * found.sensitivity
    assert found.allowed <= LARGEST_ALLOWED
    assert (found.sensitivity > 100) == (depth == 30)


def test_a_wrong_rule_fails_however_chaotic_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(trace: Trace, node: fx.Node) -> Any:
        x, w = trace.axes(node.args[0]), trace.axes(node.args[1])
        trace.labels.tie(x[1], w[1], "test")
        return [x[0], w[0], *x[2:]]  # the bias is not tied to the channels

    program = _captured(Deep(30))
    monkeypatch.setitem(tracing._PROPAGATE, torch.ops.aten.conv2d.default, forgetful)
    with pytest.raises(compress.CompressError):
        verification(program)


def test_what_training_keeps_positive_is_drawn_positive() -> None:
    assert verification(_captured(Rooted(positive=True)))["moved"] > 0


def test_outputs_that_are_not_finite_prove_nothing() -> None:
    program = _captured(Rooted(positive=False))
    assert not verify(program).passed
    with pytest.raises(InputError, match="not finite"):
        verification(program)
