"""The front of a search: every candidate's loss over its predicted cost, a card for the chosen one, a table."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.report.charts import LEGEND, Figure, title
from deploy.report.markup import Keyed, chart, missing, section, table
from deploy.report.pareto import sayable
from deploy.report.schema import Report, Search, Trial
from deploy.report.text import NOTHING, code, escape, flat, label, number, pairs, value_text

_CARD = "search-card"
_OTHERS = "other candidates"


def search_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the search."""
    heading = "The front of the search"
    found = report.search
    if found is None or not found.trials:
        return section("search", heading, missing(report, "search", "no search was made", name="search"))
    front = [trial for trial in found.trials if trial.not_dominated]
    caption = f"Loss by shared weights against predicted {escape(found.cost)}"
    shown = chart(drawn, "chart-search", caption, _figure(found, front))
    hint = (
        "Point at a candidate of the front in the chart to see it here; click, or choose its number below, to keep it."
    )
    card = f'<div class="card" id="{_CARD}" role="status"><p class="quiet">{hint}</p></div>'
    heads = ["Trial", "Loss|n", f"Predicted {escape(found.cost)}|n", "Of the whole|n", "Final model", "Measured p50|n"]
    rows = [_row(found, trial, index) for index, trial in enumerate(front)]
    note = (
        '<p class="note">The loss is what the shared weights of all candidates give on held-out samples: it ranks '
        "candidates, and is not what a final model reaches after its own training.</p>"
    )
    how = pairs({**found.settings, **found.throughput})
    how = f"<details><summary>how it was searched</summary>{how}</details>" if how else ""
    return section("search", heading, f"{shown}{card}{table('The front', heads, rows)}{note}{how}")


def _row(found: Search, trial: Trial, index: int) -> list[str | Keyed]:
    name = f'<button type="button" class="pick" data-card="{_CARD}" data-row="{index}">{trial.number}</button>'
    share = trial.cost / found.dense if found.dense else None
    return [
        Keyed(name, trial.number),
        Keyed(f"{trial.loss:.4f}", trial.loss),
        Keyed(escape(number(trial.cost, found.unit)), trial.cost),
        Keyed(escape(number(share, "share")), share),
        code(trial.final) if trial.final else NOTHING,
        Keyed(escape(number(trial.measured, "ms")), trial.measured),
    ]


def _figure(found: Search, front: list[Trial]) -> Figure:
    others = [trial for trial in found.trials if not trial.not_dominated]
    stairs = {
        "type": "scatter",
        "mode": "lines",
        "name": "front",
        "x": [trial.cost for trial in front],
        "y": [trial.loss for trial in front],
        "line": {"shape": "hv", "color": "$after", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
    }
    made = [index for index, trial in enumerate(front) if trial.final]
    left = [index for index, trial in enumerate(front) if not trial.final]
    traces = [
        stairs,
        _marks(found, _OTHERS, others, None, {"symbol": "circle-open", "size": 7, "color": "$before"}),
        _marks(found, "not dominated", front, left, {"symbol": "circle", "size": 10, "color": "$after"}),
        _marks(found, "final model made", front, made, {"symbol": "star", "size": 14, "color": "$third"}),
    ]
    if found.dense_loss is not None:
        whole = Trial(number=0, loss=found.dense_loss, cost=found.dense)
        looks = {"symbol": "diamond", "size": 12, "color": "$fourth"}
        traces.append(_marks(found, "whole network", [whole], None, looks))
    layout = {
        "height": 420,
        "margin": {"l": 60, "r": 15, "t": 40, "b": 50},
        "hovermode": "closest",
        "xaxis": {
            "title": title(f"predicted {label(found.cost)} in {'MACs' if found.unit == 'count' else found.unit}")
        },
        "yaxis": {"title": title("loss by shared weights"), "automargin": True},
        "legend": LEGEND,
        "showlegend": True,
    }
    rows = [[[sayable(name), sayable(value)] for name, value in _facts(found, trial)] for trial in front]
    return {
        "data": [trace for trace in traces if trace["x"]],
        "layout": layout,
        "details": {"card": _CARD, "rows": rows},
    }


def _marks(found: Search, name: str, trials: list[Trial], chosen: list[int] | None, looks: Figure) -> Figure:
    """Marks of all ``trials``, or of the ``chosen`` ones of the front, which have a card."""
    shown = trials if chosen is None else [trials[index] for index in chosen]
    trace: Figure = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [trial.cost for trial in shown],
        "y": [trial.loss for trial in shown],
        "hovertext": [f"{_hover(found, trial)}" for trial in shown],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": looks,
    }
    if chosen is not None:
        trace |= {"customdata": chosen, "unselected": {"marker": {"opacity": 0.35}}}
    return trace


def _hover(found: Search, trial: Trial) -> str:
    return f"trial {trial.number}<br>loss {trial.loss:.4f}<br>{label(found.cost)} {number(trial.cost, found.unit)}"


def _facts(found: Search, trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield what is known about a candidate as plain name and value."""
    yield "trial", str(trial.number)
    yield "loss", f"{trial.loss:.4f}"
    yield f"predicted {found.cost}", number(trial.cost, found.unit)
    yield "final model", trial.final or "not made"
    if trial.measured is not None:
        yield "measured", number(trial.measured, "ms")
    yield from ((name, value_text(value)) for name, value in flat(trial.configuration))
