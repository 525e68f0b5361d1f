"""One export of the small network for every test that needs an ONNX file."""

from __future__ import annotations

from pathlib import Path

import pytest

import exporters
from tests.exporters import networks


@pytest.fixture(scope="session")
def small_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the residual classifier as ONNX; input ``x`` (batch, 3, 16, 16), output (batch, 10)."""
    return exporters.to_onnx(networks.small(), tmp_path_factory.mktemp("small") / "small.onnx").path
