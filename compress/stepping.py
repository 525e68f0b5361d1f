"""Pruning in steps: each chosen anew on what the one before left; all together are one plan for the first network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compress.allocation import LEAST, TOLERANCE
from compress.axes.analysis import Analysis, analyse
from compress.axes.surgery import remove
from compress.choosing import Step, choose
from compress.errors import PlanError
from compress.lineage import Lineage
from compress.patterns import ratios
from compress.plan import Kept, Plan
from compress.program import Program
from compress.prune_report import Remarks
from compress.request import Request
from compress.schedules import SCHEDULES

if TYPE_CHECKING:
    from compress.data import DataSource

Between = Callable[[Program, int], Program]


def take_steps(
    analysis: Analysis, request: Request, data: DataSource | Iterable[Any] | None, between: Between | None
) -> tuple[Program, tuple[Plan, ...], Plan, Remarks]:
    """Take all steps. Returns the smaller network, the steps' plans, one plan that does all at once, and remarks."""
    lineage = Lineage(analysis, request.costs(analysis)) if request.steps > 1 else None
    present, plans = analysis, []
    for number in range(1, request.steps + 1):
        step = _step(request, present, lineage, number)
        plan, remarks = choose(present, request, step, data)
        positions = plan.validated(present)
        smaller = remove(present, positions)
        record(smaller, plan, None if number == 1 else present.program.fingerprint())
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


def at_once(analysis: Analysis, request: Request, data: DataSource | Iterable[Any] | None) -> Program:
    """The smaller network where the request is met in a single step."""
    single = replace(request, steps=1)
    plan, _ = choose(analysis, single, _step(single, analysis, None, 1), data)
    return remove(analysis, plan.validated(analysis))


def _step(request: Request, analysis: Analysis, lineage: Lineage | None, number: int) -> Step:
    """What step ``number`` is asked for: shares of the first network, turned into shares of the present one."""
    share, done = SCHEDULES[request.schedule], number / request.steps
    grown = {group.name: lineage.first_width(group) / group.width if lineage else 1.0 for group in analysis.prunable}
    left = tuple(lineage.relative(target.measure) if lineage else 1.0 for target in request.targets)
    usual = LEAST if request.scope == "global" else 0.0
    least = usual if request.min_keep is None else request.min_keep
    decided = ratios(analysis, request.keep)
    return Step(
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


def _composed(lineage: Lineage, request: Request, smaller: Program) -> Plan:
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


def _overall(lineage: Lineage, request: Request, step: Step, remarks: Remarks) -> Remarks:
    """The last step's remarks in shares of the first network, of targets that the whole missed."""
    missed = []
    whole = {str(asked): target for asked, target in zip(step.targets, request.targets, strict=True)}
    for target, left in zip(request.targets, step.left, strict=True):
        if abs(lineage.relative(target.measure) - target.share) > TOLERANCE:
            missed += [one.of_whole(whole, left) for one in remarks.shortfalls if one.measure == target.measure]
    advice = f"with {request.steps} steps; fewer steps or a finer granularity may come nearer"
    return Remarks(tuple(missed), (*([advice] if missed else []), *remarks.others), remarks.steps)


def record(program: Program, plan: Plan, source: str | None = None) -> None:
    """Note the plan, and the network that it was made for, in the Program's provenance."""
    program.info.plans.append(plan.to_json())
    program.info.plan_sha256 = plan.sha256()
    program.info.record("prune", arguments=dict(plan.settings), seed=plan.settings.get("seed"), input_sha256=source)
