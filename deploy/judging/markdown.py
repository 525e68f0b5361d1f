"""A verdict as Markdown, for a pull request or a job summary."""

from __future__ import annotations

import re

from deploy.records import Finding, Verdict
from deploy.wording import WORDS, bounds, percent

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&@$])")
_COUNTED = ("size", "macs")
_SCALE = {"ms": (1.0, " ms"), "bytes": (1e-6, " MB"), "count": (1e-6, " M"), "share": (100.0, " %")}


def render(verdict: Verdict) -> str:
    """Return a heading, a table of all metrics, the verdict in a paragraph, and under what it was measured."""
    rows = [
        "| metric | verdict | base | new | change | allowed |",
        "| --- | --- | ---: | ---: | --- | ---: |",
        *(_row(finding) for finding in verdict.findings),
    ]
    control = verdict.control
    itself = "not measured" if control.value is None else bounds(control.value, control.low, control.high)
    return "\n".join(
        [
            f"## Gate: {WORDS[verdict.status]}",
            "",
            _text(verdict.text),
            "",
            *rows,
            "",
            f"Base `{verdict.base.sha256[:12]}`, new `{verdict.new.sha256[:12]}`; {_text(verdict.methodology.order)}; "
            f"{_text(verdict.methodology.intervals)}; baseline against itself: {itself}.",
            "",
        ]
    )


def _row(finding: Finding) -> str:
    change = "not known" if finding.change is None else _change(finding, finding.change)
    cells = [
        finding.metric,
        f"**{WORDS[finding.status]}**",
        _figure(finding.base, finding.unit),
        _figure(finding.new, finding.unit),
        change,
        percent(finding.tolerance),
    ]
    return f"| {' | '.join(cells)} |"


def _change(finding: Finding, change: float) -> str:
    if finding.metric in _COUNTED:
        return percent(change, signed=True)
    said = bounds(change, finding.low, finding.high)
    return f"lost: {said}" if finding.metric == "accuracy" else said


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    scale, name = _SCALE[unit]
    return f"{value * scale:.4g}{name}"


def _text(text: str) -> str:
    """Names of files are text, whatever they hold."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
