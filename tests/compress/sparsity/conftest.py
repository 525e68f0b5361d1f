"""Small networks, captured once."""

from __future__ import annotations

import pytest
import torch

from compress import Program
from compress.loading import create


@pytest.fixture(scope="session")
def digitsnet() -> Program:
    """Shared: whoever changes it takes a copy."""
    torch.manual_seed(0)
    return create("models:digitsnet")


@pytest.fixture(scope="session")
def resnet20() -> Program:
    """Shared: whoever changes it takes a copy."""
    torch.manual_seed(0)
    return create("models:resnet20")


@pytest.fixture(scope="session")
def mini() -> Program:
    """The largest of the small FBNetV3 members, with random weights. Shared: whoever changes it takes a copy."""
    torch.manual_seed(0)
    return create("models:fbnetv3_mini_d")


@pytest.fixture(scope="session")
def fbnetv3_a() -> Program:
    """FBNetV3-A with random weights. Shared: whoever changes it takes a copy."""
    torch.manual_seed(0)
    return create("models:fbnetv3_a")
