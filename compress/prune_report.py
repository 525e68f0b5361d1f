"""The report of a pruning: each layer before and after, with the reason where it was not pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compress.allocation import LATENCY, Costs, Shortfall
from compress.axes.analysis import Analysis
from compress.axes.labels import Array
from compress.counting import Count, count
from compress.granularity import GroupStep, Steps
from compress.obstacles import Obstacles, find_obstacles
from compress.program import Program


@dataclass(frozen=True)
class LayerReport:
    """A layer before and after. ``status`` is pruned, kept, protected or frozen; ``reason`` says why its width
    stayed.
    """

    name: str
    kind: str
    width_before: int
    width_after: int
    macs_before: int
    macs_after: int
    status: str
    reason: str | None


@dataclass(frozen=True)
class Remarks:
    """What is to be said of a choice: targets that were missed, other things in words, and the steps of groups."""

    shortfalls: tuple[Shortfall, ...] = ()
    others: tuple[str, ...] = ()
    steps: Steps = field(default_factory=dict)

    @property
    def note(self) -> str | None:
        """All of it in words, or None."""
        return "; ".join([*map(str, self.shortfalls), *self.others]) or None


@dataclass(frozen=True)
class PruneReport:
    """What was asked for, what was reached, and every layer's part in it.

    ``shortfalls`` says for each target that was missed what is in the way; ``note`` says it in words. ``reachable`` is
    the share of the MACs that would go if every group shrank to a single atom; ``obstacles`` are the operators without
    a rule, each with a bound on the MACs that are out of reach because of it. ``patterns_lost`` names by layer the
    pattern that its zeros had before channels were cut, where they have none any more; :attr:`note` says that, too.
    ``steps`` gives for each group the step in which its width went, and why, where the granularity was ``auto``.
    """

    requested: str
    achieved: str
    note: str | None
    before: Count
    after: Count
    layers: list[LayerReport]
    reachable: float
    unknown_operators: dict[str, str]
    obstacles: Obstacles
    shortfalls: tuple[Shortfall, ...] = ()
    patterns_lost: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, GroupStep] = field(default_factory=dict)


def report(
    analysis: Analysis,
    kept: Mapping[str, Array],
    smaller: Program,
    stays: Mapping[str, tuple[str, str]],
    *,
    asked: str,
    measures: Sequence[str],
    remarks: Remarks,
    costs: Costs,
) -> PruneReport:
    """Compare the network analysed with ``smaller``, which ``kept`` made of it.

    ``costs`` says what the measures that no counting gives have come to. ``stays`` gives status and reason, by group
    name, of groups that were not up for a choice.
    """
    before, after = count(analysis.program, analysis.running), smaller.count()
    lost = _patterns_lost(analysis.program, smaller, after)
    return PruneReport(
        requested=asked,
        achieved=", ".join(_achieved(analysis, kept, measure, before, after, costs) for measure in measures),
        note=replace(remarks, others=(*remarks.others, *_said(lost, len(smaller.masks)))).note,
        before=before,
        after=after,
        layers=_layers(analysis, kept, stays, before, after),
        reachable=reachable_macs(analysis),
        unknown_operators=analysis.unknown,
        obstacles=find_obstacles(analysis),
        shortfalls=remarks.shortfalls,
        patterns_lost=lost,
        steps=remarks.steps,
    )


def _patterns_lost(program: Program, smaller: Program, after: Count) -> dict[str, str]:
    """The patterns that masks had in ``program`` and no longer have in ``smaller``, by layer."""
    masks, names = smaller.masks, {layer.weight: layer.name for layer in after.layers}
    return {
        names.get(weight, weight): mask.pattern
        for weight, mask in program.masks.items()
        if weight in masks and masks[weight].pattern != mask.pattern
    }


def _said(lost: Mapping[str, str], masked: int) -> Iterator[str]:
    """What is to be said of :func:`_patterns_lost`, of ``masked`` layers with masks."""
    for pattern in dict.fromkeys(lost.values()):
        layers = [layer for layer in lost if lost[layer] == pattern]
        some = ", ".join(layers[:3]) + (" ..." if len(layers) > 3 else "")
        yield (
            f"zeros in {len(layers)} of {masked} masked layers are unstructured now and no longer {pattern}, since "
            f"channels were cut out of their blocks: {some} (cut the dense network and mask it afterwards, which "
            "--target beside --sparsity does)"
        )


def reachable_macs(analysis: Analysis) -> float:
    """Share of the network's MACs that can be removed at most: all groups at one atom."""
    least = np.ones(len(analysis.prunable), np.int64)
    return 1.0 - float(analysis.sizes.relative("macs", least)[0])


def _achieved(
    analysis: Analysis, kept: Mapping[str, Array], measure: str, before: Count, after: Count, costs: Costs
) -> str:
    if measure in ("ratio", LATENCY):
        widths = [kept[group.name].size if group.name in kept else group.width for group in analysis.prunable]
        share = float(costs.relative(measure, np.array(widths, np.int64))[0])
        return f"{measure}={share:.3f}" + (" (predicted)" if measure == LATENCY else "")
    left, total = getattr(after, measure), getattr(before, measure)
    return f"{measure}={left / total if total else 1.0:.3f}"


def _layers(
    analysis: Analysis, kept: Mapping[str, Array], stays: Mapping[str, tuple[str, str]], before: Count, after: Count
) -> list[LayerReport]:
    reasons = _reasons(analysis, stays)
    statistics = _statistics(analysis, kept)
    rows = []
    for old, new in zip(before.layers, after.layers, strict=True):
        if old.weight is None:
            continue
        if new.width < old.width:
            status, reason = "pruned", statistics.get(old.name)
        else:
            status, reason = reasons.get(old.name, ("kept", "every channel ranked high enough"))
        rows.append(LayerReport(old.name, old.kind, old.width, new.width, old.macs, new.macs, status, reason))
    return rows


def _statistics(analysis: Analysis, kept: Mapping[str, Array]) -> dict[str, str]:
    """What removal changes beyond masking, by layer that was cut."""
    return {
        layer: f"changes statistics: {group.reason}"
        for group in analysis.prunable
        if group.kind == "statistics-changing" and group.name in kept
        for layer in group.producers
    }


def _reasons(analysis: Analysis, stays: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Why a layer's width stayed, by layer: protected by the user, frozen by the graph, or without a choice."""
    found: dict[str, tuple[str, str]] = {}
    for group in analysis.groups:
        for layer in group.producers:
            if group.kind == "frozen":
                protected = group.reason == "network output"
                found[layer] = ("protected" if protected else "frozen", group.reason or "")
            elif group.name in stays:
                found[layer] = stays[group.name]
    return found
