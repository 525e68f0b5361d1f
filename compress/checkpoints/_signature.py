"""What identifies an architecture in a state dict: names, shapes, and which axes count classes."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

# Absent from checkpoints older than torch 0.4.1, so their presence says nothing about the architecture.
COUNTER_SUFFIX = "num_batches_tracked"
SKETCH_SIZE = 24

Shape = tuple[int, ...]
Item = tuple[str, Shape]


class ClassAxis(NamedTuple):
    """One dimension that follows the number of classes: ``size = slope * classes + offset``.

    ``position`` counts in the name-sorted items of :func:`items_of`.
    """

    position: int
    dim: int
    slope: int
    offset: int


def items_of(state: Mapping[str, torch.Tensor]) -> list[Item]:
    """Return the (name, shape) pairs of a state dict, sorted by name, batch counters left out."""
    return sorted((name, tuple(value.shape)) for name, value in state.items() if not name.endswith(COUNTER_SUFFIX))


def names_hash(items: Sequence[Item]) -> str:
    """Return 16 hexadecimal digits that stand for the names alone."""
    return _digest("\n".join(name for name, _ in items))


def shapes_hash(items: Sequence[Item], axes: Sequence[ClassAxis]) -> str:
    """Return 16 hexadecimal digits that stand for the shapes, class axes set to zero."""
    shapes = [list(shape) for _, shape in items]
    for axis in axes:
        shapes[axis.position][axis.dim] = 0
    return _digest("\n".join(",".join(map(str, shape)) for shape in shapes))


def sketch(items: Sequence[Item]) -> list[int]:
    """Return the smallest 32-bit name hashes (a bottom-k sketch), sorted: enough to estimate shares of common names."""
    hashes = {int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") for name, _ in items}
    return sorted(hashes)[:SKETCH_SIZE]


def pack_sketch(values: Sequence[int]) -> str:
    """Return a sketch as base64 text."""
    return base64.b64encode(struct.pack(f">{len(values)}I", *values)).decode()


def unpack_sketch(text: str) -> list[int]:
    """Return the sketch that :func:`pack_sketch` packed."""
    data = base64.b64decode(text)
    return list(struct.unpack(f">{len(data) // 4}I", data))


def similarity(first: Sequence[int], second: Sequence[int]) -> float:
    """Return the estimated share of common names (Jaccard index, 0 to 1) of two sketches.

    Estimator: Broder, "On the resemblance and containment of documents", 1997.
    """
    union = sorted({*first, *second})[:SKETCH_SIZE]
    if not union:
        return 0.0
    common = set(first) & set(second)
    return sum(value in common for value in union) / len(union)


def class_axes(
    few: Sequence[Item], few_classes: int, many: Sequence[Item], many_classes: int
) -> list[ClassAxis] | None:
    """Return the axes in which two builds of one architecture differ, or None where they do not follow the classes."""
    if names_hash(few) != names_hash(many):
        return None
    axes = []
    for position, ((_, small), (_, large)) in enumerate(zip(few, many, strict=True)):
        if len(small) != len(large):
            return None
        for dim, (low, high) in enumerate(zip(small, large, strict=True)):
            if low == high:
                continue
            slope, rest = divmod(high - low, many_classes - few_classes)
            if rest or slope <= 0:
                return None
            axes.append(ClassAxis(position, dim, slope, low - slope * few_classes))
    return axes


def classes_in(items: Sequence[Item], axes: Sequence[ClassAxis]) -> int | None:
    """Return the number of classes that all ``axes`` agree on, or None where they do not."""
    found = set()
    for axis in axes:
        shape = items[axis.position][1]
        if axis.dim >= len(shape):
            return None
        classes, rest = divmod(shape[axis.dim] - axis.offset, axis.slope)
        if rest or classes < 1:
            return None
        found.add(classes)
    return found.pop() if len(found) == 1 else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
