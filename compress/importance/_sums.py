"""Sums of a tensor's elements along every wanted dimension: in float64, in one pass, in blocks that fit a cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

_BLOCK = 1 << 17  # elements: a megabyte in float64


def sums_along(
    value: torch.Tensor, dims: Iterable[int], each: Callable[[torch.Tensor], torch.Tensor]
) -> dict[int, NDArray[np.float64]]:
    """For each of ``dims`` the sum of ``each(value)`` over all other dimensions, of shape (size of the dimension,).

    ``each`` works element by element on blocks in float64, which it may overwrite. No copy of the whole is made.
    """
    value = value.detach()
    rows = len(value)
    step = max(1, _BLOCK * rows // max(value.numel(), 1))
    across = torch.empty(rows, dtype=torch.float64, device=value.device)
    down = torch.zeros(math.prod(value.shape[1:]), dtype=torch.float64, device=value.device)
    buffer = torch.empty((min(step, rows), down.numel()), dtype=torch.float64, device=value.device)
    deep = any(dims)
    for start in range(0, rows, step):
        block = value[start : start + step]
        numbers = each(buffer[: len(block)].copy_(block.reshape(len(block), -1)))
        across[start : start + step] = numbers.sum(dim=1)
        if deep:
            down += numbers.sum(dim=0)
    return {dim: _numpy(across if dim == 0 else _along(down.reshape(value.shape[1:]), dim - 1)) for dim in dims}


def _along(value: torch.Tensor, dim: int) -> torch.Tensor:
    others = [other for other in range(value.ndim) if other != dim]
    return value.sum(dim=others) if others else value


def _numpy(value: torch.Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = value.cpu().numpy()
    return found
