"""Groups that are to keep one share: allocation sees each set of them as one group, the narrowest, and its costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.allocation._costs import Costs, Part
from compress.allocation._ladder import Granularity, Ladder
from compress.axes.groups import Group

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Tied:
    """Names of groups that keep the same share of their atoms, each its own best, and who asks for that."""

    groups: tuple[str, ...]
    reason: str


class Sets:
    """The groups, those that are tied taken together: each set is led by its narrowest group."""

    def __init__(self, groups: Sequence[Group], tied: Sequence[Tied]) -> None:
        """Args:
        groups: all of them.
        tied: sets without common members; names that no group has are left out.
        """
        place = {group.name: position for position, group in enumerate(groups)}
        reasons = {
            place[name]: (number, one.reason) for number, one in enumerate(tied) for name in one.groups if name in place
        }
        found: dict[tuple[bool, int], list[int]] = {}
        for position in range(len(groups)):
            key = (True, reasons[position][0]) if position in reasons else (False, position)
            found.setdefault(key, []).append(position)
        self._groups = groups
        self._members = [sorted(members, key=lambda at: groups[at].width) for members in found.values()]
        self._reasons = {members[0]: reasons[members[0]][1] for members in self._members if len(members) > 1}

    @cached_property
    def leaders(self) -> list[Group]:
        """One group for each set."""
        return [self._groups[members[0]] for members in self._members]

    @property
    def ties(self) -> dict[str, str]:
        """Why a set keeps one share, by the name of its leader; groups by themselves are not listed."""
        return {self._groups[leader].name: reason for leader, reason in self._reasons.items()}

    def ladders(self, granularity: Granularity, least: Mapping[str, float], usual: float) -> list[Ladder]:
        """The widths that the leaders may have."""
        return [
            Ladder(
                self._groups[members[0]],
                granularity,
                max(least.get(self._groups[at].name, usual) for at in members),
                [self._groups[at] for at in members[1:]],
            )
            for members in self._members
        ]

    def ratios(self, fixed: Mapping[str, float]) -> dict[str, float]:
        """The share decided for each leader: the largest that any group of its set is given."""
        names = [[self._groups[at].name for at in members] for members in self._members]
        return {
            own[0]: max(fixed[name] for name in own if name in fixed) for own in names if any(n in fixed for n in own)
        }

    def scores(self, scores: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """For each leader, of a set that is scored whole: the mean of what its groups have at each share."""
        found = {}
        for members, leader in zip(self._members, self.leaders, strict=True):
            own = [scores.get(self._groups[at].name) for at in members]
            known = [one for one in own if one is not None]
            if len(own) == 1 and known:
                found[leader.name] = known[0]
            elif len(own) == len(known):
                at = (np.arange(leader.width) + 0.5) / leader.width
                levels = [np.interp(at, (np.arange(one.size) + 0.5) / one.size, np.sort(one)) for one in known]
                found[leader.name] = np.mean(levels, axis=0)
        return found

    def said(self, of_groups: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
        """What is said of any group of a set, by the name of the leader."""
        found: dict[str, tuple[str, str]] = {}
        for members, leader in zip(self._members, self.leaders, strict=True):
            for at in members:
                if self._groups[at].name in of_groups:
                    found.setdefault(leader.name, of_groups[self._groups[at].name])
        return found

    def spread(self, widths: NDArray[Any]) -> NDArray[Any]:
        """Widths of all groups from those of the leaders, (..., leaders) to (..., groups)."""
        rows = np.asarray(widths)
        made = rows[..., self._set_of] * self._ratio
        return np.rint(made).astype(np.int64) if np.issubdtype(rows.dtype, np.integer) else made

    @cached_property
    def _set_of(self) -> NDArray[np.int64]:
        found = np.zeros(len(self._groups), np.int64)
        for number, members in enumerate(self._members):
            found[members] = number
        return found

    @cached_property
    def _ratio(self) -> NDArray[np.float64]:
        """Each group's width over its leader's."""
        own = np.array([group.width for group in self._groups], np.float64)
        return np.asarray(own / np.array([group.width for group in self.leaders], np.float64)[self._set_of], np.float64)

    def costs(self, model: Costs) -> Costs:
        """The same costs as a function of the leaders' widths."""
        return _Spread(model, self) if self._reasons else model

    def number(self, position: int) -> int:
        """The set that a group is in."""
        return int(self._set_of[position])


class _Spread:
    """Costs of sets."""

    def __init__(self, model: Costs, sets: Sets) -> None:
        self._model, self._sets = model, sets
        self.full = np.array([group.width for group in sets.leaders], np.int64)

    def relative(self, measure: str, widths: NDArray[Any]) -> Figures:
        return self._model.relative(measure, self._sets.spread(widths))

    def crowding(self, measure: str, widths: NDArray[Any], share: float) -> Figures:
        return self._model.crowding(measure, self._sets.spread(widths), share)

    def parts(self, measure: str, widths: NDArray[Any]) -> list[Part]:
        return [
            part if part.group is None else replace(part, group=self._sets.number(part.group))
            for part in self._model.parts(measure, self._sets.spread(widths))
        ]
