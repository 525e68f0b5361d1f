"""NVIDIA's GPUs, as the driver sees them: asked through its C interface, so that no package is needed."""

from __future__ import annotations

import ctypes

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
