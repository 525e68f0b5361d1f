"""Program or ONNX in, verified deployment file out. The names below load on first use: importing costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Artifact": "exporters.artifact",
    "BatchRange": "exporters.engines",
    "EngineFailure": "exporters.engines",
    "EngineSet": "exporters.engines",
    "build_engines": "exporters.engines",
    "convert_fp16": "exporters.fp16",
    "sparsify_onnx": "exporters.sparse.sparsify",
    "store_sparse": "exporters.sparse.coo",
    "to_onnx": "exporters.onnx_export",
    "to_tensorrt": "exporters.engines",
}

__all__ = [*sorted(_HOMES)]

if TYPE_CHECKING:
    from exporters.artifact import Artifact as Artifact
    from exporters.engines import BatchRange as BatchRange
    from exporters.engines import EngineFailure as EngineFailure
    from exporters.engines import EngineSet as EngineSet
    from exporters.engines import build_engines as build_engines
    from exporters.engines import to_tensorrt as to_tensorrt
    from exporters.fp16 import convert_fp16 as convert_fp16
    from exporters.onnx_export import to_onnx as to_onnx
    from exporters.sparse.coo import store_sparse as store_sparse
    from exporters.sparse.sparsify import sparsify_onnx as sparsify_onnx


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'exporters' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
