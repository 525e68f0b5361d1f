"""ONNX Runtime with the XNNPACK execution provider, on the CPU."""

from __future__ import annotations

from typing import ClassVar

from deploy.runtimes.onnxruntime_base import OnnxRuntime


class OnnxRuntimeXnnpack(OnnxRuntime):
    """ONNX files on the CPU, by XNNPACK."""

    name: ClassVar[str] = "onnxruntime-xnnpack"
    provider: ClassVar[str] = "XnnpackExecutionProvider"
    package: ClassVar[str] = "an onnxruntime built with --use_xnnpack"

    def settings(self, threads: int) -> dict[str, str]:
        return {"intra_op_num_threads": str(threads)}
