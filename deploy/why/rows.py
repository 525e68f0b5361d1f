"""Parts of two files side by side: by the checkpoint's layer, the rest by kind and by what it comes after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.why.parts import Part
from deploy.why.records import Row

_SAME_LAYER, _SAME_NAME = 20.0, 0.5
_MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class Match:
    """The same part of both files; a side is ``None`` where a file does not have it."""

    name: str
    base: Part | None
    new: Part | None

    @property
    def is_copy(self) -> bool:
        """Whether it copies or converts, in each file that has it."""
        return all(part.is_copy for part in (self.base, self.new) if part is not None)

    @property
    def milliseconds(self) -> float:
        """The longer of both times."""
        return max((part.side.milliseconds for part in (self.base, self.new) if part is not None), default=0.0)

    def row(self, remarks: Sequence[str]) -> Row:
        """Return it as it is reported."""
        return Row(
            name=self.name,
            base=self.base.side if self.base else None,
            new=self.new.side if self.new else None,
            remarks=list(remarks),
            extra=self.is_copy,
        )


def match(base: Sequence[Part], new: Sequence[Part]) -> list[Match]:
    """Return all parts in the order of execution; those of ``base`` alone come where they were.

    Parts of one name are the same. Exporters number nodes, and a node more or less shifts all numbers behind it: so
    of all ways to line the rest up in order, the one that pairs most of the same kind is taken.
    """
    if len(base) * len(new) > _MOST_CELLS:
        return _by_name(base, new)
    return [_pair(one, other) for one, other in _aligned(base, new)]


def _pair(base: Part | None, new: Part | None) -> Match:
    known = [part for part in (new, base) if part is not None]
    name = next((part.name for part in known if part.layered), known[0].name)
    return Match(name, base, new)


def _aligned(base: Sequence[Part], new: Sequence[Part]) -> list[tuple[Part | None, Part | None]]:
    """The alignment in order with the highest sum of likenesses (Needleman and Wunsch 1970, gaps are free)."""
    left, right = [_Sign.of(part) for part in base], [_Sign.of(part) for part in new]
    best = [[0.0] * (len(new) + 1) for _ in range(len(base) + 1)]
    for row in range(len(base) - 1, -1, -1):
        below, here = best[row + 1], best[row]
        for column in range(len(new) - 1, -1, -1):
            like = _likeness(left[row], right[column])
            apart = max(below[column], here[column + 1])
            here[column] = max(apart, like + below[column + 1]) if like else apart
    pairs: list[tuple[Part | None, Part | None]] = []
    row = column = 0
    while row < len(base) and column < len(new):
        like = _likeness(left[row], right[column])
        if like and best[row][column] == like + best[row + 1][column + 1]:
            pairs.append((base[row], new[column]))
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            pairs.append((base[row], None))
            row += 1
        else:
            pairs.append((None, new[column]))
            column += 1
    return [*pairs, *((part, None) for part in base[row:]), *((None, part) for part in new[column:])]


@dataclass(frozen=True)
class _Sign:
    """What parts are told apart by."""

    layer: str
    name: str
    token: str

    @staticmethod
    def of(part: Part) -> _Sign:
        return _Sign(part.name if part.layered else "", part.name, part.token)


def _likeness(base: _Sign, new: _Sign) -> float:
    """0 for what is not the same; a layer of the same name counts as much as many operators of the same kind."""
    if base.layer and new.layer:
        return _SAME_LAYER if base.layer == new.layer else 0.0
    if base.token != new.token:
        return 0.0
    return 1.0 + _SAME_NAME * (base.name == new.name)


def _by_name(base: Sequence[Part], new: Sequence[Part]) -> list[Match]:
    left = {part.name: part for part in base}
    right = {part.name: part for part in new}
    order = list(right)
    place = 0
    for name in left:
        if name in right:
            place = order.index(name) + 1
        else:
            order.insert(place, name)
            place += 1
    return [Match(name, left.get(name), right.get(name)) for name in order]
