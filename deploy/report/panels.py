"""Which figures may stand side by side: points and profiles grouped by what they were measured under; and the front."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.records import Conditions, Profile
from deploy.report.schema import Point

Cost = Callable[[Point], float | None]

COSTS: dict[str, Cost] = {
    "latency": lambda point: point.latency.value if point.latency else None,
    "size": lambda point: point.size,
}


@dataclass(frozen=True)
class Panel:
    """Points of one device, measured alike. ``conditions`` is ``None`` for points whose latency is not known."""

    target: str
    conditions: Conditions | None
    points: list[Point]

    @property
    def title(self) -> str:
        """What the panel's figures were measured under, as plain text."""
        if self.conditions is None:
            return f"{self.target}: latency not measured"
        return f"{self.target}: {self.conditions.describe()}"

    def basis(self) -> tuple[str | None, str | None]:
        """Return metric and data of the accuracy that most points share: others are not compared with it."""
        found = [(point.metric, point.data) for point in self.points if point.accuracy is not None]
        return max(found, key=found.count, default=(None, None))

    def accuracy(self, point: Point) -> float | None:
        """Return the point's accuracy where it may be compared with the panel's others."""
        return point.accuracy if (point.metric, point.data) == self.basis() else None

    def front(self, cost: Cost) -> list[int]:
        """Return the points that no other dominates (as cheap and as accurate, and better in one), cheapest first."""
        known = [(cost(point), self.accuracy(point), index) for index, point in enumerate(self.points)]
        usable = [
            (price, accuracy, index) for price, accuracy, index in known if price is not None and accuracy is not None
        ]
        best: list[int] = []
        reached: tuple[float, float] | None = None
        for price, accuracy, index in sorted(usable, key=lambda each: (each[0], -each[1])):
            if reached is None or accuracy > reached[0] or (accuracy, price) == reached:
                best.append(index)
                reached = (accuracy, price)
        return best


@dataclass(frozen=True)
class Group:
    """Profiles of one device whose latencies may be compared with each other."""

    target: str
    profiles: list[Profile]

    @property
    def title(self) -> str:
        """What the profiles were measured under; precisions are named by file, for they may differ."""
        under = self.profiles[0].conditions
        threads = "1 thread" if under.threads == 1 else f"{under.threads} threads"
        return f"{under.runtime} {under.version}, {threads}, batch {under.batch}"


def panels(points: Sequence[Point]) -> list[Panel]:
    """Return the points grouped by device and by what they were measured under, precision excepted."""
    found: dict[str, Panel] = {}
    for point in points:
        key = json.dumps([point.target, _alike(point.conditions)], sort_keys=True)
        found.setdefault(key, Panel(point.target, point.conditions, [])).points.append(point)
    return list(found.values())


def _alike(under: Conditions | None) -> dict[str, object] | None:
    """What two points have to have in common: as profiles, neither the precision nor what the inputs are called."""
    if under is None:
        return None
    return under.model_dump(exclude={"precision", "inputs"}) | {"inputs": sorted(under.inputs.values())}


def groups(profiles: Sequence[Profile]) -> list[Group]:
    """Return the profiles grouped by device, then by what may be compared."""
    found: list[Group] = []
    for target in dict.fromkeys(profile.target for profile in profiles):
        mine: list[Group] = []
        for profile in (each for each in profiles if each.target == target):
            group = next((each for each in mine if each.profiles[0].incomparable(profile) is None), None)
            if group is None:
                mine.append(Group(target, [profile]))
            else:
                group.profiles.append(profile)
        found += mine
    return found
