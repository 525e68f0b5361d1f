"""Charts of configurations: accuracy over a cost with its front, and what a point says of itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

from deploy.report.charts import LEGEND, Figure, title
from deploy.report.panels import COSTS, Panel
from deploy.report.schema import Point
from deploy.report.text import flat, label, number, value_text

AXES = {"latency": ("latency p50 in ms", 1.0), "size": ("file size in MB", 1e-6)}
_HOVERED = ("accuracy", "latency", "size", "MACs")


def facts(point: Point) -> Iterator[tuple[str, str]]:
    """Yield what is known about a point as plain name and value, its configuration included."""
    latency = point.latency
    yield "configuration", point.name
    yield "device", point.target
    on = f" ({', '.join(part for part in (point.metric, point.data and f'on {point.data}') if part)})"
    known = {
        "accuracy": None if point.accuracy is None else number(point.accuracy, "share") + (on if on != " ()" else ""),
        "latency": None
        if latency is None
        else f"p50 {number(latency.value, 'ms')}{_between(latency.low, latency.high)}",
        "size": None if point.size is None else number(point.size, "bytes"),
        "macs": None if point.macs is None else number(point.macs, "count"),
        "params": None if point.params is None else number(point.params, "count"),
    }
    for key, value in known.items():
        name = {"macs": "MACs", "params": "parameters"}.get(key, key)
        yield name, value or f"unknown: {point.missing.get(key, 'not given')}"
    if point.conditions:
        yield "measured with", point.conditions.describe()
    yield from ((name, value_text(value)) for name, value in flat(point.configuration))


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"


def against(panel: Panel, cost: str, front: list[int], card: str) -> Figure | None:
    """Accuracy over one cost, the front as a staircase; nothing where no point has both."""
    price, (axis, scale) = COSTS[cost], AXES[cost]
    places = {
        index: (value * scale, accuracy)
        for index, point in enumerate(panel.points)
        if (value := price(point)) is not None and (accuracy := panel.accuracy(point)) is not None
    }
    if not places:
        return None
    stairs = [places[index] for index in front]
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "front",
        "x": [x for x, _ in stairs],
        "y": [y for _, y in stairs],
        "line": {"shape": "hv", "color": "$after", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
    }
    traces = [line] if len(front) > 1 else []
    for kind, mine in _by_kind(panel, list(places), front).items():
        trace = _marks(panel, kind, {index: places[index] for index in mine})
        if cost == "latency":
            trace["error_x"] = _intervals([panel.points[index] for index in mine])
        traces.append(trace)
    return _figure(panel, traces, [x for x, _ in places.values()], axis, card)


def costs(panel: Panel, card: str) -> Figure | None:
    """Latency over file size, where no accuracy is known."""
    places = {
        index: (point.size * AXES["size"][1], point.latency.value)
        for index, point in enumerate(panel.points)
        if point.size is not None and point.latency is not None
    }
    if len(places) < 2:
        return None
    made = _figure(panel, [_marks(panel, "dominated", places)], [x for x, _ in places.values()], AXES["size"][0], card)
    made["layout"]["yaxis"] = {"title": title("latency p50 in ms"), "rangemode": "tozero"}
    made["layout"]["showlegend"] = False
    return made


_LOOKS = {
    "baseline": {"symbol": "diamond", "size": 13, "color": "$third"},
    "not dominated": {"symbol": "circle", "size": 12, "color": "$after"},
    "dominated": {"symbol": "circle-open", "size": 11, "color": "$before", "line": {"width": 2}},
}


def _by_kind(panel: Panel, places: list[int], front: list[int]) -> dict[str, list[int]]:
    """Return the points by how they are drawn; kinds without points are left out."""
    found: dict[str, list[int]] = {kind: [] for kind in _LOOKS}
    for index in places:
        baseline = panel.points[index].role == "baseline"
        found["baseline" if baseline else "not dominated" if index in front else "dominated"].append(index)
    return {kind: mine for kind, mine in found.items() if mine}


def _marks(panel: Panel, kind: str, places: dict[int, tuple[float, float]]) -> Figure:
    points = [panel.points[index] for index in places]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": kind,
        "x": [round(x, 9) for x, _ in places.values()],
        "y": [y for _, y in places.values()],
        "customdata": list(places),
        "text": [f" {index + 1} " for index in places],
        "textposition": "top right",
        "cliponaxis": False,
        "hovertext": [_hover(point) for point in points],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": _LOOKS[kind],
        "unselected": {"marker": {"opacity": 0.35}, "textfont": {"color": "$before"}},
    }


def _intervals(points: list[Point]) -> Figure:
    def away(bound: float | None, value: float) -> float:
        return 0.0 if bound is None else abs(bound - value)

    known = [point.latency for point in points if point.latency]
    return {
        "type": "data",
        "symmetric": False,
        "array": [away(each.high, each.value) for each in known],
        "arrayminus": [away(each.low, each.value) for each in known],
        "thickness": 1,
        "width": 3,
        "color": "$before",
    }


def _hover(point: Point) -> str:
    """Return the point's figures as lines for Plotly, which reads a little HTML: names are escaped by ``label``.

    The card under the charts shows the whole configuration; here it would hide the chart.
    """
    # A setting of the configuration may be called as a figure is; the figure comes first.
    known = dict(reversed(list(facts(point))))
    lines = [label(point.name, 40), *(f"{name}: {label(known[name], 48)}" for name in _HOVERED)]
    return "<br>".join(lines)


def _figure(panel: Panel, traces: list[Figure], xs: list[float], axis: str, card: str) -> Figure:
    low, high = min(xs), max(xs)
    wide = low > 0 and high / low > 30
    pad = 0.14 * (high - low) or 0.1 * high or 1.0
    limits = [math.log10(low) - 0.15, math.log10(high) + 0.15] if wide else [max(0.0, low - pad), high + pad]
    metric = panel.basis()[0]
    layout = {
        "height": 360,
        "margin": {"l": 60, "r": 15, "t": 40, "b": 50},
        "hovermode": "closest",
        "xaxis": {
            "title": title(axis + (" (log)" if wide else "")),
            "type": "log" if wide else "linear",
            "range": limits,
        },
        "yaxis": {
            "title": title(label(f"accuracy ({metric})" if metric else "accuracy")),
            "tickformat": ".1~%",
            "automargin": True,
        },
        "legend": LEGEND,
        "showlegend": True,
    }
    rows = [[[sayable(name), sayable(value)] for name, value in facts(point)] for point in panel.points]
    return {"data": traces, "layout": layout, "details": {"card": card, "rows": rows}}


def sayable(text: str) -> str:
    """Return text for the page's script, which writes it as text: nothing is escaped, lone surrogates are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
