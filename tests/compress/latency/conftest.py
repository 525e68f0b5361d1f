from __future__ import annotations

import pytest
import torch

import compress
from compress.axes.analysis import Analysis, analyse
from compress.program import Program
from tests.compress import families


def captured(build: str, size: int = 64) -> Program:
    torch.manual_seed(0)
    return compress.capture(getattr(families, build)(), (torch.zeros(1, 3, size, size),))


@pytest.fixture(scope="session")
def inverted() -> Analysis:
    """Depthwise convolutions, residual sums, a classifier."""
    return analyse(captured("mobilenet_v2"))


@pytest.fixture(scope="session")
def residual() -> Analysis:
    return analyse(captured("resnet_basic"))
