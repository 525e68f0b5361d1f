"""Clock, temperature and throttling, read from what the system offers; what it does not offer is said, not guessed.

Linux tells them under ``/sys``: ``cpufreq`` (Documentation/admin-guide/pm/cpufreq.rst), thermal zones
(Documentation/driver-api/thermal/sysfs-api.rst), hardware monitors (Documentation/hwmon/sysfs-interface.rst) and, on
x86, ``thermal_throttle``. NVIDIA's library NVML, which comes with the driver, tells them of a GPU.
"""

from __future__ import annotations

import ctypes
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from deploy import machine

_ZONES = ("cpu", "pkg", "soc", "cluster", "package", "core")
_MONITORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "scpi_sensors")
_HEAT = 0x20 | 0x40  # NVML's reasons for a low clock: thermal, by software and by hardware


class Sensors(ABC):
    """What tells clock (MHz), temperature (degrees Celsius) and how often heat slowed the clock down."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._throttled = self.throttled()

    def sample(self) -> dict[str, Any]:
        """Return the fields of :class:`deploy.records.SensorSample`, ``None`` for what is not offered."""
        throttled = self.throttled()
        since = None if throttled is None or self._throttled is None else throttled - self._throttled
        return {
            "seconds": time.perf_counter() - self._began,
            "clock": self.clock(),
            "temperature": self.temperature(),
            "throttled": since,
        }

    def why_not(self) -> str | None:
        """Return ``None`` where at least one of the three is told, else the reason."""
        if self.clock() is self.temperature() is self.throttled() is None:
            return self.absence()
        return None

    @abstractmethod
    def clock(self) -> float | None:
        """Return the present clock."""

    @abstractmethod
    def temperature(self) -> float | None:
        """Return the present temperature."""

    @abstractmethod
    def throttled(self) -> int | None:
        """Return a counter that grows whenever heat slows the clock."""

    @abstractmethod
    def absence(self) -> str:
        """Return why nothing at all can be told."""


class CpuSensors(Sensors):
    """Linux's own. The clock is that of the fastest core that this process may use: idle ones say nothing."""

    def __init__(self, root: Path = Path("/sys")) -> None:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        folders = [root / f"devices/system/cpu/cpu{core}" for core in cores]
        self._clocks = _there(folder / "cpufreq/scaling_cur_freq" for folder in folders)
        self._counters = _there(folder / "thermal_throttle/core_throttle_count" for folder in folders)
        self._temperatures = _zones(root) or _monitors(root)
        super().__init__()

    def clock(self) -> float | None:
        kilohertz = _numbers(self._clocks)
        return max(kilohertz) / 1e3 if kilohertz else None

    def temperature(self) -> float | None:
        thousandths = _numbers(self._temperatures)
        return max(thousandths) / 1e3 if thousandths else None

    def throttled(self) -> int | None:
        counts = _numbers(self._counters)
        return sum(counts) if counts else None

    def absence(self) -> str:
        return "the system offers no clock, temperature or throttle count (a virtual machine hides them)"


class GpuSensors(Sensors):
    """The first NVIDIA GPU that this process sees (``CUDA_VISIBLE_DEVICES``), through NVML."""

    def __init__(self) -> None:
        self._device = ctypes.c_void_p()
        self._reason = "no NVIDIA driver is installed here"
        self._library = self._open()
        self._slowed = 0
        super().__init__()

    def _open(self) -> Any:
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return None
        code = library.nvmlInit_v2() or self._find(library)
        if code:
            self._reason = f"NVIDIA's driver reports no GPU (NVML code {code})"
            return None
        return library

    def _find(self, library: Any) -> int:
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
        if first.startswith("GPU-"):
            code: int = library.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(self._device))
        else:
            index = int(first) if first.isdigit() else 0
            code = library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self._device))
        return code

    def name(self) -> str | None:
        """Return the GPU's name, or ``None`` where there is none."""
        text = ctypes.create_string_buffer(96)
        if self._library is None or self._library.nvmlDeviceGetName(self._device, text, len(text)):
            return None
        return text.value.decode(errors="replace")

    def clock(self) -> float | None:
        value = ctypes.c_uint()
        if self._library is None or self._library.nvmlDeviceGetClockInfo(self._device, 1, ctypes.byref(value)):
            return None
        return float(value.value)

    def temperature(self) -> float | None:
        value = ctypes.c_uint()
        if self._library is None or self._library.nvmlDeviceGetTemperature(self._device, 0, ctypes.byref(value)):
            return None
        return float(value.value)

    def throttled(self) -> int | None:
        """NVML tells whether heat slows the clock now, not how often it did: the times that it was seen are counted."""
        value = ctypes.c_ulonglong()
        if self._library is None:
            return None
        if self._library.nvmlDeviceGetCurrentClocksThrottleReasons(self._device, ctypes.byref(value)):
            return None
        self._slowed += bool(value.value & _HEAT)
        return self._slowed

    def absence(self) -> str:
        return self._reason


def sensors_of(provider: str) -> Sensors:
    """Return the sensors of the processor that a runtime's ``provider`` computes on."""
    return GpuSensors() if _on_gpu(provider) else CpuSensors()


def device_of(provider: str) -> str:
    """Return the name of the processor that a runtime's ``provider`` computes on."""
    name = GpuSensors().name() if _on_gpu(provider) else None
    return name or machine.processor()


def _on_gpu(provider: str) -> bool:
    return any(word in provider.lower() for word in ("cuda", "tensorrt"))


def _there(paths: Any) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _zones(root: Path) -> list[Path]:
    zones = sorted(root.glob("class/thermal/thermal_zone*"))
    named = [zone for zone in zones if any(word in _word(zone / "type").lower() for word in _ZONES)]
    return _there(zone / "temp" for zone in named)


def _monitors(root: Path) -> list[Path]:
    monitors = [folder for folder in sorted(root.glob("class/hwmon/hwmon*")) if _word(folder / "name") in _MONITORS]
    return [path for folder in monitors for path in sorted(folder.glob("temp*_input"))]


def _word(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _numbers(paths: list[Path]) -> list[int]:
    """Read whole numbers; a sensor that is there but does not answer (asleep, no permission) is left out."""
    words = [_word(path) for path in paths]
    return [int(word) for word in words if word.lstrip("-").isdigit()]
