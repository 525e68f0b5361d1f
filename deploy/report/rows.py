"""Figures before and after, taken from profiles."""

from __future__ import annotations

from deploy.records import Profile
from deploy.report.schema import FigureRow


def latency_rows(before: Profile | None, after: Profile | None) -> list[FigureRow]:
    """Return rows for latency, throughput, peak memory and load time of two profiles.

    Profiles that were taken under different conditions are not put side by side: the rows then say why.
    """
    known = before or after
    conditions = None if known is None else known.conditions.describe()
    reason = before.incomparable(after) if before and after else "not profiled"
    if before and after and reason:
        return [_row("latency p50", "ms", None, None, missing=f"not comparable: {reason}")]
    missing = None if before and after else reason

    def row(name: str, unit: str, attribute: str) -> FigureRow:
        return _row(name, unit, _value(before, attribute), _value(after, attribute), missing=missing, under=conditions)

    rows = [
        row("latency p50", "ms", "p50"),
        row("latency p90", "ms", "p90"),
        row("latency p99", "ms", "p99"),
        row("throughput", "per second", "throughput"),
        row("peak memory", "bytes", "peak_memory"),
        row("load time", "ms", "load_time"),
        row("first inference", "ms", "first_inference"),
    ]
    rows[3].better = "higher"
    rows[5].once = rows[6].once = True
    return rows


def _row(
    name: str,
    unit: str,
    before: float | None,
    after: float | None,
    *,
    missing: str | None = None,
    under: str | None = None,
) -> FigureRow:
    return FigureRow(name=name, unit=unit, before=before, after=after, missing=missing, conditions=under)


def _value(profile: Profile | None, attribute: str) -> float | None:
    if profile is None:
        return None
    value = getattr(profile, attribute)
    return value if value is None or isinstance(value, int | float) else float(value.value)
