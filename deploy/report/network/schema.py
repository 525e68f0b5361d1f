"""What the page of a network shows, as plain data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.records import Record

Status = Literal["exact", "statistics-changing", "protected", "frozen"]


class LayerBar(Record):
    """An operator that multiplies, in graph order. ``macs_left`` stay however much is pruned; ``groups`` are positions
    in :attr:`NetworkPage.groups`; ``width`` is absent for products of two activations.
    """

    name: str
    operator: str
    width: int | None = None
    macs: int
    macs_left: int
    groups: list[int] = Field(default_factory=list)
    source: str | None = None


class WidthRow(Record):
    """A width: ``width`` units of ``cell`` channels each. ``macs`` is what it accounts for alone."""

    name: str
    status: Status
    width: int
    cell: int
    layers: list[str]
    macs: int
    reason: str | None = None


class Obstacle(Record):
    """An operator without a rule; ``macs`` would become reachable at most if it had one."""

    operator: str
    reason: str
    places: list[str]
    macs: int


class NetworkPage(Record):
    """One network explained. ``facts`` are named lines for the top of the page; ``ignore`` the patterns protected."""

    title: str
    facts: list[tuple[str, str]] = Field(default_factory=list)
    macs: int
    params: int
    layers: list[LayerBar]
    groups: list[WidthRow]
    obstacles: list[Obstacle] = Field(default_factory=list)
    macs_of_obstacles: int = 0
    ignore: list[str] = Field(default_factory=list)

    @property
    def macs_left(self) -> int:
        """MACs that stay however much is pruned."""
        return sum(layer.macs_left for layer in self.layers)

    @property
    def reachable(self) -> float:
        """Share of the MACs that pruning can take."""
        return 1 - self.macs_left / self.macs if self.macs else 0.0
