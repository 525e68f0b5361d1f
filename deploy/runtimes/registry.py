"""Where runtimes come from: this package, and entry points of other installed packages."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deploy.runtimes.base import Runtime, first_line

GROUP = "compress.runtimes"
"""The group of entry points: name of the runtime = "package.module:Class"."""

_OWN = {
    "onnxruntime-cpu": "onnxruntime_cpu:OnnxRuntimeCpu",
    "onnxruntime-cuda": "onnxruntime_cuda:OnnxRuntimeCuda",
    "onnxruntime-tensorrt": "onnxruntime_tensorrt:OnnxRuntimeTensorrt",
    "onnxruntime-openvino": "onnxruntime_openvino:OnnxRuntimeOpenvino",
    "onnxruntime-xnnpack": "onnxruntime_xnnpack:OnnxRuntimeXnnpack",
    "onnxruntime-coreml": "onnxruntime_coreml:OnnxRuntimeCoreml",
    "openvino": "openvino:Openvino",
    "tensorrt": "tensorrt:Tensorrt",
    "tensorrt-rtx": "tensorrt_rtx:TensorrtRtx",
}


@dataclass(frozen=True)
class Source:
    """A runtime's name, and where its class is: ``package.module:Class``. ``fault`` is why it cannot be used at all."""

    name: str
    value: str
    fault: str = ""


def known() -> dict[str, Source]:
    """Return all runtimes by name, this package's first; nothing is imported."""
    found = {name: Source(name, f"deploy.runtimes.{value}") for name, value in _OWN.items()}
    for entry in sorted(_entry_points(), key=lambda entry: (entry.name, entry.value)):
        if entry.name not in found:
            found[entry.name] = Source(entry.name, entry.value)
        elif found[entry.name].value != entry.value:
            name = f"{entry.name} ({entry.value})"
            found[name] = Source(name, entry.value, f"the name is taken by {found[entry.name].value}")
    return found


def reason(source: Source) -> str | None:
    """Return why the runtime cannot be used here, None where it can. A plug-in that is broken is a reason, no crash."""
    if source.fault:
        return source.fault
    try:
        return make(source).why_not()
    except Exception as error:  # noqa: BLE001 - other people's code raises anything, and that is the reason
        return f"its plug-in {source.value} is broken ({type(error).__name__}: {first_line(error)})"


def suffixes(source: Source) -> tuple[str, ...]:
    """Return how the names of the files end that the runtime reads; none where it is broken, see :func:`reason`."""
    if source.fault:
        return ()
    try:
        return make(source).suffixes
    except Exception:  # noqa: BLE001 - as in reason
        return ()


def make(source: Source) -> Runtime:
    """Return the runtime; raises whatever its module raises, TypeError where it is none."""
    module, _, attribute = source.value.partition(":")
    kind: Any = importlib.import_module(module)
    for part in attribute.split("."):
        kind = getattr(kind, part)
    if not (inspect.isclass(kind) and issubclass(kind, Runtime)):
        raise TypeError(f"{attribute} is no subclass of deploy.runtimes.Runtime")
    if getattr(kind, "name", None) != source.name:
        raise TypeError(f"it calls itself {getattr(kind, 'name', None)!r}")
    return kind()


def _entry_points() -> Iterable[importlib.metadata.EntryPoint]:
    found: Any = importlib.metadata.entry_points()
    if hasattr(found, "select"):
        return list(found.select(group=GROUP))
    return list(found.get(GROUP, ()))  # Python 3.9
