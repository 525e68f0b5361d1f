"""Pruning spaces: for every regime the distributions of errors, and errors over the ratio of MACs to parameters."""

from __future__ import annotations

from itertools import accumulate

from deploy.report.charts import LEGEND, Figure, title
from deploy.report.markup import Keyed, chart, missing, section, table
from deploy.report.schema import Regime, Report
from deploy.report.text import NOTHING, code, escape, number, pairs

_INITIAL, _REFINED = "whole space", "refined space"


def spaces_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the pruning spaces."""
    heading = "Pruning spaces"
    found = report.spaces
    if found is None or not found.regimes:
        return section("spaces", heading, missing(report, "spaces", "no space was searched", name="spaces"))
    heads = ["Regime|n", "Recipes|n", "Mean error|n", "Lowest|n", "Refined|n", "Mean error|n", "Lowest|n", "Plans"]
    dense = (
        "" if found.dense_error is None else f" The whole network's is {escape(number(found.dense_error, 'share'))}."
    )
    note = (
        '<p class="note">Errors are those after a short training that is the same for all recipes: they compare '
        f"recipes, and are not what a longer training reaches.{dense}</p>"
    )
    how = f"<details><summary>how it was searched</summary>{pairs(found.settings)}</details>" if found.settings else ""
    parts = [table("Regimes", heads, [_row(regime) for regime in found.regimes]), note, how]
    parts += [_shown(regime, place, drawn) for place, regime in enumerate(found.regimes)]
    return section("spaces", heading, "".join(parts))


def _row(regime: Regime) -> list[str | Keyed]:
    cells: list[str | Keyed] = [Keyed(escape(number(regime.share, "share")), regime.share)]
    for errors in (regime.initial_errors, regime.refined_errors):
        mean = sum(errors) / len(errors) if errors else None
        cells.append(Keyed(str(len(errors)), len(errors)))
        cells.append(Keyed(escape(number(mean, "share")), mean))
        cells.append(Keyed(escape(number(min(errors, default=None), "share")), min(errors, default=None)))
    files = [f"{escape(name)} {code(file)}" for name, file in regime.plans.items()]
    return [*cells, "<br>".join(files) or NOTHING]


def _shown(regime: Regime, place: int, drawn: dict[str, Figure]) -> str:
    share = escape(number(regime.share, "share"))
    parts = [
        chart(
            drawn, f"chart-spaces-{place}", f"Share of recipes below an error, at {share} of the MACs", _steps(regime)
        ),
        chart(
            drawn, f"chart-ratios-{place}", f"Error over MACs per parameter, at {share} of the MACs", _ratios(regime)
        ),
    ]
    said = [text for text in (regime.held_out, regime.refinement, regime.why) if text]
    parts += [f'<p class="note">{escape(text)}</p>' for text in said]
    if regime.buckets:
        heads = ["MACs per parameter", "Recipes|n", "Mean error|n", "Lowest|n"]
        rows: list[list[str | Keyed]] = [
            [
                Keyed(f"{bucket.low:.4g} to {bucket.high:.4g}", bucket.low),
                Keyed(str(bucket.recipes), bucket.recipes),
                Keyed(escape(number(bucket.mean_error, "share")), bucket.mean_error),
                Keyed(escape(number(bucket.best_error, "share")), bucket.best_error),
            ]
            for bucket in regime.buckets
        ]
        parts.append(table(f"Buckets at {share} of the MACs", heads, rows))
    return f"<h3>{share} of the MACs</h3>{''.join(parts)}"


def _steps(regime: Regime) -> Figure:
    """Step functions of both populations: the further left, the better."""
    traces = [
        _distribution(name, errors, colour)
        for name, errors, colour in (
            (_INITIAL, regime.initial_errors, "$before"),
            (_REFINED, regime.refined_errors, "$after"),
        )
        if errors
    ]
    layout = {
        "height": 340,
        "margin": {"l": 60, "r": 15, "t": 40, "b": 50},
        "xaxis": {"title": title("error"), "tickformat": ".1%"},
        "yaxis": {"title": title("share of recipes"), "range": [0, 1.03], "tickformat": ".0%"},
        "legend": LEGEND,
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}


def _distribution(name: str, errors: list[float], colour: str) -> Figure:
    ascending = sorted(errors)
    heights = list(accumulate(1 / len(ascending) for _ in ascending))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"{name} ({len(errors)})",
        "x": [ascending[0], *ascending],
        "y": [0.0, *heights],
        "line": {"shape": "hv", "color": colour, "width": 2},
        "hovertemplate": "%{y:.0%} have an error of at most %{x:.2%}<extra></extra>",
    }


def _ratios(regime: Regime) -> Figure:
    """Every recipe, the mean of every bucket, and the band that the refined space keeps."""
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": ratios,
            "y": errors,
            "marker": {"color": colour, "size": 7, "symbol": symbol},
            "hovertemplate": "%{x:.4g} MACs per parameter<br>error %{y:.2%}<extra></extra>",
        }
        for name, ratios, errors, colour, symbol in (
            (_INITIAL, regime.initial_ratios, regime.initial_errors, "$before", "circle-open"),
            (_REFINED, regime.refined_ratios, regime.refined_errors, "$after", "circle"),
        )
        if errors
    ]
    if regime.buckets:
        traces.append(_means(regime))
    shapes = []
    if len(regime.band) == 2:
        low, high = regime.band
        band = {"type": "rect", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1, "line": {"width": 0}}
        shapes.append({**band, "fillcolor": "$after", "opacity": 0.12, "layer": "below"})
    layout = {
        "height": 360,
        "margin": {"l": 60, "r": 15, "t": 40, "b": 50},
        "xaxis": {"title": title("MACs per parameter")},
        "yaxis": {"title": title("error"), "tickformat": ".1%"},
        "shapes": shapes,
        "legend": LEGEND,
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}


def _means(regime: Regime) -> Figure:
    """The mean of every bucket as a line over its width."""
    places: list[float | None] = []
    heights: list[float | None] = []
    for bucket in regime.buckets:
        places += [bucket.low, bucket.high, None]
        heights += [bucket.mean_error, bucket.mean_error, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "mean of a bucket",
        "x": places,
        "y": heights,
        "line": {"color": "$third", "width": 3},
        "hovertemplate": "mean error %{y:.2%}<extra></extra>",
    }
