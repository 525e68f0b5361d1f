"""The runtimes that deployment files can be measured in, one file each."""

from __future__ import annotations

import difflib

from compress.errors import InputError, UnavailableError
from deploy.runtimes.base import Description, InputSpec, Runtime, Session
from deploy.runtimes.onnxruntime_cpu import OnnxRuntimeCpu

__all__ = ["Description", "InputSpec", "Runtime", "Session", "available", "get", "names"]

_DRIVEN: dict[str, type[Runtime]] = {OnnxRuntimeCpu.name: OnnxRuntimeCpu}
# Names that mean something to users; asking for one is a question of availability, not a typing mistake.
_KNOWN = (
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "onnxruntime-openvino",
    "onnxruntime-xnnpack",
    "onnxruntime-coreml",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
)


def names() -> dict[str, str | None]:
    """Return every known runtime name with ``None`` where it can be used here, else the reason why not."""
    reasons: dict[str, str | None] = {name: kind().why_not() for name, kind in _DRIVEN.items()}
    return reasons | dict.fromkeys(_KNOWN, "this version has no driver for it")


def available() -> list[str]:
    """Return the names of the runtimes that can be used on this machine."""
    return [name for name, reason in names().items() if reason is None]


def get(name: str) -> Runtime:
    """Return the runtime called ``name``.

    Raises:
        InputError: no runtime is called that.
        UnavailableError: the runtime is known, but cannot be used here; the message lists those that can.
    """
    reasons = names()
    if name not in reasons:
        near = difflib.get_close_matches(name, reasons, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"no runtime is called {name!r}", hint=f"{meant}known are {', '.join(reasons)}")
    if reasons[name] is not None:
        here = ", ".join(available()) or "none"
        raise UnavailableError(
            f"runtime {name} is not available here ({reasons[name]})", hint=f"available on this machine: {here}"
        )
    return _DRIVEN[name]()
