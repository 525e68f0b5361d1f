"""The compatibility matrix in Markdown: what is the same of all files is said once."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.compatibility.records import Cell
from deploy.report import compatible
from deploy.report.compatible import Line
from deploy.report.markdown.text import code, folded, table, text
from deploy.report.schema import Report

_MARKS = {"ok": "✅", "part": "🟡", "no": "❌", "none": "▫️"}
_UNTRIED = "not tested here"


def matrix(report: Report) -> str:
    """Return the outcomes as a compact table, the reasons folded below it; nothing where there is no matrix."""
    if report.matrix is None or not report.matrix.cells:
        return ""
    lines = compatible.lines(report.matrix)
    tried = [line for line in lines if any(cell.outcome != _UNTRIED for cell in line.cells)]
    untried = [f"{text(line.runtime)} ({text(line.device)})" for line in lines if line not in tried]
    heads = ["runtime", "device", *map(code, compatible.files(report.matrix))]
    rows = [[text(line.runtime), text(line.device), *map(_outcome, line.cells)] for line in tried]
    parts = [
        "### Compatibility",
        table(heads, rows) if rows else "",
        f"Not tested here: {', '.join(untried)}." if untried else "",
        _reasons(lines),
    ]
    return "\n\n".join(part for part in parts if part)


def _outcome(cell: Cell) -> str:
    return f"{_MARKS[compatible.TONES[cell.outcome]]} {cell.outcome}"


def _reasons(lines: Sequence[Line]) -> str:
    found: dict[tuple[str, str, str], list[str]] = {}
    for line in lines:
        for cell in line.cells:
            if cell.outcome != "runs" or cell.unsupported or cell.fallbacks or cell.error is not None:
                said = text(f"{line.runtime} on {line.device}"), cell.outcome, text("; ".join(compatible.facts(cell)))
                found.setdefault(said, []).append(cell.file)
    several = max((len(line.cells) for line in lines), default=0)
    rows = [
        ["all" if 1 < several == len(names) else ", ".join(map(code, names)), *said] for said, names in found.items()
    ]
    inside = table(["file", "where", "outcome", "why"], rows)
    return folded("Reasons, fallbacks and errors", inside) if rows else ""
