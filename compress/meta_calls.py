"""Operators run on the meta device, each distinct call once: networks are made of repeated blocks, and one such call
takes up to a millisecond of Python.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compress.meta_recurrent import GATES, recurrent

_aten = torch.ops.aten
# Their result is as their operand whatever it is: nothing can fail, and on the meta device each is slow Python.
_NAMES = ("relu", "hardtanh", "hardswish", "hardsigmoid", "silu", "leaky_relu", "elu", "sigmoid", "tanh")
UNARY = {_aten.gelu.default, *(getattr(_aten, name).default for name in _NAMES)}
UNARY_IN_PLACE = {getattr(_aten, f"{name}_").default for name in _NAMES}
Execute = Callable[[Any, Sequence[Any], dict[str, Any]], Any]
_MOST = 1 << 15  # calls remembered; a network of 20,000 distinct operators still fits


@dataclass(frozen=True)
class _Found:
    """What a call returned, and for each tensor in it which operand's storage it is a view of (None: of none)."""

    result: Any
    sources: tuple[int | None, ...]


_remembered: dict[Hashable, _Found] = {}


def call(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """:func:`run`, or what it returned for operands of the same shapes, strides and types and the same literals.

    Shape, strides and type of the result are right; its storage is not: it is shared with unrelated callers, and a
    view does not share its operand's. Nobody may reshape it in place.
    """
    found = _found(target, args, kwargs)
    return run(target, args, kwargs) if found is None else found.result


def call_with_storage(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """As :func:`call`, but the result has a storage of its own, or its operand's where it is a view."""
    found = _found(target, args, kwargs)
    if found is None:
        return run(target, args, kwargs)
    operands = list(_tensors([*args, *kwargs.values()]))
    sources = iter(found.sources)
    return _rebuilt(found.result, operands, sources)


def _found(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> _Found | None:
    """The remembered call, made where it is new; None for calls that cannot be remembered."""
    if not isinstance(target, torch._ops.OpOverload):
        return None
    try:
        key = (target, _key(args), _key(kwargs))
        found = _remembered.get(key)
    except TypeError:  # an argument that cannot be a key
        return None
    if found is None:
        found = _made(target, args, kwargs)
        if found is not None:
            if len(_remembered) >= _MOST:
                _remembered.clear()
            _remembered[key] = found
    return found


def _made(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> _Found | None:
    """Run on operands with storages of their own, so that it shows which of them the results are views of."""
    own_args, own_kwargs = _apart(args), _apart(kwargs)
    result = run(target, own_args, own_kwargs)
    tensors = list(_tensors(result))
    storages = [_storage(tensor) for tensor in tensors]
    owners = {_storage(tensor): at for at, tensor in enumerate(_tensors([*own_args, *own_kwargs.values()]))}
    sources = tuple(owners.get(storage) for storage in storages)
    fresh = [storage for storage, source in zip(storages, sources, strict=True) if source is None]
    if len(set(fresh)) < len(fresh):
        return None  # results that share a new storage among themselves
    return _Found(result, sources)


def run(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run one operator. Raises what torch raises where the operands do not fit."""
    if target is torch.ops.aten.batch_norm.default:
        x, *per_channel = args[:5]
        return _batch_norm(x, *per_channel)
    if target in UNARY and args[0].is_contiguous() and args[0].is_floating_point():
        return _like(args[0])
    if target in UNARY_IN_PLACE:
        return args[0]
    if target in GATES and (found := recurrent(target, args)) is not None:
        return found
    return target(*args, **kwargs)


def forget() -> None:
    """Drop everything remembered."""
    _remembered.clear()


def remembered() -> int:
    """How many distinct calls are remembered."""
    return len(_remembered)


def _apart(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, (list, tuple)):
        return [_apart(item) for item in value]
    return {name: _apart(item) for name, item in value.items()} if isinstance(value, dict) else value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _rebuilt(value: Any, operands: Sequence[torch.Tensor], sources: Iterator[int | None]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rebuilt(item, operands, sources) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    source = next(sources)
    if source is None:
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    return torch.empty(0, dtype=value.dtype, device="meta").set_(
        operands[source].untyped_storage(), 0, value.shape, value.stride()
    )


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _key(value: Any) -> Hashable:
    if isinstance(value, torch.Tensor):
        if not value.is_meta:
            raise TypeError("a result may depend on the numbers in a tensor that has some")
        return value.shape, value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple([_key(item) for item in value])
    if isinstance(value, dict):
        return tuple([(name, _key(item)) for name, item in value.items()])
    return type(value), value  # 1, 1.0 and True are equal and mean different results


def _batch_norm(x: torch.Tensor, *per_channel: torch.Tensor | None) -> torch.Tensor:
    """What the operator itself would return; on the meta device it takes milliseconds of Python."""
    for operand in per_channel:
        if operand is not None and operand.numel() != x.shape[1]:
            raise RuntimeError(f"batch norm of {x.shape[1]} channels with {operand.numel()} values")
    return _like(x) if x.is_contiguous() else torch.empty_like(x)


def _like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
