"""The parts of a network along its layers: stretches of neighbours whose names begin alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

_MOST = 14


@dataclass(frozen=True)
class Stretch:
    """Layers ``first`` to ``last``, and what they may be called, the best name first."""

    first: int
    last: int
    names: tuple[str, ...]


def stretches(layers: Sequence[str]) -> list[Stretch]:
    """Divide ``layers`` by the first parts of their dotted names: as finely as some fourteen stretches allow."""
    paths = [name.split(".") for name in layers]
    depth = max((len(path) for path in paths), default=1)
    fitting = [cut for cut in (_cut(paths, level) for level in range(1, depth + 1)) if len(cut) <= _MOST]
    return fitting[-1] if fitting else _cut(paths, 1)


def _cut(paths: Sequence[Sequence[str]], level: int) -> list[Stretch]:
    found = []
    for prefix, run in groupby(enumerate(paths), key=lambda item: tuple(item[1][:level])):
        places = [place for place, _ in run]
        # A bare number says nothing on its own.
        names = tuple(dict.fromkeys([".".join(prefix), *(prefix[-1:] if not prefix[-1].isdigit() else ())]))
        found.append(Stretch(places[0], places[-1], names))
    return found
