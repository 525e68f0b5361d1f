"""Allocations, one file each. To add one, derive from :class:`Allocation` and list it in :data:`ALLOCATIONS`."""

from __future__ import annotations

from compress.errors import PlanError
from compress.sparsity.allocation._base import Allocation, Numbers, Ranked
from compress.sparsity.allocation._erk import ErdosRenyiKernel
from compress.sparsity.allocation._global import Global
from compress.sparsity.allocation._macs import MacsAware
from compress.sparsity.allocation._uniform import Uniform

ALLOCATIONS: dict[str, Allocation] = {one.name: one for one in (Uniform(), Global(), ErdosRenyiKernel(), MacsAware())}


def allocation_named(name: str) -> Allocation:
    """Raises :class:`PlanError` for a name that is not in :data:`ALLOCATIONS`."""
    if name not in ALLOCATIONS:
        raise PlanError(f"there is no allocation {name!r}", hint=f"choose one of {', '.join(ALLOCATIONS)}")
    return ALLOCATIONS[name]


__all__ = ["ALLOCATIONS", "Allocation", "Numbers", "Ranked", "allocation_named"]
