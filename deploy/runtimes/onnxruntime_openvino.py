"""ONNX Runtime with the OpenVINO execution provider, on the CPU."""

from __future__ import annotations

from typing import ClassVar

from deploy.runtimes.onnxruntime_base import OnnxRuntime


class OnnxRuntimeOpenvino(OnnxRuntime):
    """ONNX files on the CPU, by OpenVINO within ONNX Runtime."""

    name: ClassVar[str] = "onnxruntime-openvino"
    provider: ClassVar[str] = "OpenVINOExecutionProvider"
    package: ClassVar[str] = "onnxruntime-openvino"

    def settings(self, threads: int) -> dict[str, str]:
        return {"device_type": "CPU", "num_of_threads": str(threads), "num_streams": "1"}
