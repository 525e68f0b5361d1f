"""Why a file is as fast as it is: the verdict, what would pay, layers side by side, time against MACs."""

from __future__ import annotations

from collections import Counter

from deploy.report.charts import Figure, title
from deploy.report.markup import Keyed, chart, definitions, missing, section, table
from deploy.report.schema import Report
from deploy.report.text import NOTHING, code, escape, label, number
from deploy.why.records import Advice, Explanation, Peak, Row, Side

_MOST_BARS = 24
_MOST_NAMES = 6
_HEADS = ["Layer", "Before|n", "After|n", "Change|n", "MACs|n", "Width|n", "Bound by", "Remarks"]


def why_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the explanation, or why there is none."""
    heading, why = "Why it is as fast as it is", report.why
    if why is None:
        return section("why", heading, missing(report, "why", "not explained (compress why)", name="explanation"))
    inside = f"<p>{escape(why.verdict)}</p>{_advice(why)}{_weighed(why)}{_causes(why)}"
    inside += chart(drawn, "chart-why", "Time by layer, before and after", _bars(why))
    inside += chart(drawn, "chart-why-roofline", "Time against MACs; line: what this machine can reach", _roofline(why))
    inside += table("Layers side by side", _HEADS, [_row(row) for row in why.rows])
    for name, copies in why.extras.items():
        inside += f'<p class="note">Copies and reformats in {code(name)}: {", ".join(map(code, copies)) or "none"}.</p>'
    return section("why", heading, inside + _peak(why))


def _advice(why: Explanation) -> str:
    if not why.advice:
        return '<p class="absent">no change was found that would pay</p>'
    items = "".join(
        f"<li><strong>{escape(each.change)}</strong><br>{escape(each.because)}<br>"
        f'<span class="tag{" ok" if each.measured is not None else ""}">{escape(saving(each))}</span>'
        f"{f'<small> {escape(each.how)}</small>' if each.how else ''}</li>"
        for each in why.advice
    )
    return f'<h3>What would pay most</h3><ol class="advice">{items}</ol>'


def saving(advice: Advice) -> str:
    """Return what a change saves, and whether that was measured, as plain text."""
    if advice.measured is None:
        return f"estimated: at most {number(advice.saves, 'ms')}"
    between = "" if advice.low is None or advice.high is None else f" ({advice.low:.3g} to {advice.high:.3g})"
    return f"measured: {number(advice.measured, 'ms')}{between}"


def _causes(why: Explanation) -> str:
    """Where the time went that fewer MACs should have saved."""
    if not why.causes:
        return ""
    rows: list[list[str | Keyed]] = [
        [
            escape(each.name),
            Keyed(escape(number(each.milliseconds, "ms")), each.milliseconds),
            ", ".join(map(code, each.rows[:_MOST_NAMES]))
            + (f" and {len(each.rows) - _MOST_NAMES} more" if len(each.rows) > _MOST_NAMES else "")
            or NOTHING,
        ]
        for each in why.causes
    ]
    said = '<p class="note">What fewer MACs should have saved and did not; below zero: more was saved than that.</p>'
    return f"<h3>Where the time went</h3>{said}{table('Causes', ['Cause', 'Time|n', 'From'], rows)}"


def _weighed(why: Explanation) -> str:
    if not why.considered:
        return ""
    items = "".join(f"<li>{escape(each)}</li>" for each in why.considered)
    return f"<details><summary>What was weighed and would not pay</summary><ul>{items}</ul></details>"


def _row(row: Row) -> list[str | Keyed]:
    base, new = row.base, row.new
    gone = None if base is None or new is None else new.milliseconds - base.milliseconds
    tone = "same" if not gone else "better" if gone < 0 else "worse"
    sign = "" if gone is None else "+" if gone > 0 else ""
    moved = NOTHING if gone is None else f'<span class="{tone}">{sign}{escape(number(gone, "ms"))}</span>'
    attained = None if new is None else new.attained
    peak = "share of the peak not known" if attained is None else f"{100 * attained:.0f} % of the peak"
    return [
        code(row.name) + _kinds(base, new),
        _time(base),
        _time(new),
        Keyed(moved, gone),
        Keyed(_pair(base, new, "macs", "count"), None if new is None else new.macs),
        Keyed(_pair(base, new, "width", ""), None if new is None else new.width),
        Keyed(f"{escape(_bounds(base, new))}<small>{escape(peak)}</small>", attained),
        "<br>".join(map(escape, row.remarks)) or NOTHING,
    ]


def _kinds(base: Side | None, new: Side | None) -> str:
    """The operators of the layer; where they differ between the files, both."""
    sides = [", ".join(side.kinds) or "no operator" for side in (base, new) if side is not None]
    return f"<small>{escape(' → '.join(dict.fromkeys(sides)))}</small>"


def _time(side: Side | None) -> Keyed:
    return (
        Keyed("not there", None) if side is None else Keyed(escape(number(side.milliseconds, "ms")), side.milliseconds)
    )


def _pair(base: Side | None, new: Side | None, key: str, unit: str) -> str:
    values = [getattr(side, key) if side else None for side in (base, new)]
    shown = [NOTHING if value is None else number(value, unit) if unit else str(value) for value in values]
    return escape(shown[0] if shown[0] == shown[1] else f"{shown[0]} → {shown[1]}")


def _bounds(base: Side | None, new: Side | None) -> str:
    return " → ".join(dict.fromkeys(side.bound for side in (base, new) if side is not None))


def _peak(why: Explanation) -> str:
    peak = why.peak
    rows = [
        ("multiply-adds", f"{escape(number(peak.macs, 'count'))}/s"),
        ("memory", f"{escape(number(peak.bytes, 'bytes'))}/s"),
        ("an empty operator", escape(number(peak.overhead, "ms"))),
        ("threads", str(peak.threads)),
        ("how", escape(peak.how)),
        ("measured with", escape(why.conditions.describe())),
        ("whole run", escape(f"{number(why.base_ms, 'ms')} → {number(why.new_ms, 'ms')}")),
    ]
    return f"<details><summary>What this machine was measured to reach</summary>{definitions(rows)}</details>"


def _bars(why: Explanation) -> Figure | None:
    """The layers that take longest, both files' bars under each other."""
    longest = sorted(why.rows, key=lambda row: -max(_of(row.base), _of(row.new)))[:_MOST_BARS]
    if not longest:
        return None
    names = [label(row.name, 34) for row in longest]
    hover = [label(row.name, 90) for row in longest]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": list(range(len(longest))),
            "x": [side.milliseconds if side else None for side in sides],
            "customdata": hover,
            "hovertemplate": f"%{{customdata}}<br>{name}: %{{x:.4g}} ms<extra></extra>",
            "marker": {"color": colour},
        }
        for name, colour, sides in (
            ("before", "$before", [row.base for row in longest]),
            ("after", "$after", [row.new for row in longest]),
        )
    ]
    layout = {
        "height": 100 + 32 * len(longest),
        "margin": {"l": 10, "r": 20, "t": 30, "b": 45},
        "barmode": "group",
        "bargap": 0.25,
        "xaxis": {"title": title("ms in a run")},
        "yaxis": {
            "autorange": "reversed",
            "automargin": True,
            "tickvals": list(range(len(longest))),
            "ticktext": [f"{name}  " for name in names],
            "showgrid": False,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
    }
    return {"data": traces, "layout": layout}


def _of(side: Side | None) -> float:
    return side.milliseconds if side else 0.0


def _roofline(why: Explanation) -> Figure | None:
    """Milliseconds over MACs of every layer, and the least time that the peak allows for so many MACs."""
    traces = []
    every: list[float] = []
    for name, colour, sides in (
        ("before", "$before", [(row.name, row.base) for row in why.rows]),
        ("after", "$after", [(row.name, row.new) for row in why.rows]),
    ):
        usable = [(layer, side.macs, side) for layer, side in sides if side and side.macs and side.milliseconds > 0]
        every += [macs for _, macs, _ in usable]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [macs for _, macs, _ in usable],
                "y": [side.milliseconds for _, _, side in usable],
                "customdata": [f"{label(layer, 60)}<br>bound by {side.bound}" for layer, _, side in usable],
                "hovertemplate": "%{customdata}<br>%{x:.4s} MACs, %{y:.4g} ms<extra>" + name + "</extra>",
                "marker": {"color": colour, "size": 9, "opacity": 0.85},
            }
        )
    if not every or why.peak.macs <= 0:
        return None
    traces.append(_limit(why.peak, _overhead(why), min(every), max(every)))
    layout = {
        "height": 360,
        "margin": {"l": 65, "r": 15, "t": 30, "b": 50},
        "hovermode": "closest",
        "xaxis": {"title": title("MACs (log)"), "type": "log", "exponentformat": "SI", "dtick": "D2"},
        "yaxis": {
            "title": title("ms in a run (log)"),
            "type": "log",
            "exponentformat": "none",
            "dtick": "D2",
            "automargin": True,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}


def _overhead(why: Explanation) -> float:
    """Milliseconds of an operator with next to nothing to do, of the kind that most layers with MACs are."""
    kinds = Counter(
        side.kinds[0] for row in why.rows for side in (row.base, row.new) if side and side.macs and side.kinds
    )
    kind = kinds.most_common(1)[0][0] if kinds else ""
    return why.peak.overheads.get(kind, why.peak.overhead)


def _limit(peak: Peak, overhead: float, low: float, high: float) -> Figure:
    steps = 40
    xs = [low * (high / low) ** (index / steps) for index in range(steps + 1)] if high > low else [low / 2, low * 2]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "peak and overhead",
        "x": xs,
        "y": [overhead + macs / peak.macs * 1000 for macs in xs],
        "line": {"color": "$third", "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }
