"""Targets: which measures are to come down to which share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from compress.errors import PlanError

LATENCY = "latency"
MEASURES = ("macs", "params", "memory", "ratio")
TOLERANCE = 0.01  # what "within 1 %" means: achieved / dense within this of the request
_MILLISECONDS = "ms"


@dataclass(frozen=True)
class Target:
    """What to reach: ``measure`` (macs, params, memory, ratio of channels, or latency) as a share of the network as it
    is.

    A latency is that of ``runtime``; where it was asked for in ``milliseconds``, the share is not a number until
    :meth:`of_dense` knows what the network takes as it is.
    """

    measure: str
    share: float
    runtime: str | None = None
    milliseconds: float | None = None

    def __str__(self) -> str:
        amount = f"{self.share:g}" if self.milliseconds is None else f"{self.milliseconds:g}{_MILLISECONDS}"
        return f"{self.measure}={amount}" + (f"@{self.runtime}" if self.runtime else "")

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``macs=0.5``, ``latency=0.6@RUNTIME`` or ``latency=12ms@RUNTIME``.

        Raises:
            PlanError: it is none of these.
        """
        measure, _, number = text.strip().partition("=")
        if measure == LATENCY:
            return cls._latency(text, number)
        if measure not in MEASURES:
            known = ", ".join(f"{name}=0.5" for name in MEASURES)
            raise PlanError(f"target {text!r} is not understood", hint=f"write {known} or latency=0.6@RUNTIME")
        try:
            share = float(number)
        except ValueError:
            raise PlanError(f"target {text!r} has no number", hint=f"write {measure}=0.5") from None
        if not 0 < share <= 1:
            raise PlanError(f"target {text!r} is not between 0 and 1", hint=f"{measure}=0.5 keeps half")
        return cls(measure, share)

    @classmethod
    def _latency(cls, text: str, amount: str) -> Target:
        hint = "write latency=0.6@onnxruntime-cpu or latency=12ms@onnxruntime-cpu"
        number, _, runtime = amount.partition("@")
        absolute = number.strip().endswith(_MILLISECONDS)
        try:
            value = float(number.strip().removesuffix(_MILLISECONDS))
        except ValueError:
            raise PlanError(f"target {text!r} has no number", hint=hint) from None
        if not runtime.strip():
            raise PlanError(f"target {text!r} names no runtime", hint=f"{hint}; compress doctor lists runtimes")
        if not 0 < value < math.inf or (value > 1 and not absolute):
            raise PlanError(f"target {text!r} is not {'above 0 ms' if absolute else 'between 0 and 1'}", hint=hint)
        return cls(LATENCY, math.nan if absolute else value, runtime.strip(), value if absolute else None)

    def of_dense(self, milliseconds: float) -> Target:
        """The same target as a share of a network that takes so many milliseconds.

        Raises:
            PlanError: the network is faster than that already.
        """
        if self.milliseconds is None:
            return self
        if self.milliseconds > milliseconds:
            raise PlanError(
                f"the network takes {milliseconds:.3g} ms as it is, less than {self} asks for", hint="ask for less"
            )
        return replace(self, share=self.milliseconds / milliseconds)


def parse_targets(targets: str | Target | Iterable[str | Target]) -> tuple[Target, ...]:
    """Read ``macs=0.5``, ``macs=0.5,latency=0.6@RUNTIME`` or several such texts; the order is that of precedence.

    Raises:
        PlanError: one is not understood, a measure comes twice, or there is none.
    """
    given = [targets] if isinstance(targets, str | Target) else list(targets)
    found = tuple(target for one in given for target in ([one] if isinstance(one, Target) else _parsed(one)))
    if not found:
        raise PlanError("there is no target", hint="write macs=0.5")
    measures = [target.measure for target in found]
    for measure in measures:
        if measures.count(measure) > 1:
            raise PlanError(f"{measure} is given {measures.count(measure)} targets", hint="give one per measure")
    return found


def _parsed(text: str) -> list[Target]:
    return [Target.parse(part) for part in text.split(",")]
