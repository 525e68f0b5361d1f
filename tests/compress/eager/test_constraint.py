"""``compress.prune(eager=module)``: what is chosen is something that the module's class can be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import compress
from compress.errors import EagerError, InputError


class Shuffled(nn.Module):
    """Half of the channels passes by, then both halves are interleaved, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.first = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 16, 3, padding=1))
        self.second = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 16, 3, padding=1))
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        for layer in (self.first, self.second):
            left, right = x.chunk(2, dim=1)
            x = torch.cat([left, F.relu(layer(right))], 1)
            batch, channels, height, width = x.size()
            x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


class Scales(nn.Module):
    """Equal splits by an attribute, each piece with a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 12
        self.stem = nn.Conv2d(3, 36, 3, padding=1)
        self.parts = nn.ModuleList([nn.Conv2d(12, 12, 3, padding=1) for _ in range(2)])
        self.head = nn.Linear(36, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pieces = torch.split(F.relu(self.stem(x)), self.width, 1)
        done = [pieces[0], *(part(piece) for part, piece in zip(self.parts, pieces[1:], strict=True))]
        result: torch.Tensor = self.head(torch.cat(done, 1).mean((2, 3)))
        return result


class Windowed(nn.Module):
    """Attention that takes its width off the input and its head width from both."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)).softmax(-1)
        result: torch.Tensor = self.proj((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        return result


class Standard(nn.Module):
    """torch's own attention: in and out as wide as its heads together."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(x, x, x, need_weights=False)[0]
        return result


class Blocks(nn.Module):
    """Two blocks of attention and a hidden layer, around one residual stream."""

    def __init__(self, kind: type[nn.Module], dim: int = 48, heads: int = 3) -> None:
        super().__init__()
        self.embed = nn.Linear(6, dim)
        self.attention = nn.ModuleList([kind(dim, heads) for _ in range(2)])
        self.up = nn.ModuleList([nn.Linear(dim, 2 * dim) for _ in range(2)])
        self.down = nn.ModuleList([nn.Linear(2 * dim, dim) for _ in range(2)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for attention, up, down in zip(self.attention, self.up, self.down, strict=True):
            x = x + attention(x)
            x = x + down(F.relu(up(x)))
        result: torch.Tensor = self.head(self.norm(x).mean(1))
        return result


class Spelled(nn.Module):
    """One width spelled out, one not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.mid = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.mid(F.relu(self.stem(x)))).mean((2, 3))
        result: torch.Tensor = self.head(x.view(-1, 16))
        return result


IMAGE = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)
TOKENS = (torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0)),)
CLASSES = {
    "shuffled": (Shuffled, IMAGE),
    "scales": (Scales, IMAGE),
    "windowed": (lambda: Blocks(Windowed), TOKENS),
    "standard": (lambda: Blocks(Standard), TOKENS),
}


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    factory, inputs = CLASSES[name]
    return factory().eval(), inputs


def applied(module: nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any) -> compress.PruneResult:
    """Prune for the class of ``module``, apply the plan to it, and compare with the pruned Program."""
    program = compress.capture(module, inputs)
    result = compress.prune(program, eager=module, **options)
    cut = result.plan.apply_to(copy.deepcopy(module))
    with torch.no_grad():
        assert torch.allclose(cut(*inputs), result.program.module()(*inputs), rtol=1e-4, atol=1e-5)
    return result


def share(result: compress.PruneResult) -> float:
    return result.report.after.macs / result.report.before.macs


@pytest.mark.parametrize("name", CLASSES)
def test_half_the_macs_go_and_the_class_takes_it_where_it_refuses_a_free_choice(name: str) -> None:
    module, inputs = made(name)
    free = compress.prune(compress.capture(module, inputs), granularity=1)
    with pytest.raises(EagerError):
        free.plan.apply_to(copy.deepcopy(module))
    result = applied(module, inputs, granularity=1)
    assert abs(share(result) - 0.5) <= 0.01, result.report.note
    assert result.fit is not None


def test_residual_stream_and_attention_inside_it_keep_one_share() -> None:
    module, inputs = made("standard")
    plan = applied(module, inputs, granularity=1, scope="local").plan
    parts = dict(plan.apply_to(module).named_modules())
    stream = parts["embed"].get_parameter("weight").shape[0]
    assert stream < 48
    for name in ("attention.0.inner", "attention.1.inner"):
        attention = parts[name]
        assert isinstance(attention, nn.MultiheadAttention)
        assert attention.in_proj_weight is not None
        assert attention.in_proj_weight.shape == (3 * stream, stream)
        assert attention.embed_dim == stream == attention.num_heads * attention.head_dim


@settings(max_examples=3, deadline=None)
@given(
    dim=st.sampled_from([24, 36, 40]),
    heads=st.sampled_from([2, 4]),
    target=st.floats(0.3, 0.8),
    granularity=st.sampled_from([1, 2]),
)
def test_any_attention_of_a_class_that_derives_its_head_width(
    dim: int, heads: int, target: float, granularity: int
) -> None:
    torch.manual_seed(0)
    module = Blocks(Windowed, dim, heads).eval()
    result = applied(module, TOKENS, target=f"macs={target:.3f}", granularity=granularity)
    assert abs(share(result) - target) <= 0.01 or result.report.note


def test_steps_end_with_what_the_class_can_be() -> None:
    module, inputs = made("windowed")
    result = applied(module, inputs, granularity=1, steps=3)
    assert abs(share(result) - 0.5) <= 0.01


def test_a_width_that_is_to_be_left_alone_holds_what_is_tied_to_it() -> None:
    module, inputs = made("standard")
    result = applied(module, inputs, granularity=1, target="macs=0.8", ignore=("embed",))
    layers = {layer.name: layer for layer in result.report.layers}
    assert layers["attention.0.inner.out_proj"].width_after == 48
    assert layers["attention.0.inner"].width_after == 144
    assert layers["up.0"].width_after < 96
    assert layers["embed"].status == "protected"
    assert "--ignore embed protects one" in str(layers["attention.0.inner"].reason)
    assert abs(share(result) - 0.8) <= 0.01


def test_what_is_spelled_out_stays_and_is_named_as_the_cause_of_the_floor() -> None:
    torch.manual_seed(0)
    module = Spelled().eval()
    result = applied(module, IMAGE, granularity=1, target="macs=0.02")
    kept = {layer.name: layer for layer in result.report.layers}
    assert kept["mid"].width_after == 16
    assert kept["stem"].width_after < 16
    assert "test_constraint.py" in str(kept["mid"].reason)
    (shortfall,) = result.report.shortfalls
    causes = {cause.layer: cause for cause in shortfall.causes}
    assert causes["mid"].status == "kept"
    assert "test_constraint.py" in causes["mid"].reason


def test_the_floor_names_what_a_width_is_tied_to() -> None:
    module, inputs = made("shuffled")
    (shortfall,) = applied(module, inputs, granularity=8, target="macs=0.01").report.shortfalls
    assert shortfall.obstacle == "floor"
    assert any("in step with" in cause.reason and "test_constraint.py" in cause.reason for cause in shortfall.causes)


def test_another_module_is_refused() -> None:
    module, inputs = made("shuffled")
    with pytest.raises(InputError, match="Scales is not the network"):
        compress.prune(compress.capture(module, inputs), eager=made("scales")[0])
