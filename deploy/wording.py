"""What the gate says: its verdict in one paragraph."""

from __future__ import annotations

from deploy.comparing import change_text
from deploy.records import Shift, Verdict

_WORDS = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE", "unresolvable": "UNDECIDED"}


def paragraph(verdict: Verdict) -> str:
    """Return the verdict on latency and its tails in one paragraph."""
    parts = [f"{_WORDS[verdict.status]}: {_latency(verdict)}", *(_tail(shift, verdict) for shift in verdict.shifts[1:])]
    parts.append(
        f"Measured with {verdict.conditions.describe()}: {verdict.pairs} pairs in {verdict.blocks} blocks, "
        f"{verdict.seconds:.1f} s."
    )
    if verdict.resolution is not None and verdict.shifts[0].status != "unresolvable":
        parts.append(f"This machine resolves changes of {percent(verdict.resolution)} within {verdict.budget:g} s.")
    if not verdict.warmup.stationary:
        parts.append("Latencies were still drifting when the warm-up ended.")
    return " ".join(parts)


def _latency(verdict: Verdict) -> str:
    base, new, tolerance = verdict.base.name, verdict.new.name, percent(verdict.tolerance)
    latency = verdict.shifts[0]
    if latency.status == "unresolvable":
        return _unresolvable(latency, verdict)
    outcome = {
        "pass": f"{new} is not slower than {base} by {tolerance} or more",
        "fail": f"{new} is slower than {base} by more than the {tolerance} allowed",
        "inconclusive": f"{verdict.seconds:.3g} s did not settle whether {new} is slower than {base} by {tolerance}",
    }[latency.status]
    return f"{outcome}; {_estimate(verdict)}."


def _unresolvable(shift: Shift, verdict: Verdict) -> str:
    finest = (
        "it allows no decision at all" if shift.resolution is None else f"the finest is {percent(shift.resolution)}"
    )
    of = "" if shift.metric == "latency" else f" of {shift.metric}"
    text = (
        f"a tolerance{of} of {percent(shift.tolerance)} is below what this machine can resolve in {verdict.budget:g} s "
        f"({finest}); allow a longer budget or a larger regression, or use a quieter machine."
    )
    seen = _bounds(shift.slowdown, shift.low, shift.high) if shift.slowdown is not None else None
    return text if seen is None else f"{text} The change seen is {seen}."


def _tail(shift: Shift, verdict: Verdict) -> str:
    if shift.status == "unresolvable":
        return f"As for {shift.metric}: {_unresolvable(shift, verdict)}"
    if shift.slowdown is None:
        return f"Of {shift.metric} nothing was measured."
    said = {
        "pass": f"is not slower by {percent(shift.tolerance)} or more",
        "fail": f"is slower by more than the {percent(shift.tolerance)} allowed",
        "inconclusive": f"was not settled (tolerance {percent(shift.tolerance)})",
    }[shift.status]
    return f"Its {shift.metric} {said}: {_bounds(shift.slowdown, shift.low, shift.high)}."


def _estimate(verdict: Verdict) -> str:
    if verdict.slowdown is None:
        return "no block was completed"
    if verdict.low is None or verdict.high is None:
        return f"the change is {change_text(1 + verdict.slowdown)}, without an interval"
    return f"its time changes by {_bounds(verdict.slowdown, verdict.low, verdict.high)}"


def _bounds(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{percent(value, signed=True)}, without an interval"
    return f"{percent(value, signed=True)} (between {percent(low, signed=True)} and {percent(high, signed=True)})"


def percent(value: float, *, signed: bool = False) -> str:
    """Return a share as a percentage with three significant digits: ``0.05123`` gives ``5.12 %``."""
    text = f"{value * 100:{'+' if signed else ''}.{0 if abs(value) >= 10 else 3}{'f' if abs(value) >= 10 else 'g'}}"
    return f"{text} %"
