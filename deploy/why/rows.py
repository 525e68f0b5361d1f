"""Parts of two files side by side: by the checkpoint's layer, the rest by kind and by what it comes after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.why.parts import Part
from deploy.why.records import Row


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
    """Return all parts in the order of execution of ``new``; those of ``base`` alone come where they were."""
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
