"""An account of the time that fewer MACs should have saved: what each cause kept of it, down to the last operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.why.findings import Finding, Kind, padded_share
from deploy.why.records import Cause, Peak
from deploy.why.rows import Match

_PRIORITY: tuple[Kind, ...] = ("provider", "copy", "plain", "unfused", "padding", "overhead", "memory")
_NAMES: Mapping[str, str] = {
    "provider": "another provider runs it",
    "copy": "copies and conversions that compute nothing",
    "plain": "widths that do not fit the runtime's blocks of channels",
    "unfused": "operators that are no longer fused",
    "padding": "widths that are padded to full blocks of channels",
    "overhead": "operators too small to matter",
    "memory": "layers that move bytes rather than compute",
    "other": "layers that run at fewer MACs a second than before",
}


@dataclass(frozen=True)
class Account:
    """``expected`` are milliseconds of operators, had every part's time fallen with its MACs (bytes without MACs)."""

    expected: float
    causes: list[Cause]


def settle(found: Sequence[tuple[Match, Sequence[Finding]]], peak: Peak) -> Account:
    """Put the difference between each part's time and what its MACs promise to its weightiest finding."""
    sums: dict[str, list[tuple[float, str]]] = {}
    expected = 0.0
    for pair, findings in found:
        promised = _promised(pair)
        expected += promised
        lost = (pair.new.side.milliseconds if pair.new else 0.0) - promised
        kinds = [finding.kind for finding in findings]
        cause: str = next((kind for kind in _PRIORITY if kind in kinds), "other")
        if cause == "padding" and pair.new is not None and peak.block is not None:
            padded = min(lost, padded_share(pair.new, peak.block) * pair.new.side.milliseconds)
            sums.setdefault(cause, []).append((padded, pair.name))
            lost, cause = lost - padded, "other"
        sums.setdefault(cause, []).append((lost, pair.name))
    causes = [
        Cause(
            name=_NAMES[kind],
            milliseconds=sum(lost for lost, _ in parts),
            rows=[name for lost, name in sorted(parts, reverse=True) if lost > 0],
        )
        for kind, parts in sums.items()
    ]
    return Account(expected, sorted(causes, key=lambda cause: -cause.milliseconds))


def _promised(pair: Match) -> float:
    """The milliseconds that a part would take, had its time changed as its MACs did."""
    if pair.base is None or pair.new is None:
        return 0.0
    before, after = pair.base.side, pair.new.side
    if before.macs and after.macs is not None:
        return before.milliseconds * after.macs / before.macs
    if before.bytes and after.bytes is not None:
        return before.milliseconds * after.bytes / before.bytes
    return before.milliseconds
