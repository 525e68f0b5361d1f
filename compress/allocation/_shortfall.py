"""Why a target was missed: the floor and what makes it up, the ceiling, other targets, the granularity, or nothing
but that the search found no nearer choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.allocation._ladder import Granularity, step_of
from compress.allocation._space import Space
from compress.allocation._target import Target
from compress.axes.groups import Group

_NAMED = 3


@dataclass(frozen=True)
class Cause:
    """A width that cannot go lower: what of the floor is due to it (``share_of_floor`` sums to 1).

    ``status`` is protected or kept (by the caller), frozen (by the graph) or least (as narrow as it may become).
    """

    layer: str
    status: str
    reason: str
    share_of_floor: float


@dataclass(frozen=True)
class Shortfall:
    """A target that was not met.

    ``obstacle`` is floor or ceiling (of all choices), granularity (all choices were looked at), the other targets that
    were met, or search: no choice found is nearer, which is no proof that there is none. ``shown`` says whether the
    obstacle was proven, by the ends of the range or by looking at all choices. ``lowest`` and ``highest`` is the range
    found with the other targets kept; ``causes`` make up the floor where that is in the way, the largest first.
    """

    requested: str
    achieved: float
    obstacle: str
    lowest: float
    highest: float
    causes: tuple[Cause, ...]
    shown: bool = False

    @property
    def measure(self) -> str:
        """What the target was for."""
        return self.requested.partition("=")[0]

    def of_whole(self, targets: Mapping[str, Target], left: float) -> Shortfall:
        """The same in shares of a network of which the one allocated was ``left`` over; ``targets`` gives, for each
        target asked for here, that of the whole. Nothing is shown of the whole: other steps before would leave other
        choices.
        """
        achieved, lowest, highest = (left * share for share in (self.achieved, self.lowest, self.highest))
        obstacle = "search" if self.obstacle == "granularity" else self.obstacle
        named = [str(targets.get(name, name)) for name in obstacle.split(" and ")]
        return Shortfall(str(targets[self.requested]), achieved, " and ".join(named), lowest, highest, self.causes)

    def __str__(self) -> str:
        measure = self.measure
        if self.obstacle == "floor":
            return f"the floor is {measure}={self.lowest:.3f}{_listed(self.causes)}"
        if self.obstacle == "ceiling":
            given = "the keep ratios given cut that far by themselves"
            return f"the ceiling is {measure}={self.highest:.3f}: {given}"
        if self.obstacle == "granularity":
            return f"{measure}={self.achieved:.3f} is the nearest that this granularity allows"
        if self.obstacle == "search":
            return f"{measure}={self.achieved:.3f} is the nearest found"
        clash, reach = ("conflicts", "range") if self.shown else ("was not found together", "range found")
        return (
            f"{self.requested} {clash} with {self.obstacle}: {measure}={self.achieved:.3f} was reached, "
            f"and with {self.obstacle} kept the {reach} is {self.lowest:.3f} to {self.highest:.3f}"
        )


def _listed(causes: Sequence[Cause]) -> str:
    if not causes:
        return ": what is protected, frozen or at its least width"
    named = [f"{100 * cause.share_of_floor:.0f} % {cause.layer} ({cause.reason})" for cause in causes[:_NAMED]]
    rest = sum(cause.share_of_floor for cause in causes[_NAMED:])
    if rest:
        named.append(f"{100 * rest:.0f} % {len(causes) - _NAMED} more")
    return ", of which " + ", ".join(named)


@dataclass(frozen=True)
class Said:
    """What the caller knows of groups, by name: status and reason of those whose width is decided, and why some must
    keep one share with others.
    """

    stays: Mapping[str, tuple[str, str]]
    ties: Mapping[str, str]
    granularity: Granularity


def floor_causes(space: Space, target: Target, groups: Sequence[Group], said: Said) -> tuple[Cause, ...]:
    """What the least cost in ``target``'s measure is due to, the largest first."""
    least = space.end(0)
    found: dict[tuple[str, str, str], float] = {}
    for part in space.model.parts(target.measure, least):
        if part.group is None:
            key = (part.layer, "frozen", part.reason)
        else:
            key = (groups[part.group].name, *_why(space, groups[part.group], part.group, said))
        found[key] = found.get(key, 0.0) + part.share
    total = sum(found.values()) or 1.0
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Cause(*key, share_of_floor=share / total) for key, share in ordered if share > 0)


def _why(space: Space, group: Group, position: int, said: Said) -> tuple[str, str]:
    if group.name in said.stays:
        return said.stays[group.name]
    if not space.free[position]:
        return "kept", "no score, so it stays whole"
    least = int(space.ladders[position].rungs[0])
    bound = least == int(space.ladders[position].whole().rungs[0])
    limit = (
        f"granularity {step_of(said.granularity, group)}" if bound else "the least share that is left of every group"
    )
    tie = f", {said.ties[group.name]}" if group.name in said.ties else ""
    return "least", f"{least} of {group.width} left: {limit}{tie}"
