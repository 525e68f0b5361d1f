"""What the commonest operators return, by plain arithmetic: on the meta device each takes up to milliseconds.

A shortcut takes an operator's arguments and returns the key of a result with a storage of its own, or None where it
is not sure: the operator is then run, and says itself what is wrong. All are for contiguous operands of one
floating-point type, where the result is contiguous, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from compress.blank import Blank, Key, packed

Shortcut = Callable[[Sequence[Any]], Key | None]
_aten = torch.ops.aten
# Their result is as their operand whatever it is.
_NAMES = ("relu", "hardtanh", "hardswish", "hardsigmoid", "silu", "leaky_relu", "elu", "sigmoid", "tanh")
UNARY = {_aten.gelu.default, *(getattr(_aten, name).default for name in _NAMES)}
UNARY_IN_PLACE = {getattr(_aten, f"{name}_").default for name in _NAMES}
_CONVOLUTIONS = {_aten.conv1d.default, _aten.conv2d.default, _aten.conv3d.default}
_BINARY = {getattr(_aten, name).Tensor for name in ("add", "sub", "mul", "div")}
BINARY_IN_PLACE = {getattr(_aten, f"{name}_").Tensor for name in ("add", "sub", "mul", "div")}
IN_PLACE = UNARY_IN_PLACE | BINARY_IN_PLACE  # the result is the first operand


def shortcut(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Key | None:
    """The result's key, or None where the operator has to be run.

    Raises:
        RuntimeError: batch norm of so many channels with another number of values.
    """
    found = _SHORTCUTS.get(target)
    return None if found is None or kwargs else found(args)


def _plain(value: Any) -> bool:
    return isinstance(value, Blank) and value.dtype.is_floating_point and value.strides == packed(value.shape)


def _vector(value: Any, size: int, dtype: torch.dtype) -> bool:
    """Whether it is a vector of this size, or left out."""
    return value is None or (isinstance(value, Blank) and value.shape == (size,) and value.dtype == dtype)


def _unary(args: Sequence[Any]) -> Key | None:
    return args[0].key if _plain(args[0]) else None


def _binary(args: Sequence[Any]) -> Key | None:
    x, y = args[0], args[1]
    if not _plain(x):
        return None
    if type(y) in (int, float):
        return x.key
    if not _plain(y) or x.dtype != y.dtype:
        return None
    if x.shape == y.shape:
        return x.key
    shape = _broadcast(x.shape, y.shape)
    return None if shape is None else (shape, packed(shape), x.dtype)


def _broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...] | None:
    rank = max(len(left), len(right))
    pairs = zip((1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right, strict=True)
    shape = tuple(b if a == 1 else a if b in (1, a) else -1 for a, b in pairs)
    return None if -1 in shape else shape


def _in_place(args: Sequence[Any]) -> Key | None:
    found = _binary(args)
    return found if found is not None and found == args[0].key else None


def _linear(args: Sequence[Any]) -> Key | None:
    x, weight, bias = (*args, None)[:3]
    if not _plain(x) or not _plain(weight) or x.dtype != weight.dtype or len(weight.shape) != 2:
        return None
    if not x.shape or x.shape[-1] != weight.shape[1] or not _vector(bias, weight.shape[0], x.dtype):
        return None
    shape = (*x.shape[:-1], weight.shape[0])
    return shape, packed(shape), x.dtype


def _convolution(args: Sequence[Any]) -> Key | None:
    rest: list[Any] = [*args[2:], *(None, 1, 0, 1, 1)[len(args) - 2 :]]
    x, weight = args[:2]
    bias, stride, padding, dilation, groups = rest
    if not _plain(x) or not _plain(weight) or x.dtype != weight.dtype or len(x.shape) != len(weight.shape):
        return None
    (batch, channels), image = x.shape[:2], x.shape[2:]
    (out, inner), kernel = weight.shape[:2], weight.shape[2:]
    if groups < 1 or channels != inner * groups or out % groups or not _vector(bias, out, x.dtype):
        return None
    steps, pads, widenings = (_each(literal, len(image)) for literal in (stride, padding, dilation))
    if steps is None or pads is None or widenings is None or not all(x.shape + weight.shape):
        return None
    spaces = []
    for size, width, step, pad, apart in zip(image, kernel, steps, pads, widenings, strict=True):
        if step < 1 or pad < 0 or apart < 1:
            return None
        spaces.append((size + 2 * pad - apart * (width - 1) - 1) // step + 1)
    shape = (batch, out, *spaces)
    return (shape, packed(shape), x.dtype) if min(spaces) > 0 else None


def _each(literal: Any, count: int) -> list[int] | None:
    """One number for each spatial dimension, None for other spellings."""
    if isinstance(literal, int):
        return [literal] * count
    numbers = list(literal) if isinstance(literal, (list, tuple)) else []
    if len(numbers) == 1:
        numbers *= count
    return numbers if len(numbers) == count and all(type(number) is int for number in numbers) else None


def _mean(args: Sequence[Any]) -> Key | None:
    x, dims, keep = (*args, False)[:3]
    if len(args) > 3 or not _plain(x) or not dims:
        return None
    rank = len(x.shape)
    over = {dim % rank for dim in dims if -rank <= dim < rank}
    if len(over) != len(dims):  # out of range, or twice
        return None
    sizes = enumerate(x.shape)
    shape = tuple(1 if dim in over else size for dim, size in sizes if keep or dim not in over)
    return shape, packed(shape), x.dtype


def _pooled(args: Sequence[Any]) -> Key | None:
    x, sizes = args
    if not _plain(x) or len(x.shape) != len(sizes) + 2 or not all(type(size) is int and size > 0 for size in sizes):
        return None
    shape = (*x.shape[:2], *sizes)
    return (shape, packed(shape), x.dtype) if all(x.shape) else None


def _layer_norm(args: Sequence[Any]) -> Key | None:
    x, shape = args[0], tuple(args[1])
    if not _plain(x) or not shape or x.shape[-len(shape) :] != shape:
        return None
    affine = [value for value in args[2:4] if value is not None]
    return x.key if all(_plain(one) and one.shape == shape and one.dtype == x.dtype for one in affine) else None


def _batch_norm(args: Sequence[Any]) -> Key | None:
    x: Blank = args[0]
    for operand in args[1:5]:
        if operand is not None and operand.shape != (x.shape[1],):
            size = torch.Size(operand.shape).numel()
            raise RuntimeError(f"batch norm of {x.shape[1]} channels with {size} values")
    if x.strides == packed(x.shape):
        return x.key
    return x.shape, torch.empty_like(x.meta()).stride(), x.dtype


_SHORTCUTS: dict[Any, Shortcut] = {
    **dict.fromkeys(UNARY | UNARY_IN_PLACE, _unary),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(BINARY_IN_PLACE, _in_place),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    _aten.linear.default: _linear,
    _aten.mean.dim: _mean,
    **dict.fromkeys((getattr(_aten, f"adaptive_avg_pool{rank}d").default for rank in (1, 2, 3)), _pooled),
    _aten.layer_norm.default: _layer_norm,
    _aten.batch_norm.default: _batch_norm,
}
