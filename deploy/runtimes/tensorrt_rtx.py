"""Engines of TensorRT for RTX: compiled ahead of time, finished by its compiler when they are loaded."""

from __future__ import annotations

from typing import ClassVar

from deploy.runtimes.tensorrt_base import TensorrtBase


class TensorrtRtx(TensorrtBase):
    """Engines of TensorRT for RTX."""

    name: ClassVar[str] = "tensorrt-rtx"
    provider: ClassVar[str] = "TensorRT for RTX"
    modules: ClassVar[tuple[str, ...]] = ("tensorrt_rtx", "tensorrt_rtx_bindings")
    package: ClassVar[str] = "'compress-toolchain[tensorrt]'"
