"""How far each of several pruning steps goes towards the target."""

from __future__ import annotations

from collections.abc import Callable

from compress.errors import PlanError

SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "linear": lambda share, done: 1 - (1 - share) * done,
    "geometric": lambda share, done: share**done,
    "cubic": lambda share, done: share + (1 - share) * (1 - done) ** 3,
}
"""By name: (share to be left at the end, part of the steps done) to the share left then.

``linear`` takes equal parts of the whole, ``geometric`` equal parts of what is left, ``cubic`` most at first (Zhu and
Gupta 2017, To prune, or not to prune, eq. 1).
"""


def check_schedule(name: str, steps: int) -> None:
    """Raise :class:`PlanError` for a schedule that is not known, or fewer than one step."""
    if name not in SCHEDULES:
        raise PlanError(f"there is no schedule {name!r}", hint=f"choose one of {', '.join(SCHEDULES)}")
    if steps < 1:
        raise PlanError(f"{steps} steps are not a positive whole number", hint="1 prunes at once")
