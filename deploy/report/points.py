"""Accuracy against latency and size, a panel for every device: charts, a card for the chosen point, a table."""

from __future__ import annotations

from deploy.report import pareto
from deploy.report.charts import Figure
from deploy.report.markup import Keyed, chart, missing, panel_list, section, table
from deploy.report.panels import COSTS, Panel, panels
from deploy.report.schema import Point, Report
from deploy.report.text import NOTHING, escape, number, pairs


def points_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of all configurations."""
    heading = "Accuracy against latency and size"
    if not report.points:
        return section("points", heading, missing(report, "points", "no configurations were put together"))
    inside = [(panel.title, _panel(panel, index, drawn)) for index, panel in enumerate(panels(report.points))]
    note = (
        '<p class="note">A point is dominated where another is at least as accurate and at least as cheap, and better '
        "in one of the two. Points in different panels were measured differently and are not compared.</p>"
    )
    return section("points", heading, panel_list("Measured on", inside) + note)


def _panel(panel: Panel, place: int, drawn: dict[str, Figure]) -> str:
    card = f"points-{place}-card"
    fronts = {name: panel.front(cost) for name, cost in COSTS.items()}
    figures = {name: pareto.against(panel, name, fronts[name], card) for name in COSTS}
    shown = {name: figure for name, figure in figures.items() if figure}
    charts = "".join(
        f"<div>{chart(drawn, f'chart-points-{place}-{name}', f'Accuracy against {pareto.AXES[name][0]}', figure)}</div>"
        for name, figure in shown.items()
    )
    if not shown:
        figure = pareto.costs(panel, card)
        charts = chart(drawn, f"chart-points-{place}-costs", "Latency against file size", figure)
        charts = f'<p class="absent">no accuracy: {_why_no_accuracy(panel)}</p>' + charts
    hint = "Point at a configuration in a chart to see it here; click, or choose its name below, to keep it."
    live = (
        f'<div class="card" id="{card}" role="status"><p class="quiet">{hint}</p></div>'
        if charts.count('"chart"')
        else ""
    )
    heads = ["Configuration", "Accuracy|n", "Latency p50|n", "Size|n", "MACs|n", "Not dominated in"]
    rows = [_row(panel, index, fronts, card if live else None) for index in range(len(panel.points))]
    return f'<div class="pair-of-charts">{charts}</div>{live}{table("Configurations", heads, rows)}'


def _row(panel: Panel, index: int, fronts: dict[str, list[int]], card: str | None) -> list[str | Keyed]:
    point = panel.points[index]
    name = f"<code>{escape(point.name)}</code>"
    if card:
        name = f'<button type="button" class="pick" data-card="{card}" data-row="{index}">{name}</button>'
    role = ' <span class="tag">baseline</span>' if point.role == "baseline" else ""
    made = pairs(point.configuration)
    made = f"<details><summary>how it was made</summary>{made}</details>" if made else ""
    latency = point.latency.value if point.latency else None
    best = [cost for cost in COSTS if index in fronts[cost]]
    standing = " ".join(f'<span class="tag ok">{cost}</span>' for cost in best)
    if not standing:
        standing = "dominated" if panel.accuracy(point) is not None else "accuracy not compared"
    return [
        Keyed(f"{index + 1} {name}{role}{made}", index),
        Keyed(_or_reason(point, "accuracy", number(point.accuracy, "share")), point.accuracy),
        Keyed(_or_reason(point, "latency", number(latency, "ms")), latency),
        Keyed(escape(number(point.size, "bytes")), point.size),
        Keyed(escape(number(point.macs, "count")), point.macs),
        standing,
    ]


def _or_reason(point: Point, key: str, text: str) -> str:
    reason = point.missing.get(key)
    return escape(text) if text != NOTHING or not reason else f'<small class="absent">{escape(reason)}</small>'


def _why_no_accuracy(panel: Panel) -> str:
    reasons = dict.fromkeys(point.missing.get("accuracy", "not measured") for point in panel.points)
    return escape("; ".join(reasons))
