"""Captures are shared by the whole session: capturing takes seconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import compress
from compress import Program
from tests.compress.families import FAMILIES


@pytest.fixture(scope="session")
def family() -> Callable[[str], Program]:
    """Return the captured small member of a family. Shared: whoever changes weights takes a copy."""
    made: dict[str, Program] = {}

    def captured(name: str) -> Program:
        if name not in made:
            build, size = FAMILIES[name]
            torch.manual_seed(0)
            made[name] = compress.capture(build(), (torch.randn(2, *size),))
        return made[name]

    return captured
