"""A sensitivity scan as one self-contained HTML page: a heat map of groups against keep ratios, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compress.damage import Point, Sensitivity

_ROW = 20  # height of a row of the heat map, in pixels


def render(scan: Sensitivity, name: str) -> str:
    """Return the page for the network called ``name``. Raises :class:`UnavailableError` where plotly is missing."""
    from deploy.report.markup import chart, definitions, section, table
    from deploy.report.page import COMPLETE, document, drawing
    from deploy.report.text import code, escape

    rows = by_group(scan.points)
    drawn: dict[str, Any] = {}
    first = escape(scan.measured[0].upper() + scan.measured[1:])
    settings = [
        (escape(key.replace("_", " ")), code(_listed(value))) for key, value in scan.settings.items() if _said(value)
    ]
    whole = [(escape(f"{key}, nothing cut"), escape(f"{value:.4g}")) for key, value in scan.whole.items()]
    if scan.settings["data"] is None:
        whole = []  # the outputs' change from themselves
    heads = ["group", "kind", "channels|n", "kept|n", "MACs left|n", "damage|n", "measured"]
    body = "\n".join(
        [
            section(
                "scan",
                "What was measured",
                f"<p>{first}. Each cut is made alone, nothing is trained or estimated anew; damages do not simply add "
                f"up.</p>{definitions([*whole, *settings])}",
            ),
            section("map", "Damage by group", chart(drawn, "chart-damage", "Damage by share kept", heat_map(rows))),
            section(
                "points",
                "Every cut",
                table("Every cut", heads, [_cells(point) for points in rows.values() for point in points]),
            ),
        ]
    )
    title = f"Sensitivity of {name}"
    head = f'<p class="eyebrow">{escape(title)}</p>\n<h1>{len(rows)} widths, {len(scan.points)} cuts</h1>'
    inside = f"<header>\n{head}\n</header>\n{body}\n<footer>{COMPLETE}</footer>"
    return document(title, inside, scripts=drawing(drawn))


def by_group(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each group, in graph order."""
    rows: dict[str, list[Point]] = {}
    for point in points:
        rows.setdefault(point.group, []).append(point)
    return rows


def heat_map(rows: dict[str, list[Point]]) -> dict[str, Any]:
    """A line of cells for each group: which share is kept, and the damage as the colour."""
    from deploy.report.text import label

    columns = max(len(points) for points in rows.values())
    padded = [[*points, *[None] * (columns - len(points))] for points in rows.values()]
    heat = {
        "type": "heatmap",
        "z": [[point.damage if point else None for point in points] for points in padded],
        "text": [[f"{point.kept}/{point.width}" if point else "" for point in points] for points in padded],
        "texttemplate": "%{text}",
        "customdata": [[_hover(point) if point else "" for point in points] for points in padded],
        "hovertemplate": "%{customdata}<extra></extra>",
        "colorscale": [[0, "$card"], [1, "$worse"]],
        "colorbar": {"title": {"text": "damage"}, "thickness": 12},
        "xgap": 2,
        "ygap": 2,
    }
    layout = {
        "height": 90 + _ROW * len(rows),
        "margin": {"l": 10, "r": 10, "t": 10, "b": 40},
        "yaxis": {
            "autorange": "reversed",
            "automargin": True,
            "tickvals": list(range(len(rows))),
            "ticktext": [f"{label(name, 40)}  " for name in rows],
            "showgrid": False,
        },
        "xaxis": {
            "title": {"text": "channels kept / channels, narrower to the right"},
            "showticklabels": False,
            "ticks": "",
        },
    }
    return {"data": [heat], "layout": layout}


def _said(value: object) -> bool:
    return value is not None and value != []


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _hover(point: Point) -> str:
    from deploy.report.text import label

    figures = ", ".join(f"{name} {value:.4g}" for name, value in point.figures.items())
    return f"{label(point.group, 60)}<br>{point.kept} of {point.width}: damage {point.damage:.4g}<br>{figures}"


def _cells(point: Point) -> tuple[str, ...]:
    from deploy.report.text import code, escape

    figures = ", ".join(f"{name} {value:.4g}" for name, value in point.figures.items())
    return (
        code(point.group),
        escape(point.kind),
        str(point.width),
        str(point.kept),
        f"{100 * point.macs:.1f} %",
        f"{point.damage:.4f}",
        escape(figures),
    )
