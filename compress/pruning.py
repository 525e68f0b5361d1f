"""``compress.prune``: choose channels by a criterion to meet a target, at once or in steps, or replay a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from compress.allocation import LEAST, TOLERANCE, Ladder, Target, allocate, parse_targets
from compress.axes.analysis import Analysis, analyse
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.axes.surgery import remove
from compress.errors import PlanError
from compress.importance import Criterion, Ranking, ScoreContext
from compress.importance import criterion as find_criterion
from compress.lineage import Lineage
from compress.patterns import protected, ratios
from compress.plan import Kept, Plan
from compress.program import Program
from compress.prune_report import PruneReport, Remarks, report
from compress.schedules import SCHEDULES, check_schedule

if TYPE_CHECKING:
    from compress.data import DataSource

SCOPES = ("global", "local")
Between = Callable[[Program, int], Program]
_SCORE_BATCHES, _SCORE_BATCH_SIZE = 16, 32


@dataclass(frozen=True)
class PruneResult:
    """The smaller Program (the one given where ``dry_run``), the plan that makes it, and the report.

    ``steps`` holds the plans of the single steps, each for the network that the one before left.
    """

    program: Program
    plan: Plan
    report: PruneReport
    steps: tuple[Plan, ...] = ()


@dataclass(frozen=True)
class _Request:
    targets: tuple[Target, ...]
    ranking: Ranking
    scope: str
    granularity: int
    ignore: tuple[str, ...]
    keep: Mapping[str, float]
    min_keep: float | None
    steps: int
    schedule: str
    seed: int

    def settings(self) -> dict[str, Any]:
        """The request as a plan records it."""
        return {
            "target": ",".join(map(str, self.targets)),
            **self.ranking.settings(),
            "scope": self.scope,
            "granularity": self.granularity,
            "ignore": list(self.ignore),
            "keep": dict(self.keep),
            "min_keep": self.min_keep,
            "steps": self.steps,
            "schedule": self.schedule,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class _Step:
    """What one step is asked for: targets, decided and least shares by group, of the network as it then is; and by
    target what is then left of the first network.
    """

    number: int
    targets: tuple[Target, ...]
    left: tuple[float, ...]
    fixed: Mapping[str, float]
    least: Mapping[str, float]


def prune(
    program: Program,
    target: str | Iterable[str] = "macs=0.5",
    *,
    criterion: str | Criterion = "l2",
    aggregation: str = "mean",
    normalisation: str | None = None,
    scope: str = "global",
    granularity: int = 8,
    ignore: Iterable[str] = (),
    keep: Mapping[str, float] | None = None,
    min_keep: float | None = None,
    steps: int = 1,
    schedule: str = "linear",
    between: Between | None = None,
    plan: Plan | None = None,
    data: DataSource | Iterable[Any] | None = None,
    seed: int = 0,
    dry_run: bool = False,
) -> PruneResult:
    """Remove channels from ``program`` and return the smaller one; ``program`` itself is left as it is.

    Args:
        program: what to prune.
        target: ``macs=0.5``, ``params=0.5``, ``memory=0.5`` (peak of the activations) or ``ratio=0.5`` (share of
            prunable channels), relative to ``program``. Several, ``("macs=0.5", "params=0.6")`` or
            ``"macs=0.5,params=0.6"``, are all met where that is possible; else the first comes first.
        criterion: ``l1``, ``l2``, ``bn-scale``, ``fpgm``, ``lamp``, ``random``; with ``data`` also ``taylor``,
            ``fisher``, ``obd`` and ``activation``; ``file.py:Class``; or a :class:`compress.importance.Criterion`.
        aggregation: ``mean``, ``sum``, ``max`` or ``first`` over the tensors that a group's channels lie in.
        normalisation: ``mean``, ``max``, ``gaussian``, ``none`` or ``isomorphic``, to compare groups under global scope
            (:func:`compress.importance.normalised`); the criterion's own where None: ``none`` for lamp, else ``mean``.
        scope: ``global`` ranks all channels together, ``local`` takes the same share of every group.
        granularity: kept channel counts are multiples of this (runtimes are slow at odd widths).
        ignore: layer name patterns (``layer1.*``) whose width stays.
        keep: keep ratios by layer name pattern, decided by the caller instead of by the target.
        min_keep: share of its channels that every group keeps at least, and never less than one; where None 0.1 under
            global scope, 0 under local. ``keep`` overrules it.
        steps: reach the target in so many steps; the criterion looks at the network anew in each.
        schedule: ``linear``, ``geometric`` or ``cubic``: how far each step goes (:data:`compress.schedules.SCHEDULES`).
        between: called as ``between(smaller, step)`` after every step but the last, ``step`` counted from 1; returns
            the network to go on with, trained perhaps.
        plan: replay this plan; the other choices are then not used.
        data: a data source, or an iterable of ``(inputs, target)`` with ``inputs`` a tuple of tensors.
        seed: for ``random`` and for the order of the data.
        dry_run: choose and report, cut nothing; ``between`` is not called.

    Raises:
        PlanError: a wrong target, criterion, scope, granularity ...; a pattern that matches nothing; a plan that
            does not fit.
    """
    request = _checked(
        parse_targets(target),
        _ranking(criterion, aggregation, normalisation),
        scope,
        granularity,
        tuple(ignore),
        dict(keep or {}),
        min_keep,
        steps,
        schedule,
        seed,
    )
    analysis = analyse(program)
    remarks = Remarks()
    if plan is None:
        smaller, plans, plan, remarks = _cut(analysis, request, data, None if dry_run else between)
        stays = _stays(analysis, request)
        asked = ", ".join(map(str, request.targets))
    else:
        stays, asked = {}, "the plan given"
        smaller, plans = remove(analysis, plan.validated(analysis)), (plan,)
        _record(smaller, plan)
    positions = plan.validated(analysis)
    measures = [target.measure for target in request.targets]
    made = report(analysis, positions, smaller, stays, asked=asked, measures=measures, remarks=remarks)
    return PruneResult(program if dry_run else smaller, plan, made, plans)


def _cut(
    analysis: Analysis, request: _Request, data: DataSource | Iterable[Any] | None, between: Between | None
) -> tuple[Program, tuple[Plan, ...], Plan, Remarks]:
    """Take all steps. Returns the smaller network, the steps' plans, one plan that does all at once, and remarks."""
    if request.steps > 1 and isinstance(data, Iterator):
        data = list(data)
    lineage = Lineage(analysis) if request.steps > 1 else None
    present, plans = analysis, []
    for number in range(1, request.steps + 1):
        step = _step(request, present, lineage, number)
        plan, remarks = _choose(present, request, step, data)
        positions = plan.validated(present)
        smaller = remove(present, positions)
        _record(smaller, plan, None if number == 1 else present.program.fingerprint())
        plans.append(plan)
        if lineage is not None:
            lineage.cut(present, positions)
        if number < request.steps:
            present = analyse(_trained(smaller, between, number))
    if lineage is None:
        return smaller, tuple(plans), plan, remarks
    whole = _composed(lineage, request, smaller)
    smaller.info.plan_sha256 = whole.sha256()
    return smaller, tuple(plans), whole, _overall(lineage, request, step, remarks)


