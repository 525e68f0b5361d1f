"""What the engine knows of a network, for people: its layers and groups, what can shrink, what cannot and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.axes.surgery import Mask, kept_atoms
from compress.counting import Count, node_macs
from compress.obstacles import Obstacles, find_obstacles
from compress.patterns import protected
from compress.sizes import mac_axes

NETWORK_OUTPUT = "network output"


@dataclass(frozen=True)
class LayerView:
    """An operator that multiplies, in graph order.

    ``macs_left`` remain when everything that can shrink has shrunk to one atom. ``groups`` are positions in
    :attr:`Explanation.groups`: the widths that this layer produces. ``width`` is None for products of two activations.
    """

    name: str
    operator: str
    width: int | None
    macs: int
    macs_left: int
    groups: tuple[int, ...]
    source: str | None


@dataclass(frozen=True)
class GroupView:
    """A width. ``status`` is exact, statistics-changing, protected or frozen, ``reason`` says why it is not exact.

    ``macs`` is what this width alone accounts for: what would go if it shrank to one atom and all others stayed. Two
    widths may account for the same MACs, so that these figures add up to more than the network's.
    """

    name: str
    status: str
    width: int
    cell: int
    layers: tuple[str, ...]
    macs: int
    reason: str | None

    @property
    def shrinks(self) -> bool:
        """Whether pruning may take from it."""
        return self.status in ("exact", "statistics-changing")


@dataclass(frozen=True)
class Explanation:
    """A network explained; all figures at batch 1. ``ignore`` are the patterns whose layers count as protected."""

    macs: int
    params: int
    layers: tuple[LayerView, ...]
    groups: tuple[GroupView, ...]
    obstacles: Obstacles
    ignore: tuple[str, ...]

    @property
    def macs_left(self) -> int:
        """MACs when everything that can shrink has shrunk to one atom."""
        return sum(layer.macs_left for layer in self.layers)

    @property
    def reachable(self) -> float:
        """The share of the MACs that lie in widths that can shrink."""
        return 1 - self.macs_left / self.macs if self.macs else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "reachable_macs": self.reachable,
            "ignore": list(self.ignore),
            "layers": [asdict(layer) | {"groups": list(layer.groups)} for layer in self.layers],
            "groups": [asdict(group) | {"layers": list(group.layers)} for group in self.groups],
            "out_of_reach": self.obstacles.to_json(),
        }


def explain(analysis: Analysis, ignore: Iterable[str] = ()) -> Explanation:
    """Explain the network analysed, with layers that match a pattern in ``ignore`` protected.

    Raises:
        PlanError: a pattern matches no layer.
    """
    patterns = tuple(ignore)
    shielded = protected(analysis, patterns)
    count = analysis.program.count()
    layers = _layers(analysis, count, shielded)
    multiplying = {layer.name for layer in layers}
    return Explanation(
        macs=count.macs,
        params=count.params,
        layers=layers,
        groups=_groups(analysis, shielded, multiplying),
        obstacles=find_obstacles(analysis, patterns),
        ignore=patterns,
    )


def _layers(analysis: Analysis, count: Count, shielded: Mapping[str, str]) -> tuple[LayerView, ...]:
    trace = analysis.traces[False]
    shrunk = {group.name: np.zeros(1, np.int64) for group in analysis.prunable if group.name not in shielded}
    kept = kept_atoms(analysis, shrunk)
    producing = _producing(analysis.groups)
    nodes = [node for node in analysis.program.graphs[False].nodes if node_macs(node, trace.shapes) is not None]
    found = []
    for node, layer in zip(nodes, count.layers, strict=True):
        summands = mac_axes(node, trace)
        sizes: list[int] = [math.prod(axis.size for axis in axes) for axes in summands]
        left: int = sum(math.prod(_kept(analysis, kept, axis) for axis in axes) for axes in summands)
        found.append(
            LayerView(
                name=layer.name,
                operator=layer.kind,
                width=layer.width if layer.weight is not None else None,
                macs=layer.macs,
                macs_left=round(layer.macs * left / sum(sizes)) if sum(sizes) else 0,
                groups=tuple(producing.get(layer.name, ())),
                source=node.meta.get("source"),
            )
        )
    return tuple(found)


def _kept(analysis: Analysis, kept: Mask, axis: Array) -> int:
    return int(kept[analysis.atoms.of(axis)].sum()) if axis.any() else int(axis.size)


def _producing(groups: Iterable[Group]) -> dict[str, list[int]]:
    """Positions of the groups that a layer produces, by layer."""
    found: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        for layer in group.producers:
            found.setdefault(layer, []).append(position)
    return found


def _groups(analysis: Analysis, shielded: Mapping[str, str], multiplying: set[str]) -> tuple[GroupView, ...]:
    alone = _alone(analysis)
    return tuple(
        GroupView(
            name=group.name,
            status=_status(group, shielded),
            width=group.width,
            cell=group.cell,
            layers=tuple(layer for layer in group.producers if layer in multiplying) or group.producers,
            macs=macs,
            reason=shielded.get(group.name, group.reason),
        )
        for group, macs in zip(analysis.groups, alone, strict=True)
    )


def _alone(analysis: Analysis) -> list[int]:
    """For each group: the MACs that go if it alone shrinks to one atom; nothing for those that cannot."""
    groups, model = analysis.prunable, analysis.sizes
    full = model.full
    choices = np.where(np.eye(len(groups), dtype=bool), 1, full[None]) if groups else full[None]
    gone = (model.cost("macs", full) - model.cost("macs", choices)).round().astype(int).tolist()
    of = {id(group): macs for group, macs in zip(groups, gone, strict=False)}
    return [of.get(id(group), 0) for group in analysis.groups]


def _status(group: Group, shielded: Mapping[str, str]) -> str:
    if group.name in shielded and group.kind != "frozen":
        return "protected"
    if group.kind == "frozen" and group.reason == NETWORK_OUTPUT:
        return "protected"
    return group.kind
