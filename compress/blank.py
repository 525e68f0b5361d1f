"""Tensors without numbers: what an operator needs to know of its operands to say what its result looks like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

Key = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]  # shape, strides, type


class Blank:
    """A tensor's shape, strides and type, and a token for its storage, which views share."""

    __slots__ = ("dtype", "key", "shape", "storage", "strides")

    def __init__(self, key: Key, storage: object = None) -> None:
        """``storage`` is new where it is None."""
        self.key = key
        self.shape, self.strides, self.dtype = key
        self.storage = object() if storage is None else storage

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Blank:
        """As ``tensor``, with a storage of its own."""
        return cls((tuple(tensor.shape), tensor.stride(), tensor.dtype))

    def meta(self) -> torch.Tensor:
        """A tensor on the meta device that looks like this one, with a storage of its own."""
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device="meta")


def storage_of(value: Blank | torch.Tensor) -> object:
    """What tells the storages of values apart."""
    return value.storage if isinstance(value, Blank) else value.untyped_storage()._cdata


def blanks(value: Any) -> Iterator[Blank]:
    """Those in nested lists, in order."""
    if isinstance(value, Blank):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from blanks(item)


def packed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor."""
    found, step = [], 1
    for size in reversed(shape):
        found.append(step)
        step *= max(size, 1)
    return tuple(reversed(found))
