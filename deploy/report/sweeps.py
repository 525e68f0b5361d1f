"""How throughput goes with batch size and threads, and medians of several devices: charts."""

from __future__ import annotations

from collections.abc import Callable

from deploy.records import Profile
from deploy.report.charts import LEGEND, SERIES, Figure, title
from deploy.report.markup import chart
from deploy.report.panels import Group
from deploy.report.text import label

_SWEPT: dict[str, Callable[[Profile], int]] = {
    "batch": lambda profile: profile.conditions.batch,
    "threads": lambda profile: profile.conditions.threads,
}
_MOST_LINES = 12
_DASHES = ("solid", "dash", "dot", "dashdot")


def html(profiles: list[Profile], place: int, drawn: dict[str, Figure]) -> str:
    """Return a chart for each of batch and threads that was measured at more than one value."""
    parts = []
    for name, value in _SWEPT.items():
        if len({value(profile) for profile in profiles}) > 1:
            figure = throughput(profiles, name)
            parts.append(f"<div>{chart(drawn, f'chart-{name}-{place}', f'Throughput over {name}', figure)}</div>")
    return f'<div class="pair-of-charts">{"".join(parts)}</div>' if parts else ""


def throughput(profiles: list[Profile], along: str) -> Figure | None:
    """Throughput over ``batch`` or ``threads``: a line for every file, runtime and value of the other one."""
    value = _SWEPT[along]
    other = next(name for name in _SWEPT if name != along)
    lines: dict[str, list[Profile]] = {}
    colours: dict[str, str] = {}
    dashes: dict[int, str] = {}
    several = len({profile.conditions.runtime for profile in profiles}) > 1
    varied = len({_SWEPT[other](profile) for profile in profiles}) > 1
    for profile in profiles:
        name = label(profile.file.name)
        name += f", {label(profile.conditions.runtime)}" if several else ""
        name += f", {other} {_SWEPT[other](profile)}" if varied else ""
        lines.setdefault(name, []).append(profile)
        colours.setdefault(profile.file.name, SERIES[len(colours) % len(SERIES)])
        dashes.setdefault(_SWEPT[other](profile), _DASHES[len(dashes) % len(_DASHES)])
    drawn = {name: sorted(line, key=value) for name, line in lines.items() if len(line) > 1}
    if not drawn:
        return None
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [value(profile) for profile in line],
            "y": [profile.throughput for profile in line],
            "line": {"color": colours[line[0].file.name], "dash": dashes[_SWEPT[other](line[0])]},
            "hovertemplate": f"{name}<br>{along} %{{x}}: %{{y:.4g}} /s<extra></extra>",
        }
        for name, line in list(drawn.items())[:_MOST_LINES]
    ]
    ticks = sorted({value(profile) for profile in profiles})
    layout = {
        "height": 330 + 9 * len(traces),
        "margin": {"l": 65, "r": 15, "t": 30, "b": 45},
        "xaxis": {"title": title(along), "type": "log", "tickvals": ticks, "ticktext": [str(tick) for tick in ticks]},
        "yaxis": {"title": title("samples per second"), "rangemode": "tozero"},
        "legend": LEGEND,
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}


def devices(found: list[Group], files: list[str]) -> Figure | None:
    """Bars of the median latency: a bundle for every device and condition, a bar for every file."""
    several = len({group.title for group in found}) > 1
    names = [f"{label(group.target, 20)}{f'<br>{label(group.title, 40)}' if several else ''}" for group in found]
    traces: list[Figure] = []
    for index, name in enumerate(files):
        medians = [next((each.p50.value for each in group.profiles if each.file.name == name), None) for group in found]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": label(name),
                "y": list(range(len(found))),
                "x": medians,
                "marker": {"color": SERIES[index % len(SERIES)]},
                "hovertemplate": f"{label(name)}<br>%{{x:.4g}} ms<extra></extra>",
            }
        )
    known = [value for trace in traces for value in trace["x"] if value is not None]
    wide = max(known) > 30 * min(known) > 0
    layout = {
        "height": 100 + len(found) * (18 * len(files) + 22) + 12 * len(files),
        "margin": {"l": 10, "r": 20, "t": 30, "b": 45},
        "barmode": "group",
        "xaxis": {
            "title": title("latency p50 in ms" + (" (log)" if wide else "")),
            "type": "log" if wide else "linear",
        },
        "yaxis": {
            "autorange": "reversed",
            "automargin": True,
            "tickvals": list(range(len(found))),
            "ticktext": [f"{name}  " for name in names],
            "showgrid": False,
        },
        "legend": LEGEND,
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}
