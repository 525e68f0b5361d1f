"""Several reports as one: what was measured at several times, or on several devices, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploy.compatibility.records import Matrix
from deploy.report.schema import Report

_LISTS = ("points", "verification", "engines", "profiles", "failures")
_WHOLES = (
    "source",
    "result",
    "steps",
    "figures",
    "search",
    "spaces",
    "layers",
    "comparison",
    "why",
    "gate",
    "environment",
)


def merged(reports: Sequence[Report]) -> Report:
    """Return one report of all ``reports``, of which there is at least one.

    What there may be many of is put together, each once; of what there is one, the first report's that has it is
    taken: its figures, layers and steps belong together. Reasons stay for what none of them has.
    """
    first, *others = reports
    if not others:
        return first
    parts: dict[str, Any] = {}
    for name in _LISTS:
        parts[name] = _once([each for report in reports for each in getattr(report, name)])
    for name in _WHOLES:
        parts[name] = next((value for report in reports if (value := getattr(report, name))), getattr(first, name))
    cells = _once([cell for report in reports if report.matrix for cell in report.matrix.cells])
    parts["matrix"] = Matrix(cells=cells) if cells else None
    reasons = {key: reason for report in reversed(reports) for key, reason in report.missing.items()}
    parts["missing"] = {key: reason for key, reason in reasons.items() if not parts.get(key)}
    return first.model_copy(update=parts)


def _once(records: list[Any]) -> list[Any]:
    found: list[Any] = []
    for record in records:
        if record not in found:
            found.append(record)
    return found
