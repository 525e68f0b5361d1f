"""Where the time of a run goes: bars by layer and all operators, file by file."""

from __future__ import annotations

from deploy.records import OperatorTime, Profile
from deploy.report.charts import Figure, title
from deploy.report.markup import Keyed, chart, missing, panel_list, section, table
from deploy.report.schema import Report
from deploy.report.text import NOTHING, code, escape, label, number

_MOST_BARS = 24


def operators_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of operators: a panel for every profile that has them, else why there are none."""
    heading = "Time by operator"
    measured = [profile for profile in report.profiles if profile.operators]
    if not measured:
        reasons = dict.fromkeys(profile.no_operators for profile in report.profiles if profile.no_operators)
        reason = "; ".join(reasons) or "not asked for (compress profile --operators)"
        return section("operators", heading, missing(report, "operators", reason, name="breakdown into operators"))
    several = len({profile.target for profile in measured}) > 1
    panels = [(_name(profile, several), _panel(profile, index, drawn)) for index, profile in enumerate(measured)]
    absent = "".join(
        f'<p class="absent">{code(profile.file.name)}: {escape(profile.no_operators or "not broken down")}</p>'
        for profile in report.profiles
        if not profile.operators
    )
    return section("operators", heading, panel_list("File", panels, always=True) + absent)


def by_layer(operators: list[OperatorTime]) -> dict[str, float]:
    """Return milliseconds by layer, the longest first; operators without a layer stand under their own kind."""
    sums: dict[str, float] = {}
    for operator in operators:
        name = ", ".join(operator.layers) or f"({operator.kind})"
        sums[name] = sums.get(name, 0.0) + operator.milliseconds
    return dict(sorted(sums.items(), key=lambda each: -each[1]))


def _name(profile: Profile, several: bool) -> str:
    where = f" on {profile.target}" if several else ""
    return f"{profile.file.name}{where}: {profile.conditions.describe()}"


def _panel(profile: Profile, place: int, drawn: dict[str, Figure]) -> str:
    total = sum(operator.milliseconds for operator in profile.operators)
    slowed = (
        " Timing every operator costs time itself: the shares tell more." if total > 1.2 * profile.p50.value else ""
    )
    said = (
        f'<p class="lead">{len(profile.operators)} operators take {escape(number(total, "ms"))} together; '
        f"a whole run takes {escape(number(profile.p50.value, 'ms'))} (p50, without the breakdown).{slowed}</p>"
    )
    picture = chart(
        drawn, f"chart-operators-{place}", "Time by layer; in brackets: operators without one", _bars(profile)
    )
    heads = ["Operator", "Kind", "Layers", "Time|n", "Share|n", "Provider"]
    return said + picture + table("Operators", heads, [_row(operator, total) for operator in profile.operators])


def _row(operator: OperatorTime, total: float) -> list[str | Keyed]:
    share = operator.milliseconds / total if total else 0.0
    fused = f"<small>{escape(', '.join(operator.nodes))}</small>" if operator.nodes not in ([], [operator.name]) else ""
    return [
        code(operator.name) + fused,
        escape(operator.kind),
        "<br>".join(map(code, operator.layers)) or NOTHING,
        Keyed(escape(number(operator.milliseconds, "ms")), operator.milliseconds),
        Keyed(f"{share * 100:.1f} %", share),
        escape(operator.provider or NOTHING),
    ]


def _bars(profile: Profile) -> Figure | None:
    sums = list(by_layer(profile.operators).items())
    shown, rest = sums[:_MOST_BARS], sums[_MOST_BARS:]
    names = [label(name, 34) for name, _ in shown]
    times = [time for _, time in shown]
    if rest:
        names.append(f"{len(rest)} more")
        times.append(sum(time for _, time in rest))
    total = sum(times) or 1.0
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": list(range(len(names))),
        "x": times,
        "text": [f" {time / total:.0%}".replace("%", " %") for time in times],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [label(name, 90) for name, _ in shown] + names[len(shown) :],
        "hovertemplate": "%{customdata}<br>%{x:.4g} ms<extra></extra>",
        "marker": {"color": "$after"},
    }
    layout = {
        "height": 90 + 24 * len(names),
        "margin": {"l": 10, "r": 30, "t": 10, "b": 45},
        "xaxis": {"title": title("ms in a run"), "range": [0, 1.15 * max(times)]},
        "yaxis": {
            "autorange": "reversed",
            "automargin": True,
            "tickvals": list(range(len(names))),
            "ticktext": [f"{name}  " for name in names],
            "showgrid": False,
        },
        "bargap": 0.3,
    }
    return {"data": [bars], "layout": layout}
