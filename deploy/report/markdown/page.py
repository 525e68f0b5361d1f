"""Put the Markdown together. GitHub takes 65 536 characters in a comment: long tables say what they leave out."""

from __future__ import annotations

from deploy.report import summary
from deploy.report.markdown import details
from deploy.report.markdown.matrix import matrix
from deploy.report.markdown.text import code, table, text
from deploy.report.schema import VERSION, FigureRow, Point, Report
from deploy.report.text import NOTHING, change, number

_MARKS = {"good": "✅", "bad": "❌", "unsure": "⚠️", "none": "ℹ️"}
_STATUS = {"pass": "good", "fail": "bad", "inconclusive": "unsure", "unresolvable": "unsure", "unmeasured": "unsure"}
_MOST_POINTS, _MOST_FAILURES = 30, 20


def render(report: Report) -> str:
    """Return ``report`` as GitHub-flavoured Markdown; names and reasons in it are text and nothing else."""
    tone, title, said = summary.verdict(report)
    parts = [
        f"## {text(report.title)}",
        f"{_MARKS[tone]} **{title}:** {text(said, 1000)}" if summary.is_measured(report) else "",
        _findings(report),
        f"**{text(summary.headline(report))}**",
        _figures(report),
        _failures(report),
        _points(report),
        matrix(report),
        *details.all_of(report),
        f"<sub>Report version {VERSION}; the HTML page and the JSON hold everything.</sub>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(report: Report) -> str:
    if not report.figures:
        return "" if report.profiles or report.matrix or report.why else _missing(report, "figures", "none were given")
    notes = list(dict.fromkeys(row.conditions for row in report.figures if row.conditions))
    rows = [_figure(row, notes) for row in report.figures]
    under = [f"<sup>{index}</sup> {text(note)}" for index, note in enumerate(notes, 1)]
    return "\n\n".join([table(["", "before|n", "after|n", "change|n"], rows), "<br>".join(under)]).strip()


def _figure(row: FigureRow, notes: list[str]) -> list[str]:
    mark = f" <sup>{notes.index(row.conditions) + 1}</sup>" if row.conditions else ""
    if row.before is None and row.after is None:
        return [f"{text(row.name)}{mark}", text(row.missing or "not given"), NOTHING, NOTHING]
    figures = [number(row.before, row.unit), number(row.after, row.unit), change(row.before, row.after, row.unit)]
    return [f"{text(row.name)}{mark}", *(text(figure) for figure in figures)]


def _findings(report: Report) -> str:
    """What the gate decided of every metric; of one alone the verdict says it all."""
    findings = report.gate.findings if report.gate else []
    if len(findings) < 2:
        return ""
    rows = [
        [
            text(each.metric),
            f"{_MARKS[_STATUS[each.status]]} {each.status}",
            "not measured" if each.change is None else number(each.change, "share"),
            NOTHING if each.low is None else f"{number(each.low, 'share')} to {number(each.high, 'share')}",
            number(each.tolerance, "share"),
        ]
        for each in findings
    ]
    return table(["metric", "verdict", "change|n", "between|n", "tolerance|n"], rows)


def _failures(report: Report) -> str:
    if not report.failures:
        return ""
    rows = [
        [
            code(each.file),
            text(f"{each.runtime} on {each.target}"),
            text(f"{each.threads} {'thread' if each.threads == 1 else 'threads'}, batch {each.batch}"),
            f"**{each.kind}**: {text(each.reason)}" + (f" ({text(each.hint)})" if each.hint else ""),
        ]
        for each in report.failures[:_MOST_FAILURES]
    ]
    left = _left(len(report.failures), _MOST_FAILURES)
    return "### Not measured\n\n" + table(["file", "where", "with", "why"], rows) + left


def _points(report: Report) -> str:
    """Two points are the table before and after; more are a table of their own."""
    if len(report.points) < 3:
        return ""
    heads = ["configuration", "device", "accuracy|n", "latency p50|n", "size|n", "MACs|n"]
    rows = [_point(point) for point in report.points[:_MOST_POINTS]]
    under = dict.fromkeys(point.conditions.describe() for point in report.points if point.conditions)
    notes = "".join(f"\n\nMeasured on {text(each)}." for each in list(under)[:6])
    return "### Configurations\n\n" + table(heads, rows) + _left(len(report.points), _MOST_POINTS) + notes


def _point(point: Point) -> list[str]:
    latency = number(point.latency.value if point.latency else None, "ms")
    role = " (baseline)" if point.role == "baseline" else ""
    return [
        f"{code(point.name)}{role}",
        text(point.target),
        text(number(point.accuracy, "share")) if point.accuracy is not None else _absent(point, "accuracy"),
        text(latency) if point.latency else _absent(point, "latency"),
        text(number(point.size, "bytes")),
        text(number(point.macs, "count")),
    ]


def _absent(point: Point, key: str) -> str:
    return text(point.missing.get(key, "unknown"), 80)


def _missing(report: Report, section: str, reason: str) -> str:
    return f"*No {section}: {text(report.missing.get(section, reason))}*"  # type: ignore[call-overload]


def _left(count: int, most: int) -> str:
    return f"\n\n… and {count - most} more." if count > most else ""
