"""The stages of a network: the layers that work at one resolution."""

from __future__ import annotations

import math

from compress.axes.analysis import Analysis
from compress.counting import layer_name, node_macs
from compress.search.spaces.space import Space

NOWHERE = -1


def stages_of(space: Space) -> list[int]:
    """Return the stage of every layer with MACs, in the order of ``space.sizes.by_layer("macs", ...)``.

    Stages count from the largest resolution (0) to the smallest; layers without one (after pooling) are in none (-1).
    """
    names, _ = space.sizes.by_layer("macs", space.sizes.full)
    areas = _areas(space.analysis)
    known = sorted({area for area in areas.values() if area > 1}, reverse=True)
    place = {area: stage for stage, area in enumerate(known)}
    return [place.get(areas.get(name, 0), NOWHERE) for name in names]


def _areas(analysis: Analysis) -> dict[str, int]:
    """Positions that each layer computes: the product of the sizes behind batch and channels."""
    shapes = analysis.running.shapes
    found: dict[str, int] = {}
    for node in analysis.program.graphs[False].nodes:
        if node_macs(node, shapes):
            found.setdefault(layer_name(node), math.prod(shapes[node][2:]))
    return found
