"""Operators that TensorRT lacks are exported as ones that it has, and compute the same."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import compress
import exporters

Pair = tuple[int, int]


class SummedPatches(nn.Module):
    """Patches are taken apart, mixed and summed back into the picture, as VOLO does."""

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.patches = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        self.mix = nn.Linear(4 * kernel[0] * kernel[1], 4 * kernel[0] * kernel[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        patches = self.mix(F.unfold(x, **self.patches).transpose(1, 2)).transpose(1, 2)
        return F.fold(patches, x.shape[2:], **self.patches)


class Resized(nn.Module):
    """A picture of 11 x 13 is brought to another size with antialiasing."""

    def __init__(self, mode: str, size: Pair) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.mode, self.size = mode, size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(self.conv(x), self.size, mode=self.mode, antialias=True)


def _exported(network: nn.Module, size: Pair, folder: Path) -> set[str]:
    """Export, which verifies against the network in ONNX Runtime; return the operators."""
    program = compress.capture(network.eval(), (torch.randn(2, 3, *size),))
    artifact = exporters.to_onnx(program, folder / "net.onnx", overwrite=True)
    assert artifact.verification["max_error"] <= artifact.verification["allowed"]
    return {node.op_type for node in onnx.load(artifact.path).graph.node}


_pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=8, deadline=None)
@given(kernel=_pairs, stride=_pairs, dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)), data=st.data())
def test_summed_patches_are_a_transposed_convolution(
    kernel: Pair, stride: Pair, dilation: Pair, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    padding = (data.draw(st.integers(0, kernel[0] - 1)), data.draw(st.integers(0, kernel[1] - 1)))
    network = SummedPatches(kernel, stride, padding, dilation)
    operators = _exported(network, (9, 8), tmp_path_factory.mktemp("patches"))
    assert "ConvTranspose" in operators
    assert "Col2Im" not in operators


@pytest.mark.parametrize("size", [(5, 7), (11, 4), (22, 20), (11, 13)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resizing_with_antialiasing_is_two_products(mode: str, size: Pair, tmp_path: Path) -> None:
    operators = _exported(Resized(mode, size), (11, 13), tmp_path)
    assert ("Resize" in operators) == (size == (11, 13))
    assert ("MatMul" in operators) == (size != (11, 13))


def test_what_is_spelled_anew_compiles(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    network = nn.Sequential(
        SummedPatches((3, 3), (2, 2), (1, 1), (1, 1)), nn.Conv2d(4, 3, 1), Resized("bicubic", (6, 5))
    )
    _exported(network, (12, 10), tmp_path)
    engine = exporters.to_tensorrt(tmp_path / "net.onnx", tmp_path / "net.engine", "8.6")
    assert engine.path.stat().st_size > 0
