"""The compatibility matrix in Markdown."""

from __future__ import annotations

from deploy.report import compatible
from deploy.report.markdown.text import code, folded, table, text
from deploy.report.schema import Report

_MARKS = {"ok": "✅", "part": "🟡", "no": "❌", "none": "▫️"}


def matrix(report: Report) -> str:
    """Return the outcomes as a compact table, the reasons folded below it; nothing where there is no matrix."""
    if report.matrix is None or not report.matrix.cells:
        return ""
    lines = compatible.lines(report.matrix)
    heads = ["runtime", "device", *map(code, compatible.files(report.matrix))]
    rows = [
        [
            text(line.runtime),
            text(line.device),
            *(f"{_MARKS[compatible.TONES[c.outcome]]} {c.outcome}" for c in line.cells),
        ]
        for line in lines
    ]
    reasons = [
        [
            code(cell.file),
            text(f"{cell.runtime} on {cell.device}"),
            cell.outcome,
            text("; ".join(compatible.facts(cell))),
        ]
        for line in lines
        for cell in line.cells
        if cell.outcome != "runs" or cell.unsupported or cell.fallbacks or cell.error is not None
    ]
    more = folded("Reasons, fallbacks and errors", table(["file", "where", "outcome", "why"], reasons))
    return f"### Compatibility\n\n{table(heads, rows)}\n\n{more if reasons else ''}".rstrip()
