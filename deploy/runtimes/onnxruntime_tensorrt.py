"""ONNX Runtime with its TensorRT execution provider, on the first NVIDIA GPU."""

from __future__ import annotations

from typing import ClassVar

from deploy.runtimes import cuda
from deploy.runtimes.onnxruntime_base import OnnxRuntime


class OnnxRuntimeTensorrt(OnnxRuntime):
    """ONNX files on an NVIDIA GPU, by TensorRT engines made while the file is loaded; no engine is cached."""

    name: ClassVar[str] = "onnxruntime-tensorrt"
    provider: ClassVar[str] = "TensorrtExecutionProvider"
    package: ClassVar[str] = "onnxruntime-gpu"

    def lacks(self) -> str | None:
        return cuda.why_no_gpu()
