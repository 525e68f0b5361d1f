"""What the gate says: its verdict in one paragraph."""

from __future__ import annotations

from deploy.records import Finding, Verdict

WORDS = {
    "pass": "PASS",
    "fail": "FAIL",
    "inconclusive": "INCONCLUSIVE",
    "unresolvable": "UNDECIDED",
    "unmeasured": "NOT MEASURED",
}


def paragraph(verdict: Verdict) -> str:
    """Return the verdict in one paragraph: what was decided, then a sentence for each metric, then how."""
    parts = [f"{WORDS[verdict.status]}: {_headline(verdict)}.", *map(_sentence, verdict.findings)]
    parts.append(
        f"Measured with {verdict.conditions.describe()}: {verdict.pairs} pairs in {verdict.blocks} blocks, "
        f"{verdict.seconds:.1f} s."
    )
    if verdict.resolution is not None and verdict.findings[0].status != "unresolvable":
        parts.append(f"This machine resolves changes of {percent(verdict.resolution)} within {verdict.budget:g} s.")
    if not verdict.warmup.stationary:
        parts.append("Latencies were still drifting when the warm-up ended.")
    return " ".join(parts)


def _headline(verdict: Verdict) -> str:
    """Which metrics decided."""
    base, new = verdict.base.name, verdict.new.name
    by = {
        status: [finding.metric for finding in verdict.findings if finding.status == status]
        for status in ("fail", "unresolvable", "inconclusive", "unmeasured")
    }
    if verdict.status == "pass":
        return f"{new} may replace {base}"
    if verdict.status == "fail":
        return f"{new} is worse than {base} in {_list(by['fail'])}"
    open_ = [*by["unresolvable"], *by["inconclusive"], *by["unmeasured"]]
    return f"whether {new} may replace {base} is open because of {_list(open_)}"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(finding: Finding) -> str:
    return finding.text[:1].upper() + finding.text[1:]


def bounds(value: float, low: float | None, high: float | None) -> str:
    """Return a change with its bounds in words."""
    if low is None or high is None:
        return f"{percent(value, signed=True)}, without an interval"
    return f"{percent(value, signed=True)} (between {percent(low, signed=True)} and {percent(high, signed=True)})"


def percent(value: float, *, signed: bool = False) -> str:
    """Return a share as a percentage with three significant digits: ``0.05123`` gives ``5.12 %``."""
    text = f"{value * 100:{'+' if signed else ''}.{0 if abs(value) >= 10 else 3}{'f' if abs(value) >= 10 else 'g'}}"
    return f"{text} %"
