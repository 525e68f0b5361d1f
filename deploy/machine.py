"""Facts of the machine that a measurement is made on, in as far as they can change it. No host, user or path names.

Needs the standard library only: this is asked on the device.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

_PACKAGES = ("numpy", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "plotly", "pydantic")


def facts() -> dict[str, Any]:
    """Return the fields of :class:`deploy.environment.Environment` as they are now."""
    cores = os.cpu_count() or 1
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "logical_cores": cores,
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "governor": _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": _versions(),
    }


def processor() -> str:
    """Return the processor's name, or its architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    installed: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _memory() -> int | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _first_line(path: Path) -> str | None:
    return path.read_text(errors="replace").strip() if path.is_file() else None
