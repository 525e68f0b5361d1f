"""Small real networks, captured, for the tests of this folder."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

import compress
from compress import Program


class Block(nn.Module):
    """A residual block, with a squeeze-and-excite gate where asked for and a depthwise middle in mobile style."""

    def __init__(self, wide: int, out: int, stride: int, *, mobile: bool) -> None:
        super().__init__()
        groups = out if mobile else 1
        self.conv1 = nn.Conv2d(wide, out, 1 if mobile else 3, 1 if mobile else stride, 0 if mobile else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride if mobile else 1, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.act = nn.Hardswish() if mobile else nn.ReLU()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(out, 4, 1), nn.ReLU(), nn.Conv2d(4, out, 1), nn.Hardsigmoid()
        )
        self.mobile = mobile
        self.down = nn.Sequential(nn.Conv2d(wide, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        if self.mobile:
            y = y * self.gate(y)
        return self.act(y + self.down(x))


class Small(nn.Module):
    """A CIFAR-size residual or mobile-like classifier of 10 classes."""

    def __init__(self, *, mobile: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = Block(8, 8, 1, mobile=mobile)
        self.layer2 = Block(8, 16, 2, mobile=mobile)
        self.linear = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
        return self.linear(y.mean((2, 3)))


class TwoInTwoOut(nn.Module):
    """Two inputs; three outputs, one of them given twice and named like an inner value, one of them an input."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(6, 5)
        self.right = nn.Linear(4, 5)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        both = torch.relu(self.left(a)) + self.right(b)
        return {"relu": both, "again": both, "given": a}


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and statistic a value that matters, so that a forgotten batch norm shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for tensor in (layer.weight, layer.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5, generator=generator)
                for tensor in (layer.bias, layer.running_mean):
                    assert tensor is not None
                    tensor.normal_(0, 0.3, generator=generator)
    return module.eval()


def small(*, mobile: bool = False) -> Program:
    """Return a copy of the classifier, captured."""
    return _small(mobile).copy()


def two_in_two_out() -> Program:
    """Return a copy of the network of several inputs and outputs, captured."""
    return _two_in_two_out().copy()


@cache
def _small(mobile: bool) -> Program:
    torch.manual_seed(0)
    return compress.capture(randomised(Small(mobile=mobile)), (torch.randn(2, 3, 16, 16),))


@cache
def _two_in_two_out() -> Program:
    torch.manual_seed(0)
    return compress.capture(TwoInTwoOut().eval(), (torch.randn(2, 6), torch.randn(2, 4)))
