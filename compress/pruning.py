"""``compress.prune``: choose channels by a criterion to meet a target, or replay a plan, and cut them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from compress.allocation import Ladder, Target, allocate
from compress.axes.analysis import Analysis, analyse
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.axes.surgery import remove
from compress.errors import PlanError
from compress.importance import ScoreContext, atom_scores
from compress.importance import criterion as find_criterion
from compress.patterns import protected, ratios
from compress.plan import Kept, Plan
from compress.program import Program
from compress.prune_report import PruneReport, report
from compress.sizes import SizeModel

if TYPE_CHECKING:
    from compress.data import DataSource

SCOPES = ("global", "local")
_SCORE_BATCHES, _SCORE_BATCH_SIZE = 16, 32


@dataclass(frozen=True)
class PruneResult:
    """The smaller Program (the one given where ``dry_run``), the plan that makes it, and the report."""

    program: Program
    plan: Plan
    report: PruneReport


@dataclass(frozen=True)
class _Request:
    target: Target
    criterion: str
    scope: str
    granularity: int
    ignore: tuple[str, ...]
    keep: Mapping[str, float]
    seed: int


def prune(
    program: Program,
    target: str = "macs=0.5",
    *,
    criterion: str = "l2",
    scope: str = "global",
    granularity: int = 8,
    ignore: Iterable[str] = (),
    keep: Mapping[str, float] | None = None,
    plan: Plan | None = None,
    data: DataSource | Iterable[Any] | None = None,
    seed: int = 0,
    dry_run: bool = False,
) -> PruneResult:
    """Remove channels from ``program`` and return the smaller one; ``program`` itself is left as it is.

    Args:
        program: what to prune.
        target: ``macs=0.5``, ``params=0.5`` or ``ratio=0.5`` (share of prunable channels), relative to ``program``.
        criterion: ``l1``, ``l2``, ``bn-scale``, ``taylor`` (needs ``data``) or ``random``.
        scope: ``global`` ranks all channels together, ``local`` takes the same share of every group.
        granularity: kept channel counts are multiples of this (runtimes are slow at odd widths).
        ignore: layer name patterns (``layer1.*``) whose width stays.
        keep: keep ratios by layer name pattern, decided by the caller instead of by the target.
        plan: replay this plan; the other choices are then not used.
        data: a data source, or an iterable of ``(inputs, target)`` with ``inputs`` a tuple of tensors; for ``taylor``.
        seed: for ``random`` and for the order of the data.
        dry_run: choose and report, cut nothing.

    Raises:
        PlanError: a wrong target, criterion, scope or granularity; a pattern that matches nothing; a plan that
            does not fit.
    """
    request = _checked(
        _Request(Target.parse(target), criterion, scope, granularity, tuple(ignore), dict(keep or {}), seed)
    )
    analysis = analyse(program)
    if plan is None:
        shielded = protected(analysis, request.ignore)
        plan, note = _choose(analysis, request, shielded, data)
        stays = _too_narrow(analysis, request.granularity) | {
            name: ("protected", why) for name, why in shielded.items()
        }
        asked = str(request.target)
    else:
        stays, note, asked = {}, None, "the plan given"
    positions = plan.validated(analysis)
    smaller = remove(analysis, positions)
    _record(smaller, plan)
    made = report(analysis, positions, smaller, stays, asked=asked, measure=request.target.measure, note=note)
    return PruneResult(program if dry_run else smaller, plan, made)


def _too_narrow(analysis: Analysis, granularity: int) -> dict[str, tuple[str, str]]:
    """Groups that have no smaller width at this granularity, as the report says it."""
    return {
        group.name: ("kept", f"too narrow to be cut in steps of {granularity} channels")
        for group in analysis.prunable
        if Ladder(group, granularity, 0.0).rungs.size == 1
    }


def apply_plan(program: Program, plan: Plan) -> Program:
    """Cut ``program`` as ``plan`` says. The same plan on the same network gives the same bytes.

    Raises:
        PlanError: the plan does not fit the network's groups; nothing is cut.
    """
    analysis = analyse(program)
    smaller = remove(analysis, plan.validated(analysis))
    _record(smaller, plan)
    return smaller


def _checked(request: _Request) -> _Request:
    find_criterion(request.criterion)
    if request.scope not in SCOPES:
        raise PlanError(f"there is no scope {request.scope!r}", hint="choose global or local")
    if request.granularity < 1:
        raise PlanError(
            f"granularity {request.granularity} is not a positive whole number",
            hint="8 suits most runtimes, 1 cuts finest",
        )
    return request


def _choose(
    analysis: Analysis, request: _Request, shielded: Mapping[str, str], data: DataSource | Iterable[Any] | None
) -> tuple[Plan, str | None]:
    groups = analysis.prunable
    asked = ratios(analysis, request.keep)
    decided = {**asked, **dict.fromkeys(shielded, 1.0)}
    chosen = find_criterion(request.criterion)
    batches = _batches(data, request.seed) if data is not None else None
    ranked = [group for group in groups if group.name not in shielded]
    scores = atom_scores(chosen, ScoreContext(analysis, batches, request.seed), ranked)
    model = SizeModel(analysis, groups)
    allocation = allocate(
        model,
        groups,
        scores,
        request.target,
        scope=request.scope,
        granularity=request.granularity,
        fixed_ratios=decided,
    )
    kept = {}
    for group, width in zip(groups, allocation.widths, strict=True):
        if width < group.width:
            kept[group.name] = Kept(group.width, _best(group, scores.get(group.name), int(width)), group.producers)
    settings = {
        "target": str(request.target),
        "criterion": request.criterion,
        "scope": request.scope,
        "granularity": request.granularity,
        "ignore": list(request.ignore),
        "keep": dict(request.keep),
        "seed": request.seed,
    }
    notes = [allocation.note, _overruled(asked, shielded)]
    return Plan(kept, analysis.program.structure_hash(), settings), "; ".join(note for note in notes if note) or None


def _overruled(asked: Mapping[str, float], shielded: Mapping[str, str]) -> str | None:
    """Say where a keep ratio does not count because a layer that shares the width is to be left alone."""
    both = sorted(set(asked) & set(shielded))
    if not both:
        return None
    return f"--keep does not apply to {', '.join(both[:3])}: {shielded[both[0]]} protects a layer of the same width"


def _best(group: Group, scores: np.ndarray | None, width: int) -> tuple[int, ...]:
    """The positions with the highest scores, in ascending order; of equal ones the first."""
    if scores is None:
        raise PlanError(
            f"the criterion has no score for {group.name!r}, so a keep ratio cannot be applied to it",
            hint="use --criterion l2, or leave it out of --keep",
        )
    ranked: Array = np.argsort(-scores, kind="stable")[:width]
    return tuple(int(position) for position in np.sort(ranked))


def _batches(data: DataSource | Iterable[Any], seed: int) -> Iterator[tuple[tuple[torch.Tensor, ...], Any]]:
    train = getattr(data, "training", None)
    if train is None:
        for inputs, target in cast("Iterable[Any]", data):
            yield (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs), target
        return
    for number, batch in enumerate(train.epoch(_SCORE_BATCH_SIZE, seed=seed, epoch=0, augment=False)):
        if number == _SCORE_BATCHES:
            return
        yield batch.inputs, batch.target


def _record(program: Program, plan: Plan) -> None:
    program.info.plans.append(plan.to_json())
    program.info.plan_sha256 = plan.sha256()
    program.info.record("prune", arguments=dict(plan.settings), seed=plan.settings.get("seed"))
