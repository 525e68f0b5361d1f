"""Cost models: what a layer of given widths and density takes on a runtime, from measurements.

``LatencyModel.load("cpu.latency.json").bind(analysis).milliseconds(widths)`` predicts whole networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compress.latency.bound import BoundLatency
    from compress.latency.model import LatencyModel
    from compress.latency.record import HeldOut, Key

__all__ = ["BoundLatency", "HeldOut", "Key", "LatencyModel"]

_HOME = {
    "BoundLatency": "compress.latency.bound",
    "HeldOut": "compress.latency.record",
    "Key": "compress.latency.record",
    "LatencyModel": "compress.latency.model",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'compress.latency' has no attribute {name!r}")
