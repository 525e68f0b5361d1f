"""The report: JSON for machines, one self-contained HTML page for people, Markdown for pull requests."""

from __future__ import annotations

from deploy.report.files import read_json, render_html, render_markdown, write, write_html, write_json, write_markdown
from deploy.report.merging import merged
from deploy.report.rows import latency_rows
from deploy.report.schema import (
    VERSION,
    Engine,
    FigureRow,
    LayerRow,
    Point,
    Report,
    Section,
    Source,
    StepRow,
    Verification,
)

__all__ = [
    "VERSION",
    "Engine",
    "FigureRow",
    "LayerRow",
    "Point",
    "Report",
    "Section",
    "Source",
    "StepRow",
    "Verification",
    "latency_rows",
    "merged",
    "read_json",
    "render_html",
    "render_markdown",
    "write",
    "write_html",
    "write_json",
    "write_markdown",
]
