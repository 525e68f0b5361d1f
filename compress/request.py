"""What a pruning is asked for, checked before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compress.allocation import LATENCY, CostModel, Costs, Granularity, Target, WithLatency
from compress.axes.analysis import Analysis
from compress.coupling import Coupler, Coupling
from compress.errors import PlanError
from compress.granularity import chosen_steps
from compress.importance import Ranking
from compress.latency.staircase import Staircase
from compress.schedules import check_schedule

SCOPES = ("global", "local")


@dataclass(frozen=True)
class Request:
    targets: tuple[Target, ...]
    ranking: Ranking
    scope: str
    granularity: int | Staircase
    ignore: tuple[str, ...]
    keep: Mapping[str, float]
    min_keep: float | None
    steps: int
    schedule: str
    seed: int
    latency_model: CostModel | None = None
    coupler: Coupler | None = None

    def coupling(self, analysis: Analysis, granularity: Granularity) -> Coupling:
        """What couples the widths of ``analysis`` beside its graph, where they go in such steps."""
        return self.coupler.coupling(analysis, granularity) if self.coupler is not None else Coupling()

    def couplings(self, analysis: Analysis) -> list[Coupling]:
        """The coupling in each of the steps that may be taken."""
        return [self.coupling(analysis, granularity) for granularity, _ in chosen_steps(self.granularity, analysis)]

    def costs(self, analysis: Analysis) -> Costs:
        """What any choice of widths of ``analysis`` costs in the measures that are asked for."""
        if self.latency_model is None or LATENCY not in {target.measure for target in self.targets}:
            return analysis.sizes
        return WithLatency(analysis.sizes, analysis.prunable, self.latency_model.bind(analysis))

    def settings(self) -> dict[str, Any]:
        """The request as a plan records it."""
        return {
            "target": ",".join(map(str, self.targets)),
            **self.ranking.settings(),
            "scope": self.scope,
            "granularity": self._granularity(),
            "ignore": list(self.ignore),
            "keep": dict(self.keep),
            "min_keep": self.min_keep,
            "steps": self.steps,
            "schedule": self.schedule,
            "seed": self.seed,
            "eager": self.coupler is not None,
        }

    def _granularity(self) -> int | str:
        given = self.granularity
        return given if isinstance(given, int) else f"auto: {given}"


def checked(*arguments: Any) -> Request:
    """A request made of :class:`Request`'s fields. Raises :class:`PlanError` for a value that means nothing."""
    request = Request(*arguments)
    check_schedule(request.schedule, request.steps)
    if request.scope not in SCOPES:
        raise PlanError(f"there is no scope {request.scope!r}", hint="choose global or local")
    if not isinstance(request.granularity, Staircase) and request.granularity < 1:
        raise PlanError(
            f"granularity {request.granularity} is not a positive whole number",
            hint="8 suits most runtimes, 1 cuts finest",
        )
    if request.min_keep is not None and not 0 <= request.min_keep <= 1:
        raise PlanError(f"min_keep {request.min_keep:g} is not between 0 and 1", hint="0.1 keeps a tenth everywhere")
    _check_latency(request)
    return request


def _check_latency(request: Request) -> None:
    """Raise :class:`PlanError` where a latency is asked for that nothing was given to predict it with."""
    for target in request.targets:
        if target.measure != LATENCY:
            continue
        if request.latency_model is None:
            raise PlanError(
                f"target {target} needs a latency model",
                hint="give latency_model=compress.latency.LatencyModel.load(FILE); 'compress calibrate' writes such",
            )
        if request.latency_model.key.runtime != target.runtime:
            raise PlanError(
                f"target {target} is for another runtime than the latency model, {request.latency_model.key.runtime}",
                hint=f"calibrate for {target.runtime}",
            )
        if target.milliseconds is not None and math.isnan(target.share):
            raise PlanError(
                f"target {target} is in milliseconds, and what the network takes as it is was not measured",
                hint=f"write latency=0.6@{target.runtime}; 'compress prune' measures it",
            )
