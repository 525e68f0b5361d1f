"""A small real network on real digits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compress
from compress import Program, data
from compress.data import DataSource


def small_network(*, norm: bool = True, dropout: float = 0.1, classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inner, outer, stride in ((1, 8, 1), (8, 16, 2)):
        layers.append(nn.Conv2d(inner, outer, 3, stride, 1))
        layers += [nn.BatchNorm2d(outer)] if norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, classes))


@pytest.fixture(scope="session")
def digits() -> DataSource:
    return data.load("digits")


@pytest.fixture(scope="session")
def captured() -> Program:
    return compress.capture(small_network(), (torch.zeros(2, 1, 8, 8),))


@pytest.fixture
def network(captured: Program) -> Program:
    return captured.copy()


@pytest.fixture
def plain_network() -> Program:
    return compress.capture(small_network(norm=False, dropout=0.0), (torch.zeros(2, 1, 8, 8),))
