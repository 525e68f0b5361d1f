"""Squeeze-and-excite layers are told by what they compute, not by their names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import compress
from compress.sparsity.layers import SQUEEZE, maskable_layers


class Scaled(nn.Module):
    """A stem, ``through`` of its map, a mean, a last layer. ``through`` gets the two inner layers."""

    def __init__(self, through: Callable[[torch.Tensor, nn.Module, nn.Module], torch.Tensor], *, linear: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=8, padding=1)
        self.one, self.two = (nn.Linear(8, 8) if linear else nn.Conv2d(8, 8, 1) for _ in range(2))
        self.through, self.last = through, nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.through(torch.relu(self.stem(x)), self.one, self.two).mean((2, 3)))


def squeezed(x: torch.Tensor, one: nn.Module, two: nn.Module) -> torch.Tensor:
    return x * torch.sigmoid(two(torch.relu(one(nn.functional.adaptive_avg_pool2d(x, 1)))))


def linear(x: torch.Tensor, one: nn.Module, two: nn.Module) -> torch.Tensor:
    factors = torch.sigmoid(two(torch.relu(one(x.mean((2, 3))))))
    return factors.view(x.size(0), 8, 1, 1).expand_as(x) * x


def by_position(x: torch.Tensor, one: nn.Module, two: nn.Module) -> torch.Tensor:
    """Gates without any pooling."""
    return x * torch.sigmoid(two(torch.relu(one(x))))


def added(x: torch.Tensor, one: nn.Module, two: nn.Module) -> torch.Tensor:
    """Pooled, but nothing is scaled by it."""
    return x + two(torch.relu(one(nn.functional.adaptive_avg_pool2d(x, 1))))


def gated_afterwards(x: torch.Tensor, one: nn.Module, two: nn.Module) -> torch.Tensor:
    """A head's hidden layer, whose activation multiplies it with itself."""
    hidden = one(x.mean((2, 3), keepdim=True))
    return two(hidden * torch.sigmoid(hidden))


@pytest.mark.parametrize(
    ("through", "is_linear", "found"),
    [
        (squeezed, False, ["one", "two"]),
        (linear, True, ["one", "two"]),
        (by_position, False, []),
        (added, False, []),
        (gated_afterwards, False, []),
    ],
)
@pytest.mark.parametrize("pixels", [32, 8])  # 8: the map is of one position
def test_layers_between_a_pooled_map_and_its_factors(
    through: Callable[..., torch.Tensor], is_linear: bool, found: list[str], pixels: int
) -> None:
    network = Scaled(through, linear=is_linear)
    program = compress.capture(network, (torch.randn(2, 3, pixels, pixels),))
    assert [layer.name for layer in maskable_layers(program) if layer.part == SQUEEZE] == found


def test_factors_that_nothing_was_pooled_for_are_ordinary_layers() -> None:
    """A second input that scales the channels of a picture's map (Perez et al. 2018, FiLM)."""

    class Conditioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.last = nn.Conv2d(3, 8, 3), nn.Linear(4, 8), nn.Linear(8, 5)

        def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            factors = self.inner(condition).view(x.size(0), 8, 1, 1)
            return self.last((torch.relu(self.stem(x)) * factors).mean((2, 3)))

    program = compress.capture(Conditioned(), (torch.randn(2, 3, 8, 8), torch.randn(2, 4)))
    assert {layer.name: layer.part for layer in maskable_layers(program)}["inner"] is None


def test_the_blocks_of_a_compact_network_and_masking_them_all_the_same(mini: compress.Program) -> None:
    parts = {layer.name: layer.part for layer in maskable_layers(mini)}
    assert {name for name, part in parts.items() if part == SQUEEZE} == {name for name in parts if "squeeze" in name}
    reasons = {layer.name: layer.reason for layer in compress.sparsify(mini, 0.5).report.layers}
    dense = {"stem.0": "stem", "classifier": "last layer", "blocks.3.depthwise.0": "depthwise"}
    assert {name: reasons[name] for name in dense} == dense
    assert reasons["blocks.3.squeeze.reduce"] == reasons["blocks.3.squeeze.expand"] == SQUEEZE
    assert reasons["blocks.3.project.0"] is None
    masked = compress.sparsify(mini, 0.5, mask=["*.squeeze.reduce", "*.depthwise.0"], dense=["head"]).masks
    assert {"blocks.3.squeeze.reduce.weight", "blocks.3.depthwise.0.weight"} <= set(masked)
    assert not {"blocks.3.squeeze.expand.weight", "head.weight"} & set(masked)
