"""``compress.prune``: choose channels by a criterion to meet a target, at once or in steps, or replay a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from compress.allocation import CostModel, Target, parse_targets
from compress.axes.analysis import analyse
from compress.axes.surgery import remove
from compress.choosing import stays
from compress.eager.applying import Fit
from compress.eager.constraint import constrained
from compress.granularity import told
from compress.importance import Criterion, Ranking
from compress.importance import criterion as find_criterion
from compress.latency.staircase import Staircase
from compress.plan import Plan
from compress.program import Program
from compress.prune_report import PruneReport, Remarks, report
from compress.request import checked
from compress.stepping import Between, at_once, record, take_steps

if TYPE_CHECKING:
    from compress.data import DataSource


@dataclass(frozen=True)
class PruneResult:
    """The smaller Program (the one given where ``dry_run``), the plan that makes it, and the report.

    ``steps`` holds the plans of the single steps, each for the network that the one before left. ``fit`` says how the
    module given as ``eager`` becomes the smaller network; None where that was not found out on the way.
    """

    program: Program
    plan: Plan
    report: PruneReport
    steps: tuple[Plan, ...] = ()
    fit: Fit | None = None


def prune(
    program: Program,
    target: str | Target | Iterable[str | Target] = "macs=0.5",
    *,
    criterion: str | Criterion = "l2",
    aggregation: str = "mean",
    normalisation: str | None = None,
    scope: str = "global",
    granularity: int | Staircase = 8,
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
    eager: nn.Module | None = None,
    latency_model: CostModel | None = None,
) -> PruneResult:
    """Remove channels from ``program`` and return the smaller one; ``program`` itself is left as it is.

    Args:
        program: what to prune.
        target: ``macs=0.5``, ``params=0.5``, ``memory=0.5`` (peak of the activations) or ``ratio=0.5`` (share of
            prunable channels), relative to ``program``. Several, ``("macs=0.5", "params=0.6")`` or
            ``"macs=0.5,params=0.6"``, are all met where that is possible; else the first comes first.
            ``latency=0.6@RUNTIME`` is what ``latency_model`` predicts, which is not measured here; ``compress prune``
            measures and corrects.
        criterion: ``l1``, ``l2``, ``bn-scale``, ``fpgm``, ``lamp``, ``random``; with ``data`` also ``taylor``,
            ``fisher``, ``obd`` and ``activation``; ``file.py:Class``; or a :class:`compress.importance.Criterion`.
        aggregation: ``mean``, ``sum``, ``max`` or ``first`` over the tensors that a group's channels lie in.
        normalisation: ``mean``, ``max``, ``gaussian``, ``none`` or ``isomorphic``, to compare groups under global scope
            (:func:`compress.importance.normalised`); the criterion's own where None: ``none`` for lamp, else ``mean``.
        scope: ``global`` ranks all channels together, ``local`` takes the same share of every group.
        granularity: kept channel counts are multiples of this (runtimes are slow at odd widths). With a
            :class:`compress.latency.staircase.Staircase` each group goes in the steps that pay on that runtime, in
            smaller ones where the targets take it; the report says which and why.
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
        eager: the module that was captured: choose only widths that its class can have, so that
            :meth:`Plan.apply_to` takes the plan. Widths that its code ties to each other keep one share; those that
            it spells out stay.
        latency_model: predicts latencies; for targets in ``latency``.

    Raises:
        PlanError: a wrong target, criterion, scope, granularity ...; a pattern that matches nothing; a plan that
            does not fit.
        EagerError: the class of ``eager`` takes no pruned network at all.
        InputError: ``eager`` is another network.
    """
    request = checked(
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
        latency_model,
    )
    analysis = analyse(program)
    remarks, fit = Remarks(), None
    if isinstance(data, Iterator) and (steps > 1 or eager is not None):
        data = list(data)  # looked at more than once
    if plan is None:
        if eager is not None:
            request, fit = constrained(request, analysis, eager, lambda asked: at_once(analysis, asked, data))
        smaller, plans, plan, remarks = take_steps(analysis, request, data, None if dry_run else between)
        left = stays(analysis, request, told(request.granularity, analysis, remarks.steps))
        asked = ", ".join(map(str, request.targets))
    else:
        left, asked = {}, "the plan given"
        smaller, plans = remove(analysis, plan.validated(analysis)), (plan,)
        record(smaller, plan)
        if plan.structure not in (None, program.structure_hash()):
            remarks = Remarks(others=("the plan was made for another network; its groups have the same widths here",))
    positions = plan.validated(analysis)
    measures = [target.measure for target in request.targets]
    costs = request.costs(analysis)
    made = report(analysis, positions, smaller, left, asked=asked, measures=measures, remarks=remarks, costs=costs)
    if fit is not None and fit.small.structure_hash() != smaller.structure_hash():
        fit = None  # steps ended with other widths
    return PruneResult(program if dry_run else smaller, plan, made, plans, fit)


def apply_plan(program: Program, plan: Plan) -> Program:
    """Cut ``program`` as ``plan`` says. The same plan on the same network gives the same bytes.

    Raises:
        PlanError: the plan does not fit the network's groups; nothing is cut.
    """
    analysis = analyse(program)
    smaller = remove(analysis, plan.validated(analysis))
    record(smaller, plan)
    return smaller


def _ranking(criterion: str | Criterion, aggregation: str, normalisation: str | None) -> Ranking:
    chosen = find_criterion(criterion)
    return Ranking(chosen, aggregation, normalisation or chosen.normalisation)
