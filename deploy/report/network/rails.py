"""Which layers share a width, as lines beside each other that never touch."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.report.network.schema import NetworkPage


@dataclass(frozen=True)
class Rail:
    """A width's line: its position among the groups, the layers it joins from left to right, and its lane."""

    group: int
    layers: tuple[int, ...]
    lane: int


def place(page: NetworkPage) -> list[Rail]:
    """Return a rail for every width that a layer of the picture produces, each in the first lane that is free."""
    members: dict[int, list[int]] = {}
    for index, layer in enumerate(page.layers):
        for group in layer.groups:
            members.setdefault(group, []).append(index)
    ends: list[int] = []  # by lane: the last layer taken
    rails = []
    # Long lines first where two begin together: they come nearest to the bars.
    for group, layers in sorted(members.items(), key=lambda item: (item[1][0], -item[1][-1], item[0])):
        lane = next((lane for lane, end in enumerate(ends) if end < layers[0]), len(ends))
        if lane == len(ends):
            ends.append(-1)
        ends[lane] = layers[-1]
        rails.append(Rail(group, tuple(layers), lane))
    return rails
