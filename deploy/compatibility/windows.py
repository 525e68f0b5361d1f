"""Convolution and pooling as ONNX defines them, in whatever precision the arrays have, fast enough for whole networks.

onnx's own reference implementation pools in Python loops, and takes the pads of pooling in another order than the
standard says (https://onnx.ai/onnx/operators/onnx__MaxPool.html): these two stand in for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_MOST_ELEMENTS = 1 << 24  # of unfolded windows at a time


@dataclass(frozen=True)
class Geometry:
    """Where windows lie, one number for each spatial axis. ``before`` and ``after`` pad the input."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """The elements that a window spans."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.kernel, self.dilations, strict=True))

    def windows(self, x: Array, fill: float) -> Array:
        """Return a view of ``x`` (batch, channels, spatial ...) as (batch, channels, places ..., kernel ...)."""
        axes = tuple(range(2, x.ndim))
        pads = [(0, 0), (0, 0), *zip(self.before, self.after, strict=True)]
        padded = np.pad(x, pads, constant_values=fill)
        view = np.lib.stride_tricks.sliding_window_view(padded, self.reach, axis=axes)
        steps = [slice(None, None, stride) for stride in self.strides]
        inner = [slice(None, None, dilation) for dilation in self.dilations]
        found: Array = view[(slice(None), slice(None), *steps, *inner)]
        return found


def geometry(
    sizes: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    auto_pad: str | None,
    ceil: bool = False,
) -> Geometry:
    """Return where the windows of ONNX's attributes lie on an input of the spatial ``sizes``.

    With ``ceil`` windows may reach beyond the padded input, but not begin beyond the input and its left padding.
    """
    count = len(sizes)
    strides, dilations = strides or [1] * count, dilations or [1] * count
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    how = auto_pad or "NOTSET"
    before, after = [0] * count, [0] * count
    if how == "NOTSET" and pads:
        before, after = list(pads[:count]), list(pads[count:])
    for axis in range(count):
        if how.startswith("SAME"):
            places = -(-sizes[axis] // strides[axis])
            total = max(0, (places - 1) * strides[axis] + reach[axis] - sizes[axis])
            before[axis] = total // 2 if how == "SAME_UPPER" else total - total // 2
            after[axis] = total - before[axis]
        elif ceil:
            span = sizes[axis] + before[axis] + after[axis] - reach[axis]
            places = -(-span // strides[axis]) + 1
            if (places - 1) * strides[axis] >= sizes[axis] + before[axis]:
                places -= 1
            after[axis] += max(0, (places - 1) * strides[axis] - span)
    return Geometry(tuple(kernel), tuple(strides), tuple(dilations), tuple(before), tuple(after))


def convolve(x: Array, weight: Array, bias: Array | None, group: int, where: Geometry) -> Array:
    """Return ``x`` (batch, channels, spatial ...) convolved with ``weight`` (features, channels of a group, kernel)."""
    view = where.windows(x, 0.0)
    count = len(where.kernel)
    batch, channels, *places = view.shape[: 2 + count]
    features = len(weight)
    split = view.reshape(batch, group, channels // group, *view.shape[2:])
    # (batch, group, channels, kernel ..., places ...): the sum then runs over consecutive axes
    split = split.transpose(0, 1, 2, *range(3 + count, 3 + 2 * count), *range(3, 3 + count))
    flat = weight.reshape(group, features // group, -1)
    result = np.empty((batch, group, features // group, *places), np.result_type(x, weight))
    columns = flat.shape[-1]
    rows = max(1, _MOST_ELEMENTS // max(1, columns * group * int(np.prod(places[1:]))))
    for sample in range(batch):
        for start in range(0, places[0], rows):
            part = split[sample][(..., slice(start, start + rows), *[slice(None)] * (count - 1))]
            shape = part.shape[-count:]
            product = flat @ part.reshape(group, columns, -1)
            result[sample, :, :, start : start + rows] = product.reshape(group, features // group, *shape)
    result = result.reshape(batch, features, *places)
    return result if bias is None else result + bias.reshape(-1, *[1] * count)


def pool_max(x: Array, where: Geometry) -> Array:
    """Return the maximum of every window; padding never wins."""
    axes = tuple(range(-len(where.kernel), 0))
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return np.asarray(where.windows(x, lowest).max(axis=axes))


def pool_mean(x: Array, where: Geometry, counted: Geometry | None) -> Array:
    """Return the mean of every window; of the padding only that of ``counted`` is counted, as zeros."""
    axes = tuple(range(-len(where.kernel), 0))
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    beyond = where
    if counted is not None:
        pads = [(0, 0), (0, 0), *zip(counted.before, counted.after, strict=True)]
        ones = np.pad(ones, pads, constant_values=1.0)
        rest = tuple(one - other for one, other in zip(where.after, counted.after, strict=True))
        beyond = Geometry(where.kernel, where.strides, where.dilations, (0,) * len(rest), rest)
    return np.asarray(where.windows(x, 0.0).sum(axis=axes) / beyond.windows(ones, 0.0).sum(axis=axes))
