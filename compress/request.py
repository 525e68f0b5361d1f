"""What a pruning is asked for, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compress.allocation import Target
from compress.axes.analysis import Analysis
from compress.coupling import Coupler, Coupling
from compress.errors import PlanError
from compress.importance import Ranking
from compress.schedules import check_schedule

SCOPES = ("global", "local")


@dataclass(frozen=True)
class Request:
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
    coupler: Coupler | None = None

    def coupling(self, analysis: Analysis) -> Coupling:
        """What couples the widths of ``analysis`` beside its graph."""
        return self.coupler.coupling(analysis, self.granularity) if self.coupler is not None else Coupling()

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
            "eager": self.coupler is not None,
        }


def checked(*arguments: Any) -> Request:
    """A request made of :class:`Request`'s fields. Raises :class:`PlanError` for a value that means nothing."""
    request = Request(*arguments)
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