def _step(request: _Request, analysis: Analysis, lineage: Lineage | None, number: int) -> _Step:
    """What step ``number`` is asked for: shares of the first network, turned into shares of the present one."""
    share, done = SCHEDULES[request.schedule], number / request.steps
    grown = {group.name: lineage.first_width(group) / group.width if lineage else 1.0 for group in analysis.prunable}
    left = tuple(lineage.relative(target.measure) if lineage else 1.0 for target in request.targets)
    usual = LEAST if request.scope == "global" else 0.0
    least = usual if request.min_keep is None else request.min_keep
    decided = ratios(analysis, request.keep)
    return _Step(
        number,
        tuple(
            replace(target, share=min(1.0, share(target.share, done) / present))
            for target, present in zip(request.targets, left, strict=True)
        ),
        left,
        {name: min(1.0, share(ratio, done) * grown[name]) for name, ratio in decided.items()},
        {name: min(1.0, least * factor) for name, factor in grown.items()},
    )


def _trained(smaller: Program, between: Between | None, number: int) -> Program:
    if between is None:
        return smaller
    found = between(smaller, number)
    if found.structure_hash() != smaller.structure_hash():
        raise PlanError(
            f"'between' gave back another network after step {number}", hint="return the one given, weights trained"
        )
    return found


def _composed(lineage: Lineage, request: _Request, smaller: Program) -> Plan:
    """One plan for the first network that keeps what all steps kept."""
    groups = {group.name: group for group in lineage.origin.prunable}
    kept = {
        name: Kept(groups[name].width, tuple(positions.tolist()), groups[name].producers)
        for name, positions in lineage.kept().items()
    }
    program = lineage.origin.program
    plan = Plan(kept, program.structure_hash(), request.settings(), program.inputs)
    at_once = remove(lineage.origin, plan.validated(lineage.origin))
    if at_once.structure_hash() != smaller.structure_hash():
        raise PlanError(
            "the steps cannot be put together to one plan", hint="please report this with the network; use --steps 1"
        )
    return plan


