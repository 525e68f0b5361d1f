"""Targets: which measures are to come down to which share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from compress.errors import PlanError

MEASURES = ("macs", "params", "memory", "ratio")
TOLERANCE = 0.01  # what "within 1 %" means: achieved / dense within this of the request


@dataclass(frozen=True)
class Target:
    """What to reach: ``measure`` (macs, params, memory or ratio of channels) as a share of the network as it is."""

    measure: str
    share: float

    def __str__(self) -> str:
        return f"{self.measure}={self.share:g}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``macs=0.5``. Raises :class:`PlanError` for anything else."""
        measure, _, number = text.strip().partition("=")
        if measure not in MEASURES:
            known = ", ".join(f"{name}=0.5" for name in MEASURES[:-1])
            raise PlanError(f"target {text!r} is not understood", hint=f"write {known} or {MEASURES[-1]}=0.5")
        try:
            share = float(number)
        except ValueError:
            raise PlanError(f"target {text!r} has no number", hint=f"write {measure}=0.5") from None
        if not 0 < share <= 1:
            raise PlanError(f"target {text!r} is not between 0 and 1", hint=f"{measure}=0.5 keeps half")
        return cls(measure, share)


def parse_targets(targets: str | Iterable[str]) -> tuple[Target, ...]:
    """Read ``macs=0.5``, ``macs=0.5,params=0.6`` or several such texts; the order is that of precedence.

    Raises:
        PlanError: one is not understood, a measure comes twice, or there is none.
    """
    texts = [targets] if isinstance(targets, str) else list(targets)
    found = tuple(Target.parse(part) for text in texts for part in text.split(","))
    if not found:
        raise PlanError("there is no target", hint="write macs=0.5")
    measures = [target.measure for target in found]
    for measure in measures:
        if measures.count(measure) > 1:
            raise PlanError(f"{measure} is given {measures.count(measure)} targets", hint="give one per measure")
    return found
