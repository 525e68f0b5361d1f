"""What an adviser is: it looks at what was measured, and proposes changes that can be tried."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from deploy.statistics import Interval
from deploy.why.case import Case

Trial = Callable[[float], Interval]
"""Measures, within about so many seconds, the ratio of the time after a change to the time as it is, in pairs."""


@dataclass(frozen=True)
class Proposal:
    """A change of the new file. Milliseconds are those of a run of it.

    Attributes:
        change: what to do, in the imperative; ``label`` is the short form of it.
        because: what was found.
        how: how the estimate was come by, and what the trial does.
        estimated: milliseconds saved, at most; ``None`` where only measuring can tell.
        trial: measures it.
        topic: of proposals on one topic only the best is given.
    """

    change: str
    label: str
    because: str
    how: str
    topic: str
    estimated: float | None = None
    trial: Trial | None = None


class Adviser(ABC):
    """Knows one kind of change."""

    name: ClassVar[str]

    @abstractmethod
    def propose(self, case: Case) -> Iterator[Proposal]:
        """Yield the changes of this kind that are worth weighing."""


def names(words: list[str], most: int = 3) -> str:
    """Return at most so many of ``words``, and how many there are besides."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return f"{', '.join(words[:most])}{more}"
