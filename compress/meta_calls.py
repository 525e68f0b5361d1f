"""Operators run without numbers, each distinct call once: networks are made of repeated blocks, and one such call takes
up to a millisecond of Python on the meta device.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compress.blank import Blank, blanks
from compress.meta_recurrent import GATES, recurrent
from compress.shortcuts import IN_PLACE, shortcut

_MOST = 1 << 15  # calls remembered; a network of 20,000 distinct operators still fits


@dataclass(frozen=True)
class _Found:
    """What a call returned, storages numbered: that of the operand at this place, or a new one where below 0.

    ``target`` is kept alive, since calls are told apart by its identity.
    """

    target: Any
    result: Any
    single: bool  # one tensor with a storage of its own


_remembered: dict[Hashable, _Found] = {}


def call(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run one operator on operands without numbers (:class:`Blank`) and literals; its tensors are returned so, too.

    Tensors that have numbers (made by the graph from literals alone) stay as they are. Raises what torch raises where
    the operands do not fit.
    """
    if target is operator.getitem:
        return target(*args)
    if not isinstance(target, torch._ops.OpOverload):
        return _rebuilt(_made(target, args, kwargs).result, args, kwargs)
    try:
        key = (id(target), _key(args), _key(kwargs) if kwargs else None)
        found = _remembered.get(key)
    except TypeError:  # an argument that cannot be a key
        return _rebuilt(_made(target, args, kwargs).result, args, kwargs)
    if found is None:
        found = _told(target, args, kwargs) or _made(target, args, kwargs)
        if len(_remembered) >= _MOST:
            _remembered.clear()
        _remembered[key] = found
    if found.single:
        return Blank(found.result.key)
    return _rebuilt(found.result, args, kwargs)


def _told(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> _Found | None:
    key = shortcut(target, args, kwargs)
    if key is None:
        return None
    return _Found(target, Blank(key, 0 if target in IN_PLACE else -1), target not in IN_PLACE)


def _made(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> _Found:
    """Run on operands with storages of their own, so that it shows which of them the results are views of."""
    operands: list[int] = []
    own_args, own_kwargs = _apart(args, operands), _apart(kwargs, operands)
    storages = {storage: place for place, storage in enumerate(operands)}
    result = _numbered(run(target, own_args, own_kwargs), storages)
    return _Found(target, result, isinstance(result, Blank) and result.storage not in range(len(operands)))


def run(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run one operator on the meta device."""
    if target in GATES and (found := recurrent(target, args)) is not None:
        return found
    return target(*args, **kwargs)


def forget() -> None:
    """Drop everything remembered."""
    _remembered.clear()


def remembered() -> int:
    """How many distinct calls are remembered."""
    return len(_remembered)


def _apart(value: Any, storages: list[int]) -> Any:
    """With tensors on the meta device instead of those without numbers; their storages are noted in order."""
    if isinstance(value, Blank):
        tensor = value.meta()
        storages.append(tensor.untyped_storage()._cdata)
        return tensor
    if isinstance(value, (list, tuple)):
        return [_apart(item, storages) for item in value]
    return {name: _apart(item, storages) for name, item in value.items()} if isinstance(value, dict) else value


def _numbered(value: Any, storages: dict[int, int]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_numbered(item, storages) for item in value]
    if not isinstance(value, torch.Tensor) or not value.is_meta:
        return value
    place = storages.setdefault(value.untyped_storage()._cdata, -1 - len(storages))
    return Blank((tuple(value.shape), value.stride(), value.dtype), place)


def _rebuilt(value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The same with storages of this call."""
    operands = [operand.storage for operand in blanks([args, *kwargs.values()])]
    return _placed(value, operands, {})


def _placed(value: Any, operands: list[object], made: dict[object, object]) -> Any:
    if isinstance(value, list):
        return [_placed(item, operands, made) for item in value]
    if not isinstance(value, Blank):
        return value
    place = value.storage
    assert isinstance(place, int)
    return Blank(value.key, operands[place] if place >= 0 else made.setdefault(place, object()))


def _key(value: Any) -> Hashable:
    kind = type(value)
    if kind is Blank:
        return value.key
    if isinstance(value, (list, tuple)):
        return tuple([_key(item) for item in value])
    if isinstance(value, dict):
        return tuple([(name, _key(item)) for name, item in value.items()])
    if isinstance(value, torch.Tensor):
        raise TypeError("a result may depend on the numbers in a tensor that has some")
    return kind, value  # 1, 1.0 and True are equal and mean different results
