"""The report: one JSON file for machines, one self-contained HTML page for people."""

from __future__ import annotations

from deploy.report.files import read_json, render_html, write_html, write_json
from deploy.report.rows import latency_rows
from deploy.report.schema import (
    VERSION,
    Engine,
    FigureRow,
    LayerRow,
    Point,
    Report,
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
    "Source",
    "StepRow",
    "Verification",
    "latency_rows",
    "read_json",
    "render_html",
    "write_html",
    "write_json",
]
