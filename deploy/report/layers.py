"""Every layer: its width and MACs before and after, what became of it and why."""

from __future__ import annotations

from collections import Counter

from deploy.report import charts
from deploy.report.charts import Figure
from deploy.report.markup import Keyed, chart, missing, section, table
from deploy.report.schema import LayerRow, Report
from deploy.report.text import NOTHING, code, escape, number


def layers_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of layers."""
    title = "Layers"
    if not report.layers:
        return section("layers", title, missing(report, "layers", "no layers were recorded"))
    counts = Counter(layer.status for layer in report.layers)
    said = ", ".join(
        f"{counts[status]} {status}" for status in ("pruned", "kept", "protected", "frozen") if counts[status]
    )
    heads = ["Layer", "Kind", "Width|n", "MACs|n", "Status", "Reason"]
    inside = f'<p class="lead">{len(report.layers)} layers: {said}.</p>'
    figure = charts.widths(report.layers)
    inside += chart(drawn, "chart-widths", "Width of every layer, before and after", figure)
    inside += table("Layers, what became of them, and why", heads, [_layer(layer) for layer in report.layers])
    return section("layers", title, inside)


def _layer(layer: LayerRow) -> list[str | Keyed]:
    reason = escape(layer.reason) if layer.reason else "no reason given" if layer.status != "kept" else NOTHING
    return [
        code(layer.name),
        escape(layer.kind),
        Keyed(_arrow(layer.width_before, layer.width_after, "channels"), layer.width_after),
        Keyed(_arrow(layer.macs_before, layer.macs_after, "count"), layer.macs_after),
        f'<span class="tag {layer.status}">{layer.status}</span>',
        reason,
    ]


def _arrow(before: int | None, after: int | None, unit: str) -> str:
    shown = [
        NOTHING if value is None else str(value) if unit == "channels" else number(value, unit)
        for value in (before, after)
    ]
    return escape(shown[0] if before == after else f"{shown[0]} → {shown[1]}")
