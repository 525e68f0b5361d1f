"""Whole numbers that remember which attribute or which tensor they came from, also through arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Attribute:
    """A whole number held by a module: ``module`` is its path, ``index`` the place within a tuple or list."""

    module: str
    name: str
    index: tuple[int, ...] = ()

    def __str__(self) -> str:
        place = "".join(f"[{position}]" for position in self.index)
        return f"{self.module}.{self.name}{place}" if self.module else f"{self.name}{place}"


@dataclass(frozen=True)
class Size:
    """A size that forward read off a tensor: ``mark`` is that of the node which made it, ``value`` the size then."""

    mark: int
    dim: int
    value: int

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Computed:
    """A number that forward computed, from attributes, sizes and whole numbers that its code spells out."""

    function: str
    left: Attribute | Size | Computed | int
    right: Attribute | Size | Computed | int

    def __str__(self) -> str:
        return f"({self.left} {_SIGNS[self.function]} {self.right})"

    def sources(self) -> Iterator[Attribute | Size]:
        """The attributes and sizes that went into it."""
        for side in (self.left, self.right):
            if isinstance(side, (Attribute, Size)):
                yield side
            elif isinstance(side, Computed):
                yield from side.sources()

    def attributes(self) -> Iterator[Attribute]:
        """The attributes that went into it."""
        return (source for source in self.sources() if isinstance(source, Attribute))


Origin = Attribute | Size | Computed
Values = Mapping[Attribute | Size, int]
_WITH_BATCH: ContextVar[list[Width]] = ContextVar("widths that were combined with the batch size")
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "floordiv": "//", "mod": "%"}
_FUNCTIONS = {name: getattr(operator, name) for name in _SIGNS}


def evaluate(origin: Origin | int, values: Values) -> int:
    """The number for these attributes and sizes; sizes that are not in ``values`` are as they were.

    Raises:
        KeyError: an attribute is not in ``values``.
    """
    if isinstance(origin, int):
        return origin
    if isinstance(origin, Attribute):
        return values[origin]
    if isinstance(origin, Size):
        return values.get(origin, origin.value)
    result: int = _FUNCTIONS[origin.function](evaluate(origin.left, values), evaluate(origin.right, values))
    return result


class Width(int):
    """A plain whole number in every way, except that arithmetic with whole numbers keeps track of its origin."""

    origin: Origin

    def __new__(cls, value: int, origin: Origin) -> Width:
        """Args:
        value: the number.
        origin: where it comes from.
        """
        made = super().__new__(cls, value)
        made.origin = origin
        return made

    @staticmethod
    def collect_with_batch() -> list[Width]:
        """Start a new list, which gets every width that is combined with an open size from now on."""
        found: list[Width] = []
        _WITH_BATCH.set(found)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Width:
        return self

    def __reduce__(self) -> Any:
        return int, (int(self),)


def _tracked(name: str, *, reflected: bool) -> Callable[[Width, Any], Any]:
    function = _FUNCTIONS[name]

    def method(self: Width, other: Any) -> Any:
        if not isinstance(other, int) or isinstance(other, bool):
            if isinstance(other, torch.SymInt):
                _WITH_BATCH.get().append(self)
            return function(*_sides(int(self), other, reflected))
        mine, theirs = self.origin, other.origin if isinstance(other, Width) else int(other)
        return Width(
            function(*_sides(int(self), int(other), reflected)), Computed(name, *_sides(mine, theirs, reflected))
        )

    return method


def _sides(left: Any, right: Any, reflected: bool) -> tuple[Any, Any]:
    return (right, left) if reflected else (left, right)


for _name in _SIGNS:
    setattr(Width, f"__{_name}__", _tracked(_name, reflected=False))
    setattr(Width, f"__r{_name}__", _tracked(_name, reflected=True))


def track(module: nn.Module) -> None:
    """Replace every whole number that ``module`` and its parts hold as attributes by a :class:`Width`, in place."""
    for path, part in module.named_modules():
        for name, value in list(vars(part).items()):
            if is_number(value) or is_numbers(value):
                vars(part)[name] = _mapped(value, Attribute(path, name), Width)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a whole number (truth values are none)."""
    return type(value) in (int, Width)


def is_numbers(value: Any) -> bool:
    """Whether ``value`` is a tuple or list of whole numbers, or of such tuples and lists."""
    return type(value) in (tuple, list) and bool(value) and all(is_number(item) or is_numbers(item) for item in value)


def rewritten(value: Any, holder: Attribute, numbers: Mapping[Attribute, int]) -> Any:
    """``value`` (a number, or a tuple or list of them) with what ``numbers`` says of its elements."""
    return _mapped(value, holder, lambda number, place: numbers.get(place, int(number)))


def elements(value: Any, holder: Attribute) -> Iterator[tuple[Attribute, int]]:
    """Every number in ``value`` and its place."""
    found: list[tuple[Attribute, int]] = []
    _mapped(value, holder, lambda number, place: found.append((place, number)))
    yield from found


def _mapped(value: Any, holder: Attribute, change: Callable[[int, Attribute], Any]) -> Any:
    if isinstance(value, int):
        return change(value, holder)
    return type(value)(
        _mapped(item, Attribute(holder.module, holder.name, (*holder.index, position)), change)
        for position, item in enumerate(value)
    )
