"""Operators that torch's exporter or a runtime gets wrong: mended in general, and seen on small networks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compress
import exporters
from exporters import _faults


class Attention(nn.Module):
    """Attention over ``groups`` groups of tokens (rank 5), or plain (rank 4) where ``groups`` is None."""

    def __init__(self, groups: int | None, mask: str | None = None) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 16)
        self.groups, self.mask = groups, mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = x.shape
        if self.groups is not None:
            x = x.reshape(shape[0], self.groups, -1, 16)
        heads = self.qkv(x).unflatten(-1, (3, 4, 4)).movedim(-3, 0).transpose(-3, -2)
        tokens = heads.shape[-2]
        allowed = torch.ones(tokens, tokens, dtype=torch.bool).tril(-1)  # the first row may see nothing
        options: dict[str | None, dict[str, Any]] = {
            None: {},
            "causal": {"is_causal": True},
            "boolean": {"attn_mask": allowed},
            "added": {"attn_mask": torch.linspace(-1, 1, tokens * tokens).reshape(tokens, tokens)},
        }
        y = F.scaled_dot_product_attention(*heads, **options[self.mask])
        return self.proj(y.transpose(-3, -2).reshape(shape))


@pytest.mark.parametrize("groups", [None, 3])
@pytest.mark.parametrize("mask", [None, "causal", "boolean", "added"])
def test_attention_is_exported_grouped_or_not(tmp_path: Path, groups: int | None, mask: str | None) -> None:
    program = compress.capture(Attention(groups, mask).eval(), (torch.randn(2, 12, 16),))
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx")
    assert artifact.verification["max_error"] <= artifact.verification["allowed"]
    assert "Softmax" in _operators(artifact.path)


class Bounded(nn.Module):
    """One value bounded twice, by constants that are tensors."""

    bounds: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.before, self.narrow, self.wide = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(16, 8)
        self.register_buffer("bounds", torch.tensor([-1.0, 1.0, -0.5, 0.25]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, bounds = self.before(x), self.bounds
        result: torch.Tensor = self.wide(x.clamp(bounds[0], bounds[1])) + self.narrow(x.clamp(bounds[2], bounds[3]))
        return result


def test_a_value_that_is_bounded_twice_keeps_both_bounds(tmp_path: Path) -> None:
    program = compress.capture(Bounded().eval(), (torch.randn(2, 8),))
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx")
    assert artifact.verification["max_error"] <= artifact.verification["allowed"]


class Windows(nn.Module):
    """Attention with a computed bias, reshaped: to a view in the layout that the traced kernel leaves behind."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.table = nn.Linear(16, 48), nn.Linear(1, 2)
        self.register_buffer("distances", torch.randn(81, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.attention(x).reshape(-1, 9, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table(self.distances).view(9, 9, 2).permute(2, 0, 1).unsqueeze(0).contiguous()
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return y.transpose(1, 2).reshape(-1, 9, 16)


def test_a_view_that_needs_the_fused_kernels_layout_is_exported(tmp_path: Path) -> None:
    program = compress.capture(Windows().eval(), (torch.randn(2, 9, 16),))
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx")
    assert artifact.verification["max_error"] <= artifact.verification["allowed"]


class PaddedPool(nn.Module):
    """A max pooling of a value that is negative everywhere, padded with zeros: the border must stay 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.conv.bias = nn.Parameter(torch.full((4,), -9.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(F.pad(self.conv(x), (0, 1, 0, 1)), 2, 1)


def test_zero_padding_before_max_pooling_stays_zero_in_the_runtime(tmp_path: Path) -> None:
    program = compress.capture(PaddedPool().eval(), (torch.randn(2, 3, 6, 6),))
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx")
    assert artifact.verification["max_error"] <= artifact.verification["allowed"]


@pytest.mark.skipif(
    tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 32),
    reason="ONNX Runtime has had this fault up to 1.31",
)
def test_a_fault_of_the_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_faults, "spell_out_pad_axes", lambda model: None)
    program = compress.capture(PaddedPool().eval(), (torch.randn(2, 3, 6, 6),))
    with pytest.raises(compress.errors.ExportError, match=r"Pad fusion \(Pad_Fusion\) is at fault"):
        exporters.to_onnx(program, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


class InPlace(nn.Module):
    """Activations in place: on a result of its own, on a view that is read again, and on a value read before."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        F.hardswish(y, inplace=True)
        z = self.again(y)
        left = z[:, :4]
        F.silu(left, inplace=True)
        read_before = y.mean((2, 3))
        F.relu(y, inplace=True)
        return z.mean((2, 3)) + y.mean((2, 3)) + read_before


def test_activations_in_place_keep_what_they_do_to_shared_memory(tmp_path: Path) -> None:
    program = compress.capture(InPlace().eval(), (torch.randn(2, 3, 12, 12),))
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx")
    assert artifact.verification["max_error"] <= artifact.verification["allowed"]
    assert _operators(artifact.path)["HardSwish"] == 1


def _operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


class Capitals(nn.Module):
    """A product whose equation is in capital letters, some of both cases."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x)
        return torch.einsum("B T D, B d D -> B T d", y, torch.tanh(y))


def test_equations_are_exported_in_small_letters(tmp_path: Path) -> None:
    program = compress.capture(Capitals(), (torch.randn(2, 5, 6),))
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx")
    nodes = [node for node in onnx.load(artifact.path).graph.node if node.op_type == "Einsum"]
    assert [node.attribute[0].s.decode().replace(" ", "") for node in nodes] == ["acb,adb->acd"]
