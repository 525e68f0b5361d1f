"""Patterns of zeros, one file each. To add one, derive from :class:`Pattern` and list it in :data:`PATTERNS`."""

from __future__ import annotations

from compress.errors import PlanError
from compress.sparsity.patterns._base import Pattern
from compress.sparsity.patterns._blocks import FourByOne, TwoByOne
from compress.sparsity.patterns._two_of_four import TwoOfFour
from compress.sparsity.patterns._unstructured import Unstructured

PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern for pattern in (Unstructured(), FourByOne(), TwoByOne(), TwoOfFour())
}


def pattern_named(name: str) -> Pattern:
    """Raises :class:`PlanError` for a name that is not in :data:`PATTERNS`."""
    if name not in PATTERNS:
        raise PlanError(f"there is no pattern {name!r}", hint=f"choose one of {', '.join(PATTERNS)}")
    return PATTERNS[name]


__all__ = ["PATTERNS", "Pattern", "pattern_named"]
