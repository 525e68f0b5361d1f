"""Room for large tensors on huge pages: with pages of 4 KB the kernel spends several times longer on handing out memory
than slicing spends on filling it.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence

import torch

_LARGE = 1 << 22  # bytes; two huge pages


def empty(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """As ``torch.empty`` of ``shape`` in the type and on the device of ``like``; contiguous."""
    size = math.prod(shape) * like.element_size()
    if like.device.type != "cpu" or size < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(tuple(shape), dtype=like.dtype, device=like.device)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(pages, dtype=like.dtype).reshape(tuple(shape))
