"""ONNX Runtime with the CoreML execution provider, on Apple's machines."""

from __future__ import annotations

import sys
from typing import ClassVar

from deploy.runtimes.onnxruntime_base import OnnxRuntime


class OnnxRuntimeCoreml(OnnxRuntime):
    """ONNX files by CoreML, on whichever of CPU, GPU and Neural Engine it chooses."""

    name: ClassVar[str] = "onnxruntime-coreml"
    provider: ClassVar[str] = "CoreMLExecutionProvider"
    package: ClassVar[str] = "onnxruntime"

    def settings(self, threads: int) -> dict[str, str]:
        return {"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"}

    def lacks(self) -> str | None:
        return None if sys.platform == "darwin" else "CoreML is part of Apple's systems only"
