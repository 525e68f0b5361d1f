"""The one place that knows which TensorRT is installed, and how the two differ.

Full TensorRT (``tensorrt``) compiles for the GPU of this machine and needs it. TensorRT for RTX compiles ahead of time,
without any GPU, for the compute capabilities it is asked for. Everything else is the same interface.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from compress.errors import ExportError, UnavailableError

_FULL = ("tensorrt",)
_AHEAD = ("tensorrt_rtx", "tensorrt_rtx_bindings")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the CUDA driver interface
HINT = "pip install 'compress-toolchain[tensorrt]'"


@dataclass(frozen=True)
class TensorRT:
    """An installed TensorRT: its Python module, and whether it compiles ahead of time (without the target GPU)."""

    api: Any
    name: str
    ahead: bool

    @property
    def version(self) -> str:
        """The library's version."""
        return str(self.api.__version__)

    def aim(self, config: Any, capability: str) -> None:
        """Set the compute capability an engine is compiled for.

        Raises:
            ExportError: this TensorRT does not know the capability, or can only compile for another GPU.
        """
        if not self.ahead:
            present = present_capability()
            if present != capability:
                raise ExportError(
                    f"{self.name} compiles for this machine's GPU only, which is of compute capability {present}",
                    hint=f"ask for {present}, or install TensorRT for RTX to compile ahead of time ({HINT})",
                )
            return
        known = self.capabilities()
        if capability not in known:
            raise ExportError(f"{self.name} {self.version} cannot compile for it", hint=f"it knows {', '.join(known)}")
        config.num_compute_capabilities = 1
        config.set_compute_capability(known[capability], 0)

    def allow_sparse_weights(self, config: Any) -> bool:
        """Let TensorRT use its kernels for 2:4 weights; return whether this version has the flag."""
        flag = self.api.BuilderFlag.__members__.get("SPARSE_WEIGHTS")
        if flag is not None:
            config.set_flag(flag)
        return flag is not None

    def capabilities(self) -> dict[str, Any]:
        """The compute capabilities TensorRT for RTX can aim at, such as ``{"8.6": ComputeCapability.SM86, ...}``."""
        members = self.api.ComputeCapability.__members__
        digits = {name.removeprefix("SM"): value for name, value in members.items() if name.startswith("SM")}
        return {f"{number[:-1]}.{number[-1]}": value for number, value in digits.items()}

    def logger(self) -> Any:
        """Return a TensorRT logger that keeps what it is told in ``errors`` and ``warnings`` and prints nothing."""
        api = self.api

        class Quiet(api.ILogger):  # type: ignore[name-defined]
            def __init__(self) -> None:
                api.ILogger.__init__(self)
                self.errors: list[str] = []
                self.warnings: list[str] = []

            def log(self, severity: Any, message: str) -> None:
                if severity in (api.ILogger.ERROR, api.ILogger.INTERNAL_ERROR):
                    self.errors.append(message)
                elif severity == api.ILogger.WARNING:
                    self.warnings.append(message)

        return Quiet()


def find() -> TensorRT:
    """Return the TensorRT to use: the full one where its GPU is here, else TensorRT for RTX.

    Raises:
        UnavailableError: none is installed, or there is no GPU and what is installed needs one.
    """
    reasons: list[str] = []
    full = _first(_FULL, "TensorRT", ahead=False, reasons=reasons)
    ahead = _first(_AHEAD, "TensorRT for RTX", ahead=True, reasons=reasons)
    if full is None and ahead is None:
        raise UnavailableError(f"TensorRT is not installed ({'; '.join(reasons)})", hint=HINT)
    gpu = present_capability()
    if full is not None and gpu is not None:
        return full
    if ahead is None:
        raise UnavailableError(
            "TensorRT compiles on the GPU it is for, and this machine has none",
            hint=f"install TensorRT for RTX to compile ahead of time: {HINT}",
        )
    return ahead


def named(name: str) -> TensorRT:
    """Return the TensorRT of that name (engines of one cannot be read by the other).

    Raises:
        UnavailableError: it is not installed, or no GPU is here to run on.
    """
    modules = _AHEAD if name == "TensorRT for RTX" else _FULL
    reasons: list[str] = []
    found = _first(modules, name, ahead=name == "TensorRT for RTX", reasons=reasons)
    if found is None:
        raise UnavailableError(f"{name} is not installed ({'; '.join(reasons)})", hint=HINT)
    if present_capability() is None:
        raise UnavailableError("there is no NVIDIA GPU on this machine, so no engine can run")
    return found


def present_capability() -> str | None:
    """Return the compute capability (``"8.6"``) of the first NVIDIA GPU, asked from the driver; None without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, device = ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    if driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        number = ctypes.c_int(0)
        if driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device):
            return None
        numbers.append(str(number.value))
    return ".".join(numbers)


def _first(modules: tuple[str, ...], name: str, *, ahead: bool, reasons: list[str]) -> TensorRT | None:
    for module in modules:
        try:
            return TensorRT(import_module(module), name, ahead)
        except (ImportError, OSError, RuntimeError) as error:
            # A binding whose library is missing or too new for the system fails with any of the three.
            reasons.append(f"{module}: {error}")
    return None
