"""Every runtime that is here has to pass what third parties' runtimes have to pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import runtimes
from deploy.certification import RuntimeContract
from deploy.runtimes import Runtime, cuda


class TestRuntimes(RuntimeContract):
    @pytest.fixture(params=runtimes.available())
    def runtime(self, request: pytest.FixtureRequest) -> Runtime:
        return runtimes.get(request.param)

    def file_for(self, runtime: Runtime, onnx_file: Path) -> Path:
        return onnx_file if ".onnx" in runtime.suffixes else _engine(onnx_file)


def _engine(onnx_file: Path) -> Path:
    from exporters import to_tensorrt

    capability = (cuda.gpu() or "").rpartition("(")[2].rstrip(")")
    engine = onnx_file.with_suffix(".engine")
    to_tensorrt(onnx_file, engine, compute_capability=capability, precision="fp32")
    return engine
