"""Engines of TensorRT: compiled on the GPU that they run on."""

from __future__ import annotations

from typing import ClassVar

from deploy.runtimes.tensorrt_base import TensorrtBase


class Tensorrt(TensorrtBase):
    """Engines of NVIDIA's full TensorRT."""

    name: ClassVar[str] = "tensorrt"
    provider: ClassVar[str] = "TensorRT"
    modules: ClassVar[tuple[str, ...]] = ("tensorrt",)
    package: ClassVar[str] = "tensorrt"
