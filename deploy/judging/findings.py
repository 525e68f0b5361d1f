"""What the gate finds of each metric, decided and put into a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from deploy.duet.blocks import QUICK, quantile
from deploy.judging.exact import accuracy_loss
from deploy.judging.policy import Policy
from deploy.records import Finding
from deploy.wording import bounds, percent

Outcomes = Sequence[bool]

_NAMES = {"macs": "multiply-accumulates"}


def latency(track: Mapping[str, Any], found: Mapping[str, Any], policy: Policy) -> Finding:
    """The finding on latency or one of its tails, from what the contest returned."""
    last = track["looks"][-1] if track["looks"] else {"slowdown": None, "low": None, "high": None}
    finding = Finding(
        metric=track["metric"],
        status=track["status"],
        tolerance=track["tolerance"],
        text="",
        unit="ms",
        base=_quantile(found["base_milliseconds"], track["metric"]),
        new=_quantile(found["new_milliseconds"], track["metric"]),
        change=last["slowdown"],
        low=last["low"],
        high=last["high"],
        resolution=track["resolution"],
    )
    return finding.model_copy(update={"text": _latency_text(finding, found, policy.budget)})


def counted(metric: str, unit: Any, base: float, new: float, tolerance: float) -> Finding:
    """The finding on a figure that has no noise: size, multiply-accumulates."""
    change = new / base - 1 if base else (0.0 if new == base else math.inf)
    failed = new > base * (1 + tolerance)
    name = _NAMES.get(metric, metric)
    return Finding(
        metric=metric,
        status="fail" if failed else "pass",
        tolerance=tolerance,
        text=f"{name} {_said(failed, tolerance)}: {_figure(base, unit)} to {_figure(new, unit)} ({_change(change)}).",
        unit=unit,
        base=base,
        new=new,
        change=change,
    )


def memory(turns: Sequence[Sequence[int]], tolerance: float) -> Finding:
    """The finding on peak memory, decided where the turns of the two files lie apart from the tolerance as a whole."""
    base, new = (median(turn) for turn in turns)
    change, low, high = new / base - 1, min(turns[1]) / max(turns[0]) - 1, max(turns[1]) / min(turns[0]) - 1
    status: Any = "fail" if low > tolerance else "pass" if high <= tolerance else "inconclusive"
    said = "was not settled" if status == "inconclusive" else _said(status == "fail", tolerance)
    return Finding(
        metric="memory",
        status=status,
        tolerance=tolerance,
        text=(
            f"peak memory {said}: {_figure(base, 'bytes')} to {_figure(new, 'bytes')}, {bounds(change, low, high)} in "
            f"{len(turns[0])} turns."
        ),
        unit="bytes",
        base=base,
        new=new,
        change=change,
        low=low,
        high=high,
    )


def accuracy(base: Outcomes, new: Outcomes, tolerance: float, policy: Policy) -> Finding:
    """The finding on accuracy, from which samples each file gets right."""
    loss = accuracy_loss(base, new, low_level=policy.fail_alpha, high_level=policy.alpha)
    status: Any = "fail" if loss.low > tolerance else "pass" if loss.high <= tolerance else "inconclusive"
    said = {
        "fail": f"falls by more than the {_points(tolerance)} allowed",
        "pass": f"falls by no more than {_points(tolerance)}",
        "inconclusive": f"was not settled by {len(base)} samples (tolerance {_points(tolerance)})",
    }[status]
    before, after = sum(base) / len(base), sum(new) / len(new)
    return Finding(
        metric="accuracy",
        status=status,
        tolerance=tolerance,
        text=(
            f"accuracy {said}: {percent(before)} to {percent(after)}, a loss of {_points(loss.share)} (between "
            f"{_points(loss.low)} and {_points(loss.high)}; only the base is right on {loss.only_base} of {len(base)}, "
            f"only the new file on {loss.only_new})."
        ),
        unit="share",
        base=before,
        new=after,
        change=loss.share,
        low=loss.low,
        high=loss.high,
    )


def unmeasured(metric: str, unit: Any, tolerance: float, why: str) -> Finding:
    """A metric that was asked for and could not be measured: said, never passed."""
    text = f"{metric} COULD NOT BE MEASURED: {why}."
    return Finding(metric=metric, status="unmeasured", tolerance=tolerance, text=text, unit=unit)


def _latency_text(finding: Finding, found: Mapping[str, Any], budget: float) -> str:
    tolerance, name = percent(finding.tolerance), finding.metric
    if finding.status == "unresolvable":
        finest = _no_decision(found) if finding.resolution is None else f"the finest is {percent(finding.resolution)}"
        seen = "" if finding.change is None else f" Seen was {bounds(finding.change, finding.low, finding.high)}."
        return (
            f"a tolerance of {tolerance} for {name} is below what this machine can resolve in {budget:g} s ({finest}); "
            f"allow a longer budget or a larger regression, or use a quieter machine.{seen}"
        )
    said = {
        "pass": f"{name} is not larger by {tolerance} or more",
        "fail": f"{name} is larger by more than the {tolerance} allowed",
        "inconclusive": f"{name} was not settled in {found['seconds']:.3g} s (tolerance {tolerance})",
    }[finding.status]
    if finding.change is None:
        return f"{said}: no block was completed."
    return f"{said}: {bounds(finding.change, finding.low, finding.high)}."


def _no_decision(found: Mapping[str, Any]) -> str:
    block, enough = found["seconds_per_block"], found["enough"]
    return f"it allows no decision at all: a block of runs takes {block:.2g} s and more, {enough:.2g} s is the least"


def _said(failed: bool, tolerance: float) -> str:
    if failed:
        return "increased" if not tolerance else f"increased by more than the {percent(tolerance)} allowed"
    return "did not increase" if not tolerance else f"did not increase by more than {percent(tolerance)}"


def _change(change: float) -> str:
    return percent(change, signed=True) if math.isfinite(change) else "from nothing"


def _figure(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.3g} MB" if value >= 1e6 else f"{value:,.0f} bytes"
    return f"{value / 1e6:.4g} M" if value >= 1e6 else f"{value:,.0f}"


def _points(value: float) -> str:
    return f"{value * 100:.3g} points"


def _quantile(milliseconds: Sequence[float], metric: str) -> float | None:
    if not milliseconds:
        return None
    return float(np.quantile(milliseconds, 0.5 if metric == QUICK else quantile(metric)))
