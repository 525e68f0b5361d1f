"""ONNX Runtime with its CPU execution provider, and with the sparse operators of files that have them."""

from __future__ import annotations

from typing import ClassVar

from deploy.runtimes.onnxruntime_base import CPU, OnnxRuntime


class OnnxRuntimeCpu(OnnxRuntime):
    """ONNX files on the CPU."""

    name: ClassVar[str] = "onnxruntime-cpu"
    provider: ClassVar[str] = CPU
    package: ClassVar[str] = "onnxruntime"

    def lacks(self) -> str | None:
        return None
