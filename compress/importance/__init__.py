"""Importance criteria, one file each. A criterion gives every index of every axis it knows a number that adds up."""

from __future__ import annotations

from compress.errors import PlanError
from compress.importance._base import Criterion, ScoreContext, atom_scores
from compress.importance._batch_norm import BatchNormScale
from compress.importance._magnitude import L1, L2
from compress.importance._random import Random
from compress.importance._taylor import Taylor

CRITERIA: dict[str, type[Criterion]] = {kind.name: kind for kind in (L1, L2, BatchNormScale, Taylor, Random)}


def criterion(name: str) -> Criterion:
    """Make a criterion by name. Raises :class:`PlanError` for a name that is not known."""
    if name not in CRITERIA:
        raise PlanError(f"there is no criterion {name!r}", hint=f"choose one of {', '.join(sorted(CRITERIA))}")
    return CRITERIA[name]()


__all__ = ["CRITERIA", "Criterion", "ScoreContext", "atom_scores", "criterion"]
