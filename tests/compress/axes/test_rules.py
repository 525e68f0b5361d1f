"""Each kind of operator in a network of its own, and the proofs' own alarm: they fail when a rule is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

import compress
from compress import Program
from compress.axes import trace as tracing
from compress.axes.analysis import analyse
from compress.axes.statistics import kept_statistic
from compress.axes.trace import Trace
from compress.errors import PlanError
from tests.compress.proofs import BOUND, prove, train_once

_aten = torch.ops.aten


class Between(nn.Module):
    """Convolution and batch norm, something in between given as a function, and a head."""

    def __init__(self, middle: Callable[..., torch.Tensor], channels: int = 12, out: int | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.side = nn.Conv2d(3, channels, 1)
        self.body = nn.Conv2d(out or channels, 10, 3, padding=1)
        self.head = nn.Linear(10, 5)
        self.middle = middle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self.middle(F.relu(self.norm(self.stem(x))), self.side(x))
        return self.head(F.relu(self.body(wide)).mean((2, 3)))


def captured(module: nn.Module, *shape: int) -> Program:
    torch.manual_seed(0)
    return compress.capture(module, (torch.randn(2, *(shape or (3, 8, 8))),))


def _chunk_and_swap(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=1)
    return torch.cat([second * y[:, :6], first], dim=1)


def _split_unequal(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    a, b, c = x.split([3, 4, 5], dim=1)
    return torch.cat([c, y, a.sigmoid(), b], dim=-3)


def _pad_channels(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.pad(x[:, 2:10], (0, 0, 0, 0, 3, 1), value=0.5) + y


def _gate(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x * y.mean((2, 3), keepdim=True).sigmoid()


def _gate_by_view(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    gate = F.adaptive_avg_pool2d(y, 1).flatten(1).sigmoid()
    return x * gate.view(gate.shape[0], 12, 1, 1).expand_as(x)


def _unflatten(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.flatten(2) + y.flatten(2)).unflatten(1, (12, 1)).squeeze(2).unflatten(2, (8, 8))


def _transposed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    last = x.permute(0, 2, 3, 1).reshape(-1, 64, 12).transpose(1, 2)
    return last.reshape(-1, 12, 8, 8) + y


def _where(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0.1, x, torch.lerp(x, y, 0.25)).clamp(-2, 2)


def _resized(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    small = F.max_pool2d(x, 2) + F.avg_pool2d(y, 2)
    return F.interpolate(small, scale_factor=2.0, mode="nearest")


def _folded_into_batch(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    alone = x.reshape(x.shape[0] * 12, 1, 8, 8)
    return F.avg_pool2d(alone, 3, 1, 1).reshape(x.shape[0], 12, 8, 8) * y


def _one_channel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x[:, :1].expand(-1, 12, -1, -1) + x[:, 3:4] * y


def _channel_mean(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.mean(1, keepdim=True) * y


def _picked(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    order = torch.tensor([7, 2, 11, 0, 5, 4, 3, 10, 9, 8, 1, 6])
    return x[:, order] * y[:, torch.tensor([-1, *range(11)])] + torch.tanh(x).index_select(1, order)


def _picked_twice(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.cat([x[:, torch.tensor([0, 1, 1, 4, 5])], y.index_select(1, torch.tensor([3, 3, 0]))], dim=1)


def _glued(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.glu(torch.cat([x, y], 1), 1).repeat_interleave(2, 1) + y.tile(1, 2, 1, 1)


def _filled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, y.new_zeros(y.shape[0], 4, 8, 8)], 1) * F.pad(y, (0, 0, 0, 0, 4, 0))


def _fourier(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(x, norm="ortho") * 0.5, s=(8, 8), norm="ortho") + y


def _sampled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    grid = torch.tanh(y[:, :2]).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, align_corners=False) + y


def _unfolded(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.unfold(2, 3, 1).unfold(3, 3, 1).amax((-2, -1)) + y[:, :, 1:-1, 1:-1]


MIDDLES: dict[str, tuple[Callable[..., torch.Tensor], int | None]] = {
    "add": (torch.add, None),
    "chunk": (_chunk_and_swap, None),
    "split": (_split_unequal, 24),
    "pad": (_pad_channels, None),
    "gate": (_gate, None),
    "gate by view": (_gate_by_view, None),
    "unflatten": (_unflatten, None),
    "transpose": (_transposed, None),
    "where": (_where, None),
    "resize": (_resized, None),
    "fold into batch": (_folded_into_batch, None),
    "one channel": (_one_channel, None),
    "channel mean": (_channel_mean, None),
    "picked by a list": (_picked, None),
    "picked twice": (_picked_twice, 8),
    "gated and repeated": (_glued, 24),
    "filled": (_filled, 16),
    "Fourier": (_fourier, None),
    "sampled": (_sampled, None),
    "windows": (_unfolded, None),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_an_operator_between_two_convolutions(name: str) -> None:
    middle, out = MIDDLES[name]
    program = captured(Between(middle, out=out))
    proof = prove(program)
    proof.check()
    train_once(proof.smaller)


_LATER = ("picked by a list", "gated and repeated", "filled", "Fourier", "windows")


def test_exact_couplings_are_pruned_and_not_merely_frozen() -> None:
    for name in ("chunk", "split", "pad", "gate", "gate by view", "unflatten", "transpose", "where", "resize", *_LATER):
        middle, out = MIDDLES[name]
        analysis = analyse(captured(Between(middle, out=out)))
        layers = {layer for group in analysis.prunable for layer in group.producers}
        assert {"stem", "body"} <= layers, name


def test_statistics_over_channels_are_flagged_with_the_place() -> None:
    groups = captured(Between(_channel_mean)).groups()
    reason = next(group.reason for group in groups if group.name == "stem" and group.kind == "statistics-changing")
    assert reason is not None
    assert reason.startswith("a statistic runs over it")
    assert "test_rules.py:" in reason


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


def _without(operator: Any, monkeypatch: pytest.MonkeyPatch, rule: Callable[[Trace, fx.Node], Any]) -> None:
    monkeypatch.setitem(tracing._PROPAGATE, operator, rule)


def _alarm(program: Program) -> bool:
    """Whether one of the proofs notices that something is wrong."""
    try:
        proof = prove(program)
    except (PlanError, AssertionError):
        return True
    return proof.permutation > 1e-6 or proof.oracle > 1e-6


@pytest.fixture(scope="module")
def plain() -> Program:
    return captured(Between(torch.add))


def test_the_proofs_hold_before_a_rule_is_broken(plain: Program) -> None:
    assert not _alarm(plain)


def test_forgotten_running_statistics_are_noticed(plain: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(trace: Trace, node: fx.Node) -> Any:
        x = trace.axes(node.args[0])
        for position in (1, 2, 4):
            trace.labels.tie(x[1], trace.axes(node.args[position])[0], "test")
        return x

    _without(_aten.batch_norm.default, monkeypatch, forgetful)
    assert _alarm(plain)


def test_a_forgotten_bias_is_noticed(plain: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(trace: Trace, node: fx.Node) -> Any:
        x, w = trace.axes(node.args[0]), trace.axes(node.args[1])
        trace.labels.tie(x[1], w[1], "test")
        return [x[0], w[0], *x[2:]]

    _without(_aten.conv2d.default, monkeypatch, forgetful)
    assert _alarm(plain)


def test_a_forgotten_residual_tie_is_noticed(plain: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(_aten.add.Tensor, monkeypatch, lambda trace, node: trace.axes(node.args[0]))
    assert _alarm(plain)


def test_pieces_in_the_wrong_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = captured(Between(_split_unequal, out=24))
    assert not _alarm(program)
    right = tracing._PROPAGATE[_aten.cat.default]

    def reversed_pieces(trace: Trace, node: fx.Node) -> Any:
        axes = right(trace, node)
        return [axes[0], axes[1][::-1].copy(), *axes[2:]]

    _without(_aten.cat.default, monkeypatch, reversed_pieces)
    assert _alarm(program)


def test_a_literal_that_is_not_rewritten_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = captured(Between(_gate_by_view))
    for operator in (_aten.view.default, _aten.expand.default, _aten.reshape.default):
        monkeypatch.delitem(tracing._REWRITE, operator)
    assert _alarm(program)


def test_a_fixed_normalisation_hides_nothing(plain: Program) -> None:
    """The proofs randomise running statistics: at their initial values a forgotten one could not be seen."""
    from compress.axes.randomise import randomised

    drawn = randomised(plain)
    mean = drawn.tensors["norm.running_mean"]
    assert float(mean.abs().min()) > 0
    assert float(drawn.tensors["norm.running_var"].min()) > 0.4
    assert BOUND == 1e-9


def test_the_oracle_knows_every_statistic_that_a_rule_flags() -> None:
    flagging = {"batch_norm", "layer_norm", "group_norm", "softmax", "reduction", "attention"}
    operators = [item for item, function in tracing._PROPAGATE.items() if function.__name__ in flagging]
    assert {function.__name__ for function in tracing._PROPAGATE.values()} >= flagging
    assert [str(item) for item in operators if kept_statistic(item) is None] == []
