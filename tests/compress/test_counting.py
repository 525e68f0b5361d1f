"""Counts checked against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compress
import models
from tests.compress.networks import Tied, captured


def counted(module: nn.Module, *shape: int) -> compress.Count:
    return compress.capture(module, (torch.randn(2, *shape),)).count()


@pytest.mark.parametrize(
    ("module", "shape", "macs", "params"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 10), 100 * 8 * 27, 8 * 27 + 8),
        (nn.Conv2d(8, 8, 3, groups=4), (8, 10, 10), 64 * 8 * 2 * 9, 8 * 2 * 9 + 8),
        (nn.Conv2d(6, 6, 5, stride=2, groups=6, bias=False), (6, 11, 11), 16 * 6 * 25, 6 * 25),
        (nn.Conv1d(4, 6, 3), (4, 12), 10 * 6 * 12, 6 * 12 + 6),
        (nn.Conv3d(2, 4, 2), (2, 4, 4, 4), 27 * 4 * 16, 4 * 16 + 4),
        (nn.ConvTranspose2d(4, 6, 2, 2), (4, 5, 5), 4 * 25 * 6 * 4, 4 * 6 * 4 + 6),
        (nn.Linear(7, 5), (7,), 35, 40),
        (nn.Linear(7, 5), (3, 7), 105, 40),
        (nn.BatchNorm2d(5), (5, 4, 4), 0, 10),
    ],
)
def test_one_layer(module: nn.Module, shape: tuple[int, ...], macs: int, params: int) -> None:
    count = counted(module, *shape)
    assert (count.macs, count.params) == (macs, params)


def test_products_without_weights_count() -> None:
    class Products(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(x, x, x) + torch.matmul(x @ x.transpose(1, 2), x)

    count = counted(Products(), 6, 4)
    assert count.macs == 6 * 6 * 4 * 2 + 6 * 6 * 4 + 6 * 4 * 6
    assert count.params == 0


def test_published_figures() -> None:
    for ref, shape, macs, params in (
        ("torchvision:resnet18", (3, 224, 224), 1_814_073_344, 11_689_512),
        ("models:resnet20", (3, 32, 32), 40_551_040, 269_722),
    ):
        count = counted(models.create(ref), *shape)
        assert count.params == params, ref
        assert count.macs == macs, ref


def test_figures_are_at_batch_one_and_a_shared_weight_counts_once() -> None:
    count = captured(Tied()).count()
    assert count.params == 12 * 27 + 12 + 144 + 12 + 12 + 12 + 4 * 12 + 4
    assert count.macs == 256 * 12 * 27 + 144 * 2 + 48
    assert count.input_shapes == {"x": (1, 3, 16, 16)}
    assert count.bytes == 4 * (count.params + 12 + 1)  # the offset buffer and the constant in the code


def test_zeros_are_told_apart_and_never_mixed_in() -> None:
    program = compress.capture(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 2)), (torch.randn(2, 3, 2, 2),)
    )
    with torch.no_grad():
        program.tensors["0.weight"][:2] = 0
    count = program.count()
    assert count.macs == 4 * 12 + 32
    assert count.nonzero_macs == 4 * 6 + 32
    assert count.nonzero_params == count.params - 6
    assert {layer.name: layer.nonzero_macs for layer in count.layers} == {"0": 24, "2": 32}
    assert set(count.summary()) == {
        "macs",
        "nonzero_macs",
        "params",
        "nonzero_params",
        "bytes",
        "memory",
        "input_shapes",
    }


def test_layers_are_named_and_shaped() -> None:
    layers = captured(Tied()).count().layers
    assert [(layer.name, layer.kind, layer.weight_shape) for layer in layers] == [
        ("body", "conv2d", (12, 3, 3, 3)),
        ("first", "linear", (12, 12)),
        ("first", "linear", (12, 12)),
        ("head", "linear", (4, 12)),
    ]
