"""Each kind of operator in a network of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compress
from compress.axes.analysis import analyse
from tests.compress.axes.between import MIDDLES, Between, captured
from tests.compress.proofs import prove, train_once

_aten = torch.ops.aten


@pytest.mark.parametrize("name", MIDDLES)
def test_an_operator_between_two_convolutions(name: str) -> None:
    middle, out = MIDDLES[name]
    program = captured(Between(middle, out=out))
    proof = prove(program)
    proof.check()
    train_once(proof.smaller)


_LATER = (
    "picked by a list", "gated and repeated", "repeated for the batch", "filled", "Fourier", "windows",
)  # fmt: skip


def test_exact_couplings_are_pruned_and_not_merely_frozen() -> None:
    for name in ("chunk", "split", "pad", "gate", "gate by view", "unflatten", "transpose", "where", "resize", *_LATER):
        middle, out = MIDDLES[name]
        analysis = analyse(captured(Between(middle, out=out)))
        layers = {layer for group in analysis.prunable for layer in group.producers}
        assert {"stem", "body"} <= layers, name


def test_statistics_over_channels_are_flagged_with_the_place() -> None:
    groups = captured(Between(MIDDLES["channel mean"][0])).groups()
    reason = next(group.reason for group in groups if group.name == "stem" and group.kind == "statistics-changing")
    assert reason is not None
    assert reason.startswith("a statistic runs over it")
    assert "between.py:" in reason


class Grouped(nn.Module):
    """Plain, grouped, depthwise with a multiplier, dilated, strided and transposed convolutions in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding="same"),
            nn.BatchNorm2d(12),
            nn.PReLU(12),
            nn.Conv2d(12, 24, 3, padding=1, groups=4),
            nn.InstanceNorm2d(24, affine=True),
            nn.Hardswish(),
            nn.Conv2d(24, 48, 3, padding=2, dilation=2, groups=24),
            nn.BatchNorm2d(48, affine=False),
            nn.PReLU(),
            nn.ConvTranspose2d(48, 20, 2, 2),
            nn.SiLU(),
            nn.Conv2d(20, 16, 3, 2),
            nn.Dropout2d(0.1),
            nn.Flatten(),
            nn.Linear(16 * 49, 11),
            nn.BatchNorm1d(11),
            nn.Dropout(0.2),
            nn.Linear(11, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(x)
        return result


def test_every_kind_of_convolution_in_a_row() -> None:
    program = captured(Grouped())
    proof = prove(program)
    proof.check()
    train_once(proof.smaller)
    cells = {group.name: (group.width, group.cell) for group in proof.analysis.prunable}
    assert cells["layers.0"] == (3, 1)  # thinned evenly: the same position in each of four groups
    assert cells["layers.0#2"] == (4, 3)  # or four groups of three input channels, whole
    assert cells["layers.9"] == (20, 1)
    assert cells["layers.12" if "layers.12" in cells else "layers.11"] == (16, 1)


class Merged(nn.Module):
    """Attention with batch and heads in one axis, of which everything is sliced."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        heads = self.qkv(x).reshape(batch, tokens, 3, 8, 4).permute(2, 0, 3, 1, 4).reshape(3, batch * 8, tokens, 4)
        q, k, v = (torch.ops.aten.slice.Tensor(part, 0, 0, sys.maxsize) for part in heads.unbind(0))
        y = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).reshape(batch, 8, tokens, 4).transpose(1, 2)
        result: torch.Tensor = self.proj(y.reshape(batch, tokens, 32))
        return result


def test_batch_and_heads_in_one_axis_stay_open_to_any_batch() -> None:
    program = compress.capture(Merged().eval(), (torch.randn(2, 6, 32),))
    found = compress.prune(program, granularity=1)
    assert [(kept.width, len(kept.keep) < 8) for kept in found.plan.groups.values()] == [(8, True)]  # fewer heads
    assert found.program.module()(torch.randn(5, 6, 32)).shape == (5, 6, 32)
    prove(program)


class Sequence(nn.Module):
    """One-dimensional convolutions and a linear layer over the last of three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 14, 3, padding=1)
        self.norm = nn.BatchNorm1d(14)
        self.mix = nn.Linear(14, 9)
        self.out = nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.norm(self.conv(x))).transpose(1, 2)
        result: torch.Tensor = self.out(F.leaky_relu(self.mix(hidden), 0.2))
        return result


