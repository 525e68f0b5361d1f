"""Operators without a rule, and how many MACs are out of reach because of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from compress.axes.analysis import Analysis, analyse
from compress.axes.groups import Group
from compress.patterns import protected
from compress.sizes import SizeModel


@dataclass(frozen=True)
class Obstacle:
    """An operator that the engine has no rule for, or cannot follow in the form in which it stands.

    ``macs`` is a bound: at most so many MACs (at batch 1) would become reachable by a rule for this operator alone.
    It is found by analysing the network again as if the operator tied nothing: its operands are free of it, and every
    axis of its result is new, but for those that were fixed before it and have the same size at the same place after
    it (batch, space). A real rule ties more, so that it reaches no more than this.
    """

    operator: str
    reason: str
    places: tuple[str, ...]
    macs: int

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "places": list(self.places)}


@dataclass(frozen=True)
class Obstacles:
    """All of a network's, the greatest first. ``together`` is the bound for rules for all of them: more than the sum
    where one stands behind the other.
    """

    operators: tuple[Obstacle, ...]
    together: int

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {"operators": [one.to_json() for one in self.operators], "macs_together": self.together}


def find_obstacles(analysis: Analysis, ignore: Iterable[str] = ()) -> Obstacles:
    """Return the operators without a rule in the network analysed; costs an analysis for each (none where there is
    none). Layers that match a pattern in ``ignore`` keep their width in any case.
    """
    patterns = tuple(ignore)
    places: dict[str, dict[str, None]] = {}
    reasons: dict[str, str] = {}
    for trace in analysis.traces.values():
        for node, reason in trace.unknown.items():
            operator = str(node.target)
            reasons.setdefault(operator, reason)
            places.setdefault(operator, {})[trace.place(node)] = None
    if not places:
        return Obstacles((), 0)
    left = _least(analysis, analysis.prunable, patterns)
    found = [
        Obstacle(operator, reasons[operator], tuple(where), left - _without(analysis, [operator], patterns))
        for operator, where in places.items()
    ]
    together = found[0].macs if len(found) == 1 else left - _without(analysis, places, patterns)
    return Obstacles(tuple(sorted(found, key=lambda one: -one.macs)), together)


def _without(analysis: Analysis, operators: Iterable[str], patterns: tuple[str, ...]) -> int:
    freed = analyse(analysis.program, transparent=frozenset(operators))
    new = np.zeros(freed.atoms.reason_index.size, bool)
    for trace in freed.traces.values():
        for axis in trace.freed:
            new[freed.atoms.expanded(freed.atoms.of(axis))[1]] = True
    # What an operator without a rule hands on counts as a width, though no layer is seen to produce it.
    handed_on = [group for group in freed.groups if group.kind == "frozen" and _live(freed, group, new)]
    return _least(freed, freed.prunable + handed_on, patterns)


def _live(analysis: Analysis, group: Group, new: np.ndarray) -> bool:
    return bool(new[group.atoms].any()) and not bool(analysis.atoms.frozen[group.atoms].any())


def _least(analysis: Analysis, groups: Sequence[Group], patterns: tuple[str, ...]) -> int:
    """MACs that are left when each of ``groups`` has shrunk to a single atom, but for those that are protected."""
    shielded = protected(analysis, patterns)
    widths = [group.width if group.name in shielded else 1 for group in groups]
    return round(float(SizeModel(analysis, groups).cost("macs", np.array(widths, np.int64))[0]))
