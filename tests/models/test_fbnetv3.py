"""FB-1: FBNetV3 has every published figure, to the last digit, by the rule that the publication counts with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import compress
import models
from models.fbnetv3 import FAMILY, FBNetV3, SqueezeExcite, fbnetv3

PUBLISHED = {  # millions of operations, millions of parameters
    "a": ("356.598280", "8.542224"),
    "b": ("461.550136", "8.542224"),
    "c": ("556.969904", "9.907136"),
    "d": ("644.420352", "10.237552"),
    "e": ("762.046336", "10.699464"),
    "f": ("1181.644520", "13.803072"),
    "g": ("2129.656384", "16.513648"),
}
COUNTED = {  # multiply-accumulates, elements read by pools (of squeezes, the last), all parameters, last map
    "a0": (217_917_744, 607_600, 50_960, 6_309_964, 7),
    "a": (355_514_328, 1_033_584, 48_384, 8_598_464, 6),
    "b": (460_150_000, 1_332_296, 65_856, 8_598_464, 7),
    "c": (555_578_368, 1_326_048, 63_504, 9_973_800, 7),
    "d": (642_628_864, 1_697_344, 92_160, 10_306_272, 8),
    "e": (759_952_160, 2_000_032, 92_160, 10_772_872, 8),
    "f": (1_178_860_656, 2_677_432, 104_448, 13_896_136, 8),
    "g": (2_125_187_200, 4_294_400, 172_800, 16_623_888, 10),
}


class _Figures:
    """Of one network, from the shapes that pass through it: nothing is computed."""

    def __init__(self, network: FBNetV3, pixels: int) -> None:
        self.macs = self.squeezed = self.last = self.size = 0
        for module in network.modules():
            module.register_forward_hook(self._count)
        network.last.register_forward_hook(self._end)
        with torch.device("meta"):
            network.eval()(torch.zeros(1, 3, pixels, pixels))
        self.weights = sum(parameter.numel() for parameter in network.parameters() if parameter.ndim > 1)
        self.params = sum(parameter.numel() for parameter in network.parameters())

    def _count(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            self.macs += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            self.macs += module.weight.numel()
        elif isinstance(module, SqueezeExcite):
            self.squeezed += inputs[0].numel()

    def _end(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        self.last, self.size = output.numel(), output.shape[-1]


def _figures(name: str) -> _Figures:
    with torch.device("meta"):
        return _Figures(fbnetv3(name), FAMILY[name].pixels)


@pytest.mark.parametrize("name", COUNTED)
def test_has_the_sizes_that_were_counted(name: str) -> None:
    found = _figures(name)
    assert (found.macs, found.squeezed, found.last, found.params, found.size) == COUNTED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_has_the_published_figures_to_the_last_digit(name: str) -> None:
    found = _figures(name)
    operations = found.macs + found.squeezed + found.last + 1984  # the head pools its own 1 x 1 map once more
    assert (f"{operations / 1e6:.6f}", f"{found.weights / 1e6:.6f}") == PUBLISHED[name]


def test_ordinary_padding_would_cost_more() -> None:
    """FB-2; the sizes of the last maps are in :data:`COUNTED`."""
    ordinary = replace(FAMILY["a"], stages=tuple(replace(stage, padding=None) for stage in FAMILY["a"].stages))
    with torch.device("meta"):
        assert _Figures(FBNetV3(ordinary, 1000, 3), 224).macs == 407_508_576


def test_a_program_counts_the_same() -> None:
    reference = "models:fbnetv3_a?num_classes=1000"
    program = compress.capture(models.create(reference), (torch.zeros(1, *models.default_input(reference)),))
    count = program.count()
    assert (count.macs, count.params) == (355_514_328, 8_598_464)


def test_every_member_is_a_reference_of_its_own_size() -> None:
    for name, member in FAMILY.items():
        assert models.default_input(f"models:fbnetv3_{name}") == (3, member.pixels, member.pixels)
    assert models.create("models:fbnetv3_a0?num_classes=5&in_channels=1")(torch.zeros(2, 1, 64, 64)).shape == (2, 5)