def _overall(lineage: Lineage, request: _Request, step: _Step, remarks: Remarks) -> Remarks:
    """The last step's remarks in shares of the first network, of targets that the whole missed."""
    missed = []
    whole = {str(asked): target for asked, target in zip(step.targets, request.targets, strict=True)}
    for target, left in zip(request.targets, step.left, strict=True):
        if abs(lineage.relative(target.measure) - target.share) > TOLERANCE:
            missed += [one.of_whole(whole, left) for one in remarks.shortfalls if one.measure == target.measure]
    advice = f"with {request.steps} steps; fewer steps or a finer granularity may come nearer"
    return Remarks(tuple(missed), (*([advice] if missed else []), *remarks.others))


def _stays(analysis: Analysis, request: _Request) -> dict[str, tuple[str, str]]:
    """Status and reason, as the report says them, of groups that are protected or have no smaller width."""
    narrow = {
        group.name: ("kept", f"too narrow to be cut in steps of {request.granularity} channels")
        for group in analysis.prunable
        if Ladder(group, request.granularity, 0.0).rungs.size == 1
    }
    shielded = protected(analysis, request.ignore)
    return narrow | {name: ("protected", why) for name, why in shielded.items()}


def apply_plan(program: Program, plan: Plan) -> Program:
    """Cut ``program`` as ``plan`` says. The same plan on the same network gives the same bytes.

    Raises:
        PlanError: the plan does not fit the network's groups; nothing is cut.
    """
    analysis = analyse(program)
    smaller = remove(analysis, plan.validated(analysis))
    _record(smaller, plan)
    return smaller


def _ranking(criterion: str | Criterion, aggregation: str, normalisation: str | None) -> Ranking:
    chosen = find_criterion(criterion)
    return Ranking(chosen, aggregation, normalisation or chosen.normalisation)


def _checked(*arguments: Any) -> _Request:
    request = _Request(*arguments)
    check_schedule(request.schedule, request.steps)
    if request.scope not in SCOPES:
        raise PlanError(f"there is no scope {request.scope!r}", hint="choose global or local")
    if request.granularity < 1:
        raise PlanError(
            f"granularity {request.granularity} is not a positive whole number",
            hint="8 suits most runtimes, 1 cuts finest",
        )
    if request.min_keep is not None and not 0 <= request.min_keep <= 1:
        raise PlanError(f"min_keep {request.min_keep:g} is not between 0 and 1", hint="0.1 keeps a tenth everywhere")
    return request


def _choose(
    analysis: Analysis, request: _Request, step: _Step, data: DataSource | Iterable[Any] | None
) -> tuple[Plan, Remarks]:
    groups = analysis.prunable
    shielded = protected(analysis, request.ignore)
    batches = score_batches(data, request.seed) if data is not None else None
    ranked = [group for group in groups if group.name not in shielded]
    scores = request.ranking.scores(ScoreContext(analysis, batches, request.seed), ranked)
    allocation = allocate(
        analysis.sizes,
        groups,
        scores,
        step.targets,
        scope=request.scope,
        granularity=request.granularity,
        fixed_ratios={**step.fixed, **dict.fromkeys(shielded, 1.0)},
        least=step.least,
        stays={name: ("kept", f"--keep leaves {ratio:g}") for name, ratio in step.fixed.items()}
        | _stays(analysis, request),
    )
    kept = {}
    for group, width in zip(groups, allocation.widths, strict=True):
        if width < group.width:
            kept[group.name] = Kept(group.width, _best(group, scores.get(group.name), int(width)), group.producers)
    settings = request.settings()
    if request.steps > 1:
        settings |= {"step": step.number, "step_target": ",".join(map(str, step.targets))}
    program = analysis.program
    plan = Plan(kept, program.structure_hash(), settings, program.inputs)
    return plan, Remarks(allocation.shortfalls, _overruled(step.fixed, shielded))


def _overruled(asked: Mapping[str, float], shielded: Mapping[str, str]) -> tuple[str, ...]:
    """Say where a keep ratio does not count because a layer that shares the width is to be left alone."""
    both = sorted(set(asked) & set(shielded))
    if not both:
        return ()
    said = f"--keep does not apply to {', '.join(both[:3])}: {shielded[both[0]]} protects a layer of the same width"
    return (said,)


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
    train = getattr(data, "training", None)
    if train is None:
        for inputs, target in cast("Iterable[Any]", data):
            yield (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs), target
        return
    for number, batch in enumerate(train.epoch(_SCORE_BATCH_SIZE, seed=seed, epoch=0, augment=False)):
        if number == _SCORE_BATCHES:
            return
        yield batch.inputs, batch.target


def _record(program: Program, plan: Plan, source: str | None = None) -> None:
    program.info.plans.append(plan.to_json())
    program.info.plan_sha256 = plan.sha256()
    program.info.record("prune", arguments=dict(plan.settings), seed=plan.settings.get("seed"), input_sha256=source)