def test_sequences() -> None:
    proof = prove(captured(Sequence(), 4, 10))
    proof.check()
    assert {group.name for group in proof.analysis.prunable} == {"conv", "mix"}


def test_volumes() -> None:
    layers = (nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    proof = prove(captured(nn.Sequential(*layers, nn.Linear(6, 3)), 2, 4, 4, 4))
    proof.check()
    assert [group.width for group in proof.analysis.prunable] == [6]


class Shared(nn.Module):
    """The same convolution twice in a row, and an embedding-like weight used by two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 10, 1)
        self.loop = nn.Conv2d(10, 10, 3, padding=1)
        self.a = nn.Linear(10, 7)
        self.b = nn.Linear(10, 7)
        self.b.weight = self.a.weight
        self.head = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.loop(F.relu(self.loop(F.relu(self.stem(x))))))
        pooled = x.mean((2, 3))
        result: torch.Tensor = self.head(self.a(pooled) * self.b(pooled))
        return result


def test_a_shared_layer_is_one_width_and_tied_weights_stay_tied() -> None:
    proof = prove(captured(Shared()))
    proof.check()
    assert [(group.name, group.width) for group in proof.analysis.prunable] == [("stem", 10), ("a", 7)]
    tensors = proof.smaller.tensors
    assert tensors["a.weight"] is tensors["b.weight"]


class Unruly(nn.Module):
    """An operator without a rule in the middle; what stands before and behind it can still shrink."""

    def __init__(self, middle: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 14, 3, padding=1)
        self.head = nn.Linear(14, 4)
        self.middle = middle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.middle(F.relu(self.second(F.relu(self.first(x)))))
        result: torch.Tensor = self.head(F.relu(self.third(x)).mean((2, 3)))
        return result


def _einsum(x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bchw,bdhw->bcd", x, x).sum(2)[:, :, None, None] * x


def _attention(x: torch.Tensor) -> torch.Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(tokens, tokens, tokens).transpose(1, 2).reshape(x.shape)


def _product(x: torch.Tensor) -> torch.Tensor:
    tokens = x.flatten(2)
    return (torch.matmul(tokens, tokens.transpose(1, 2)).softmax(-1) @ tokens).view(x.shape)


def _flipped(x: torch.Tensor) -> torch.Tensor:
    return x.flip(1)


def _cumulative(x: torch.Tensor) -> torch.Tensor:
    return x.cumsum(1)


def _sorted(x: torch.Tensor) -> torch.Tensor:
    return x.sort(dim=1).values


UNRULY = {"einsum": _einsum, "attention": _attention, "matmul": _product, "flip": _flipped, "cumsum": _cumulative}


@pytest.mark.parametrize("name", [*UNRULY, "sort"])
def test_an_operator_without_a_rule_freezes_what_it_touches_and_the_run_goes_on(name: str) -> None:
    program = captured(Unruly(UNRULY.get(name, _sorted)))
    proof = prove(program)
    proof.check()
    if proof.analysis.unknown:
        assert {"first", "third"} <= {group.name for group in proof.analysis.prunable}
        frozen = {group.name: group.reason for group in proof.analysis.groups if group.kind == "frozen"}
        assert "no rule for operator" in (frozen["second"] or "")
        result = compress.prune(program, "macs=0.8", granularity=1)
        assert result.report.unknown_operators == proof.analysis.unknown
        row = next(row for row in result.report.layers if row.name == "second")
        assert (row.status, row.width_after) == ("frozen", 8)
