"""Criteria for single weights and blocks, one file each. To add one, derive from :class:`Criterion` (or
:class:`GatheringCriterion`, where weight times gradient is all it needs) and list it in :data:`CRITERIA`.
"""

from __future__ import annotations

from compress.errors import PlanError
from compress.sparsity.criteria._base import Choose, Criterion, GatheringCriterion, Sums, Tensors
from compress.sparsity.criteria._learned import LearnedScores
from compress.sparsity.criteria._magnitude import Magnitude
from compress.sparsity.criteria._movement import Movement
from compress.sparsity.criteria._taylor import Taylor

CRITERIA: dict[str, type[Criterion]] = {kind.name: kind for kind in (Magnitude, Movement, Taylor, LearnedScores)}


def criterion_named(name: str) -> Criterion:
    """Make a criterion. Raises :class:`PlanError` for a name that is not in :data:`CRITERIA`."""
    if name not in CRITERIA:
        raise PlanError(f"there is no sparsity criterion {name!r}", hint=f"choose one of {', '.join(CRITERIA)}")
    return CRITERIA[name]()


__all__ = [
    "CRITERIA", "Choose", "Criterion", "GatheringCriterion", "Sums", "Tensors", "criterion_named",
]  # fmt: skip
