"""Slicing tensors: what is kept of each of their dimensions, copied bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compress import room
from compress.axes.labels import Array

_BLOCK = 1 << 16  # elements: what lies between two slices stays in a cache
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.float32, 8: torch.int64}  # what is copied need not be understood


class Slicer:
    """Slices one tensor after another. What lies between two dimensions' slices goes through one stretch of memory:
    the kernel hands out fresh pages more slowly than they are filled.
    """

    def __init__(self) -> None:
        self._between = np.empty(0, np.uint8)

    def sliced(self, tensor: torch.Tensor, masks: Sequence[NDArray[np.bool_]]) -> torch.Tensor:
        """A contiguous copy of what ``masks``, one for each dimension, keep."""
        source = tensor.detach()
        kept = [np.flatnonzero(mask) for mask in masks]
        result = room.empty([index.size for index in kept], source)
        cut = [dim for dim, mask in enumerate(masks) if kept[dim].size < mask.size]
        if not cut:
            return result.copy_(source)
        if source.device.type != "cpu" or source.element_size() not in _BITS:
            for dim in cut:
                source = source.index_select(dim, torch.from_numpy(kept[dim]).to(source.device))
            return result.copy_(source)
        bits = _BITS[source.element_size()]
        self._gather(source.view(bits).numpy(), kept, cut, result.view(bits).numpy())
        return result

    def _gather(self, source: Any, kept: Sequence[Array], cut: Sequence[int], result: Any) -> None:
        """Fill ``result`` with what is kept along the dimensions in ``cut``, block by block."""
        first, *others = cut
        for start, stop in _blocks(kept[first].size, result.size, whole=bool(first) or not others):
            block, part = source, result if first else result[start:stop]
            indices = [(first, kept[first][start:stop]), *((other, kept[other]) for other in others)]
            for dim, index in indices[:-1]:
                block = self._taken(block, dim, index)
            dim, index = indices[-1]
            _take(block, dim, index, part)

    def _taken(self, block: Any, dim: int, index: Array) -> Any:
        """What is kept along one dimension, in the memory for what lies between; valid until the next call."""
        shape = (*block.shape[:dim], index.size, *block.shape[dim + 1 :])
        size = int(np.prod(shape)) * block.itemsize
        if np.may_share_memory(block, self._between):
            return block.take(index, axis=dim)
        if self._between.size < size:
            self._between = np.empty(size, np.uint8)
        found = self._between[:size].view(block.dtype).reshape(shape)
        block.take(index, axis=dim, out=found, mode="clip")
        return found


def _take(block: Any, dim: int, index: Array, result: Any) -> None:
    """Fill ``result`` with the positions ``index`` of one dimension."""
    if dim == block.ndim - 1 == 1 and block.dtype == np.float32 and block.flags.c_contiguous:
        # single numbers of four bytes: here torch is nearly twice as quick as numpy, elsewhere several times slower
        torch.index_select(torch.from_numpy(block), 1, torch.from_numpy(index), out=torch.from_numpy(result))
    else:
        block.take(index, axis=dim, out=result, mode="clip")  # "raise" would go through a buffer


def _blocks(count: int, elements: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Stretches of the first dimension; one stretch where there is no need, or parts of the result would not lie
    together.
    """
    step = max(1, count if whole else _BLOCK * count // max(elements, 1))
    for start in range(0, count, step):
        yield start, min(start + step, count)
