"""The charts of a report, as plain Plotly figures. Colours are names that the page's script looks up in its theme."""

from __future__ import annotations

import math
from typing import Any

from deploy.records import Comparison, Profile, Verdict
from deploy.report.schema import FigureRow, LayerRow
from deploy.report.text import change, label, number

Figure = dict[str, Any]

SERIES = ("$before", "$after", "$third", "$fourth", "$fifth")
_BINS = 80
_MOST_TICKS = 16


def ratios(rows: list[FigureRow]) -> Figure | None:
    """Bars of after / before for every figure that has both; 1 is unchanged."""
    shown = [row for row in rows if _ratio(row) is not None]
    if not shown:
        return None
    values = [_ratio(row) or 0.0 for row in shown]
    colours = [_colour(row) for row in shown]
    texts = [f"\N{NO-BREAK SPACE} {change(row.before, row.after, row.unit)}" for row in shown]
    hover = [label(f"{number(row.before, row.unit)} → {number(row.after, row.unit)}", 80) for row in shown]
    names = [label(row.name) for row in shown]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(shown))),
        "x": values,
        "text": texts,
        "textposition": "outside",
        "cliponaxis": False,
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {"color": colours},
    }
    layout = {
        "height": 70 + 34 * len(shown),
        "margin": {"l": 10, "r": 20, "t": 10, "b": 40},
        "yaxis": {
            "autorange": "reversed",
            "automargin": True,
            "tickvals": list(range(len(shown))),
            "ticktext": [f"{name}  " for name in names],
            "showgrid": False,
        },
        "xaxis": {"title": title("after / before"), "range": [0, max(1.4, 1.3 * max(values))], "zeroline": False},
        "shapes": [_line("x", 1.0, "$ink")],
        "bargap": 0.35,
    }
    return {"data": [bars], "layout": layout}


def widths(layers: list[LayerRow]) -> Figure | None:
    """Bars of every layer's width before, and in front of them after."""
    shown = [layer for layer in layers if layer.width_before is not None and layer.width_after is not None]
    if not shown:
        return None
    places = list(range(len(shown)))
    names = [label(layer.name, 80) for layer in shown]
    step = max(1, math.ceil(len(shown) / _MOST_TICKS))
    before = _bars("before", places, [layer.width_before for layer in shown], names, "$before-soft", 0.86)
    after = _bars("after", places, [layer.width_after for layer in shown], names, "$after", 0.54)
    layout = {
        "height": 340,
        "barmode": "overlay",
        "margin": {"l": 50, "r": 10, "t": 30, "b": 20},
        "xaxis": {
            "tickvals": places[::step],
            "ticktext": [label(layer.name, 22) for layer in shown[::step]],
            "tickangle": -50,
            "automargin": True,
            "showgrid": False,
        },
        "yaxis": {"title": title("channels"), "rangemode": "tozero"},
        "legend": LEGEND,
    }
    return {"data": [before, after], "layout": layout}


def latencies(profiles: list[Profile]) -> Figure | None:
    """Histograms of the latencies of every profile, cut off where the tails are thin."""
    if not profiles:
        return None
    low = min(min(profile.samples) for profile in profiles)
    # A few stalls of the machine would otherwise squeeze everything that matters into the first bin.
    high = max(min(profile.p99.value, 1.3 * profile.p90.value) for profile in profiles)
    if not high > low:
        high = low * 1.01 + 1e-6
    traces = [
        _histogram(label(profile.file.name), profile.samples, low, high, SERIES[index % len(SERIES)])
        for index, profile in enumerate(profiles)
    ]
    marks = [
        _line("x", profile.p50.value, SERIES[index % len(SERIES)], dash="dot") for index, profile in enumerate(profiles)
    ]
    layout = {
        "height": 310 + 10 * len(profiles),
        "margin": {"l": 55, "r": 10, "t": 30, "b": 45},
        "xaxis": {"title": title("latency in ms (dotted: median)"), "range": [low, high], "showgrid": False},
        "yaxis": {"title": title("share of runs"), "tickformat": ".0%", "rangemode": "tozero"},
        "shapes": marks,
        "legend": LEGEND,
    }
    return {"data": traces, "layout": layout}


def paired(comparison: Comparison) -> Figure | None:
    """Histogram of the paired time ratios, with the median's interval as a band."""
    ordered = sorted(comparison.ratios)
    if len(ordered) < 2:
        return None
    middle = comparison.ratio
    # Pairs that a stall of the machine hit are far out; the middle nine tenths, widened, show the shape.
    fifth, other = ordered[int(0.05 * len(ordered))], ordered[int(0.95 * (len(ordered) - 1))]
    low = max(min(2 * fifth - middle, 0.98 * middle), 0.5 * middle)
    high = min(max(2 * other - middle, 1.02 * middle), 2 * middle)
    shapes = [_line("x", comparison.ratio, "$after")]
    if low <= 1.0 <= high:
        shapes.append(_line("x", 1.0, "$ink", dash="dot"))
    if comparison.ratio_low is not None and comparison.ratio_high is not None:
        shapes.append(_band("x", comparison.ratio_low, comparison.ratio_high))
    layout = {
        "height": 280,
        "margin": {"l": 55, "r": 10, "t": 10, "b": 45},
        "xaxis": {
            "title": title("time of new / time of base, pair by pair"),
            "range": [low, high],
            "showgrid": False,
        },
        "yaxis": {"title": title("share of pairs"), "tickformat": ".0%", "rangemode": "tozero"},
        "shapes": shapes,
        "showlegend": False,
    }
    return {"data": [_histogram("pairs", ordered, low, high, "$after")], "layout": layout}


