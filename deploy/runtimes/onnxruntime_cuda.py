"""ONNX Runtime with its CUDA execution provider, on the first NVIDIA GPU."""

from __future__ import annotations

from typing import ClassVar

from deploy.runtimes import cuda
from deploy.runtimes.onnxruntime_base import OnnxRuntime


class OnnxRuntimeCuda(OnnxRuntime):
    """ONNX files on an NVIDIA GPU, by cuDNN and cuBLAS; inputs and outputs in host memory."""

    name: ClassVar[str] = "onnxruntime-cuda"
    provider: ClassVar[str] = "CUDAExecutionProvider"
    package: ClassVar[str] = "onnxruntime-gpu"

    def lacks(self) -> str | None:
        return cuda.why_no_gpu()
