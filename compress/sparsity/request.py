"""What masking is asked for, checked before any work."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from compress.errors import PlanError
from compress.sparsity.allocation import Allocation, allocation_named
from compress.sparsity.criteria import Criterion, criterion_named
from compress.sparsity.patterns import Pattern, pattern_named

SPARSITY, MACS, PARAMS = "sparsity", "macs", "params"
LEAST = 0.01


@dataclass(frozen=True)
class SparsityRequest:
    """The arguments of :func:`compress.sparsify` of the same names.

    Raises:
        PlanError: on making it, a name that is not known, or numbers that mean nothing or contradict each other.
    """

    target: float | str | None = None
    pattern: str = "unstructured"
    criterion: str = "magnitude"
    allocation: str = "uniform"
    dense: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    least: float = LEAST
    seed: int = 0

    def __post_init__(self) -> None:
        self.make_criterion()
        allocation_named(self.allocation)
        if not 0 <= self.least < 1:
            raise PlanError(f"least {self.least:g} is not between 0 and 1", hint="0.01 leaves every layer a hundredth")
        measure, amount = self.goal
        if self.shape.whole and not (measure == SPARSITY and amount == 0.5):
            raise PlanError(
                f"pattern {self.pattern} has half of its layers' weights zero, so {self.asked} cannot be asked of it",
                hint="leave the sparsity out; --dense PATTERN keeps layers out of it",
            )

    @property
    def shape(self) -> Pattern:
        """The pattern."""
        return pattern_named(self.pattern)

    @property
    def sharing(self) -> Allocation:
        """The allocation."""
        return allocation_named(self.allocation)

    def make_criterion(self) -> Criterion:
        """Make a criterion, which has seen nothing yet."""
        return criterion_named(self.criterion)

    @property
    def goal(self) -> tuple[str, float]:
        """What is to be reached: ``sparsity`` and the share of zeros, or ``macs`` or ``params`` and the share left."""
        if self.target is None:
            if not self.shape.whole:
                raise PlanError("there is no target", hint="ask for a sparsity, such as 0.8, or for macs=0.3")
            return SPARSITY, 0.5
        measure, separator, number = str(self.target).strip().rpartition("=")
        measure = measure if separator else SPARSITY
        try:
            amount = float(number)
        except ValueError:
            amount = math.nan
        if measure not in (SPARSITY, MACS, PARAMS) or not 0 < amount < 1:
            raise PlanError(
                f"sparsity target {self.target!r} is not understood",
                hint="write the share of zeros, such as 0.8, or what is left counting zeros as removed: macs=0.3",
            )
        return measure, amount

    @property
    def asked(self) -> str:
        """The target in words."""
        measure, amount = self.goal
        return f"sparsity {amount:g}" if measure == SPARSITY else f"{measure}={amount:g} counting zeros as removed"

    def settings(self) -> dict[str, Any]:
        """The request as it is recorded."""
        found = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return found | {"target": self.asked}
