"""Figures before and after, as a table and as bars."""

from __future__ import annotations

from deploy.report import charts
from deploy.report.charts import Figure
from deploy.report.markup import Keyed, chart, missing, section, table
from deploy.report.schema import FigureRow, Report
from deploy.report.summary import find, tone_of
from deploy.report.text import NOTHING, change, escape, number


def figures_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of figures; accuracy and latency that are absent are said to be so."""
    title = "Before and after"
    if not report.figures:
        return section("figures", title, missing(report, "figures", "no figures were given"))
    notes = list(dict.fromkeys(row.conditions for row in report.figures if row.conditions))
    rows = [_figure(row, notes) for row in report.figures]
    heads = ["Figure", "Before|n", "After|n", "Change|n", "Ratio|n"]
    inside = table("Figures before and after", heads, rows)
    inside += "".join(f'<p class="note"><sup>{index}</sup> {escape(note)}</p>' for index, note in enumerate(notes, 1))
    if find(report, "accuracy") is None:
        inside += missing(report, "accuracy", "not measured", name="accuracy")
    if find(report, "latency") is None and not report.profiles:
        inside += missing(report, "latency", "not measured", name="latency")
    inside += chart(
        drawn, "chart-ratios", "After, relative to before (the line is unchanged)", charts.ratios(report.figures)
    )
    return section("figures", title, inside)


def _figure(row: FigureRow, notes: list[str]) -> list[str | Keyed]:
    mark = f"<sup>{notes.index(row.conditions) + 1}</sup>" if row.conditions else ""
    if row.before is None and row.after is None:
        reason = f'<small class="absent">{escape(row.missing or "not given")}</small>'
        return [f"{escape(row.name)}{mark}{reason}", NOTHING, NOTHING, NOTHING, NOTHING]
    times = f"{row.after / row.before:.3f}" if row.before and row.after is not None else NOTHING
    reason = f"<small>{escape(row.missing)}</small>" if row.missing else ""
    return [
        f"{escape(row.name)}{mark}{reason}",
        escape(number(row.before, row.unit)),
        escape(number(row.after, row.unit)),
        f'<span class="{tone_of(row)}">{escape(change(row.before, row.after, row.unit))}</span>',
        times,
    ]