def funnel(verdict: Verdict) -> Figure | None:
    """The sequential test: bounds of the slow-down at every look, and the tolerance."""
    looks = [look for look in verdict.looks if look.low is not None and look.high is not None]
    if not looks:
        return None
    pairs = [look.pairs for look in looks]
    band = {
        "type": "scatter",
        "mode": "lines",
        "name": "bounds",
        "x": pairs + pairs[::-1],
        "y": [look.high for look in looks] + [look.low for look in reversed(looks)],
        "fill": "toself",
        "fillcolor": "$after-soft",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    middle = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "median slow-down",
        "x": pairs,
        "y": [look.slowdown for look in looks],
        "line": {"color": "$after", "width": 2},
        "marker": {"color": "$after", "size": 5},
        "hovertemplate": "%{x} pairs<br>%{y:.2%}<extra></extra>",
    }
    layout = {
        "height": 300,
        "margin": {"l": 60, "r": 10, "t": 30, "b": 45},
        "xaxis": {"title": title("pairs measured"), "type": "log", "showgrid": False, **_doublings(pairs)},
        "yaxis": {"title": title("slow-down"), "tickformat": "+.1~%", "zeroline": True},
        "shapes": [_line("y", verdict.tolerance, "$worse", dash="dash")],
        "annotations": [
            {
                "xref": "paper",
                "x": 1,
                "y": verdict.tolerance,
                "xanchor": "right",
                "yanchor": "bottom",
                "text": "tolerance",
                "showarrow": False,
                "font": {"color": "$worse"},
            }
        ],
        "legend": LEGEND,
    }
    return {"data": [band, middle], "layout": layout}


LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def _ratio(row: FigureRow) -> float | None:
    if row.before is None or row.after is None or not math.isfinite(row.before) or not math.isfinite(row.after):
        return None
    return row.after / row.before if row.before > 0 and row.after >= 0 else None


def _colour(row: FigureRow) -> str:
    """Colour by what changed; less than 1 % is no news, except of a share, where it may be points of accuracy."""
    ratio = _ratio(row) or 0.0
    if row.once or ratio == 1.0 or (row.unit != "share" and abs(ratio - 1.0) < 0.01):
        return "$before"
    return "$after" if (ratio < 1.0) == (row.better == "lower") else "$worse"


def _bars(
    name: str, places: list[int], values: list[int | None], names: list[str], colour: str, width: float
) -> Figure:
    return {
        "type": "bar",
        "name": name,
        "x": places,
        "y": values,
        "width": width,
        "customdata": names,
        "hovertemplate": f"%{{customdata}}<br>{name}: %{{y}} channels<extra></extra>",
        "marker": {"color": colour, "line": {"width": 0}},
    }


def _histogram(name: str, values: list[float], low: float, high: float, colour: str) -> Figure:
    width = (high - low) / _BINS
    counts = [0] * _BINS
    for value in values:
        if low <= value <= high:
            counts[min(int((value - low) / width), _BINS - 1)] += 1
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [round(low + (index + 0.5) * width, 9) for index in range(_BINS)],
        "y": [count / len(values) for count in counts],
        "line": {"shape": "hvh", "width": 1.5, "color": colour},
        "fill": "tozeroy",
        "hovertemplate": "%{x:.4g}: %{y:.1%}<extra></extra>",
    }


def _line(axis: str, value: float, colour: str, dash: str = "solid") -> Figure:
    across = {"yref": "paper", "y0": 0, "y1": 1, "x0": value, "x1": value}
    along = {"xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value}
    place = across if axis == "x" else along
    return {"type": "line", "line": {"color": colour, "width": 1.2, "dash": dash}, **place}


def _band(axis: str, low: float, high: float) -> Figure:
    place = {f"{axis}0": low, f"{axis}1": high, "yref": "paper", "y0": 0, "y1": 1}
    return {"type": "rect", "fillcolor": "$after-soft", "line": {"width": 0}, "layer": "below", **place}


def title(text: str) -> Figure:
    """Return an axis title; ``text`` is ours, or went through :func:`deploy.report.text.label`."""
    return {"text": text, "font": {"size": 13}}


def _doublings(pairs: list[int]) -> Figure:
    ticks = [pairs[0]]
    while ticks[-1] * 2 <= pairs[-1]:
        ticks.append(ticks[-1] * 2)
    ticks = ticks[:: max(1, math.ceil(len(ticks) / 8))]
    return {"tickvals": ticks, "ticktext": [str(tick) for tick in ticks]}
