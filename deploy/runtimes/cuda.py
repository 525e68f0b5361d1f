"""NVIDIA's GPUs, as the driver sees them: used through its C interface, so that no package is needed.

https://docs.nvidia.com/cuda/cuda-driver-api: what is called here is the same since CUDA 4.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from compress.errors import InputError, UnavailableError
from deploy.runtimes.base import Array

_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


def why_no_gpu() -> str | None:
    """Return why no NVIDIA GPU can be used here, None where one can."""
    driver = _driver()
    if driver is None:
        return "there is no NVIDIA driver on this machine"
    count = ctypes.c_int(0)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code or not count.value:
        return "there is no NVIDIA GPU on this machine" + (f" (the driver answers with error {code})" if code else "")
    return None


def gpu() -> str | None:
    """Return the first GPU's name and compute capability, such as ``NVIDIA L4 (8.9)``; None without a GPU."""
    driver = _driver()
    if driver is None or why_no_gpu() is not None:
        return None
    device, name = ctypes.c_int(0), ctypes.create_string_buffer(256)
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(name, len(name), device):
        return None
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        number = ctypes.c_int(0)
        if driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device):
            return name.value.decode("utf-8", "replace")
        numbers.append(str(number.value))
    return f"{name.value.decode('utf-8', 'replace')} ({'.'.join(numbers)})"


def _driver() -> ctypes.CDLL | None:
    for library in _LIBRARIES:
        try:
            return ctypes.CDLL(library)
        except OSError:
            continue
    return None


class Stream:
    """Work in order on the first GPU, and the memory for it. Not to be used by two threads at once."""

    def __init__(self) -> None:
        reason = why_no_gpu()
        driver = _driver()
        if reason is not None or driver is None:
            raise UnavailableError(reason or "there is no NVIDIA driver on this machine")
        self._driver = driver
        self._sizes: dict[str, int] = {}
        self._memory: dict[str, ctypes.c_uint64] = {}
        device, self._context = ctypes.c_int(0), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.enter()
        self._handle = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(self._handle), 1)  # non-blocking: independent of the default stream

    def enter(self) -> None:
        """Make the GPU's context the calling thread's own, which everything else here needs."""
        self._call("cuCtxSetCurrent", self._context)

    @property
    def handle(self) -> int:
        """The CUDA stream, as others take it."""
        return int(self._handle.value or 0)

    def memory(self, name: str, size: int) -> int:
        """Return the address of at least ``size`` bytes on the GPU that are ``name``'s until it asks for more."""
        size = max(size, 1)
        if self._sizes.get(name, 0) < size:
            if name in self._memory:
                self._call("cuMemFree_v2", self._memory.pop(name))
                del self._sizes[name]
            address = ctypes.c_uint64(0)
            self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
            self._memory[name], self._sizes[name] = address, size
        return self._memory[name].value

    def copy_in(self, name: str, array: Array) -> None:
        """Queue a copy of ``array``, which is contiguous, to ``name``'s memory."""
        size = ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyHtoDAsync_v2", self._memory[name], ctypes.c_void_p(array.ctypes.data), size, self._handle)

    def copy_out(self, name: str, array: Array) -> None:
        """Queue a copy of ``name``'s memory to ``array``, which is contiguous."""
        size = ctypes.c_size_t(array.nbytes)
        self._call("cuMemcpyDtoHAsync_v2", ctypes.c_void_p(array.ctypes.data), self._memory[name], size, self._handle)

    def wait(self) -> None:
        """Wait until everything that was queued is done."""
        self._call("cuStreamSynchronize", self._handle)

    def close(self) -> None:
        """Give back the memory and the stream; nothing else works afterwards."""
        self.enter()
        for name in list(self._memory):
            self._call("cuMemFree_v2", self._memory.pop(name))
        self._sizes.clear()
        if self._handle.value:
            self._call("cuStreamDestroy_v2", self._handle)
            self._handle = ctypes.c_void_p()

    def _call(self, function: str, *arguments: Any) -> None:
        callable_: Callable[..., int] = getattr(self._driver, function)
        code = callable_(*arguments)
        if code:
            text = ctypes.c_char_p()
            known = self._driver.cuGetErrorString(code, ctypes.byref(text)) == 0 and text.value
            said = text.value.decode("utf-8", "replace") if known and text.value else f"error {code}"
            raise InputError(f"the GPU's driver failed in {function} ({said})")
