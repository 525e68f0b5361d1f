"""The compatibility matrix on the page: a line for every runtime and device, a column for every file; no blank cell."""

from __future__ import annotations

from collections import Counter

from deploy.compatibility.records import Cell
from deploy.report.charts import Figure
from deploy.report.compatible import TONES, facts, files, lines
from deploy.report.markup import missing, section, table
from deploy.report.schema import Report
from deploy.report.text import code, escape

_MOST_NODES = 60


def matrix_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the matrix, or why there is none."""
    heading = "Compatibility"
    if report.matrix is None or not report.matrix.cells:
        reason = "not checked (compress compatibility)"
        return section("compatibility", heading, missing(report, "matrix", reason, name="compatibility matrix"))
    found = lines(report.matrix)
    counts = Counter(cell.outcome for line in found for cell in line.cells)
    said = ", ".join(f"{count} × {outcome}" for outcome, count in counts.most_common())
    heads = ["Runtime", "Device", *map(code, files(report.matrix))]
    rows = [[escape(line.runtime), escape(line.device), *map(_cell, line.cells)] for line in found]
    return section("compatibility", heading, f'<p class="lead">{said}.</p>{table("Compatibility", heads, rows)}')


def _cell(cell: Cell) -> str:
    tag = f'<span class="tag {TONES[cell.outcome]}">{cell.outcome}</span>'
    said = "".join(f"<small>{escape(fact)}</small>" for fact in facts(cell))
    about = ", ".join(
        part
        for part in (
            cell.version and f"version {cell.version}",
            f"{cell.nodes} nodes after fusion" if cell.nodes is not None else None,
        )
        if part
    )
    nodes = "".join(
        f"<div>{escape(provider)}: {', '.join(map(code, names[:_MOST_NODES]))}"
        f"{f' and {len(names) - _MOST_NODES} more' if len(names) > _MOST_NODES else ''}</div>"
        for provider, names in cell.fallbacks.items()
    )
    folded = f"<details><summary>Nodes that fall back</summary>{nodes}</details>" if nodes else ""
    return f"{tag}{said}{f'<small>{escape(about)}</small>' if about else ''}{folded}"
