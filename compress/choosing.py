"""Choosing: scores and targets in, a plan out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from compress.allocation import Allocation, Granularity, Ladder, Target, allocate, step_of
from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.coupling import Coupling
from compress.errors import PlanError
from compress.granularity import Steps, chosen_steps
from compress.importance import ScoreContext
from compress.patterns import protected
from compress.plan import Kept, Plan
from compress.prune_report import Remarks
from compress.request import Request

if TYPE_CHECKING:
    from compress.data import DataSource

_SCORE_BATCHES, _SCORE_BATCH_SIZE = 16, 32


@dataclass(frozen=True)
class Step:
    """What one step is asked for: targets, decided and least shares by group, of the network as it then is; and by
    target what is then left of the first network.
    """

    number: int
    targets: tuple[Target, ...]
    left: tuple[float, ...]
    fixed: Mapping[str, float]
    least: Mapping[str, float]


def choose(
    analysis: Analysis, request: Request, step: Step, data: DataSource | Iterable[Any] | None
) -> tuple[Plan, Remarks]:
    """Score, allocate and pick for one step. Raises :class:`PlanError` where the criterion cannot score."""
    groups = analysis.prunable
    shielded = protected(analysis, request.ignore)
    batches = score_batches(data, request.seed) if data is not None else None
    choices = list(chosen_steps(request.granularity, analysis))
    finest, _ = choices[-1]
    decided = {*shielded, *request.coupling(analysis, finest).whole}
    ranked = [group for group in groups if group.name not in decided]
    scores = request.ranking.scores(ScoreContext(analysis, batches, request.seed), ranked)
    allocation, granularity, steps = _allocated(analysis, request, step, scores, choices)
    kept = {}
    for group, width in zip(groups, allocation.widths, strict=True):
        if width < group.width:
            kept[group.name] = Kept(group.width, _best(group, scores.get(group.name), int(width)), group.producers)
    settings = request.settings()
    if request.steps > 1:
        settings |= {"step": step.number, "step_target": ",".join(map(str, step.targets))}
    program = analysis.program
    plan = Plan(kept, program.structure_hash(), settings, program.inputs)
    overruled = _overruled(step.fixed, shielded, request.coupling(analysis, granularity).whole)
    return plan, Remarks(allocation.shortfalls, overruled, steps)


def _allocated(
    analysis: Analysis,
    request: Request,
    step: Step,
    scores: Mapping[str, NDArray[np.float64]],
    choices: Sequence[tuple[Granularity, Steps]],
) -> tuple[Allocation, Granularity, Steps]:
    """The allocation in the first of ``choices`` in which the targets are met, else the nearest; and these steps."""
    nearest: tuple[Allocation, Granularity, Steps] | None = None
    costs = request.costs(analysis)
    for granularity, steps in choices:
        coupling = request.coupling(analysis, granularity)
        decided = {*protected(analysis, request.ignore), *coupling.whole}
        found = allocate(
            costs,
            analysis.prunable,
            {name: score for name, score in scores.items() if name not in decided},
            step.targets,
            scope=request.scope,
            granularity=granularity,
            fixed_ratios={**step.fixed, **dict.fromkeys(decided, 1.0)},
            least=step.least,
            stays={name: ("kept", f"--keep leaves {ratio:g}") for name, ratio in step.fixed.items()}
            | stays(analysis, request, granularity),
            tied=coupling.tied,
        )
        if nearest is None or found.miss(step.targets) < nearest[0].miss(step.targets):
            nearest = found, granularity, steps
        if not found.shortfalls:
            break
    assert nearest is not None  # there is always a choice
    return nearest


def stays(analysis: Analysis, request: Request, granularity: Granularity) -> dict[str, tuple[str, str]]:
    """Status and reason, as the report says them, of groups that are protected or have no smaller width."""
    coupling = request.coupling(analysis, granularity)
    groups = {group.name: group for group in analysis.prunable}
    found = {
        name: ("kept", f"too narrow to be cut in steps of {step_of(granularity, groups[name])} channels")
        for name in _without_choice(analysis, coupling, granularity, 0.0)
    }
    if request.min_keep is not None:
        for name in _without_choice(analysis, coupling, granularity, request.min_keep):
            found.setdefault(name, ("kept", f"--min-keep {request.min_keep:g} leaves no smaller width"))
    shielded = protected(analysis, request.ignore)
    for tied in coupling.tied:
        held = [shielded[name] for name in tied.groups if name in shielded]
        if held:
            found |= dict.fromkeys(tied.groups, ("kept", f"{tied.reason}, and {held[0]} protects one of them"))
    found |= {name: ("kept", why) for name, why in coupling.whole.items()}
    return found | {name: ("protected", why) for name, why in shielded.items()}


def _without_choice(analysis: Analysis, coupling: Coupling, granularity: Granularity, least: float) -> list[str]:
    """Groups that have no smaller width, those that are tied looked at together."""
    groups = {group.name: group for group in analysis.prunable}
    sets = [[groups[name] for name in tied.groups if name in groups] for tied in coupling.tied]
    tied = {group.name for members in sets for group in members}
    found = []
    for members in [*sets, *([group] for name, group in groups.items() if name not in tied)]:
        first, *others = sorted(members, key=lambda group: group.width)
        if Ladder(first, granularity, least, others).rungs.size == 1:
            found += [group.name for group in members]
    return found


def _overruled(asked: Mapping[str, float], shielded: Mapping[str, str], whole: Mapping[str, str]) -> tuple[str, ...]:
    """Say where a keep ratio does not count because a layer that shares the width is to be left alone."""
    said = []
    for reasons, ending in ((shielded, " protects a layer of the same width"), (whole, "")):
        both = sorted(set(asked) & set(reasons))
        if both:
            said.append(f"--keep does not apply to {', '.join(both[:3])}: {reasons[both[0]]}{ending}")
    return tuple(said)


def _best(group: Group, scores: np.ndarray | None, width: int) -> tuple[int, ...]:
    """The positions with the highest scores, in ascending order; of equal ones the first."""
    if scores is None:
        raise PlanError(
            f"the criterion has no score for {group.name!r}, so a keep ratio cannot be applied to it",
            hint="use --criterion l2, or leave it out of --keep",
        )
    ranked: Array = np.argsort(-scores, kind="stable")[:width]
    return tuple(int(position) for position in np.sort(ranked))


def score_batches(data: DataSource | Iterable[Any], seed: int) -> Iterator[tuple[tuple[torch.Tensor, ...], Any]]:
    """The batches that criteria look at: the first of an epoch of a data source, all of any other iterable."""
    train = getattr(data, "training", None)
    if train is None:
        for inputs, target in cast("Iterable[Any]", data):
            yield (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs), target
        return
    for number, batch in enumerate(train.epoch(_SCORE_BATCH_SIZE, seed=seed, epoch=0, augment=False)):
        if number == _SCORE_BATCHES:
            return
        yield batch.inputs, batch.target
