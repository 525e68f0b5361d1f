"""Pairs and the gate: how the candidate compares with the baseline, and what was decided."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.records import Comparison, Finding, Verdict
from deploy.report import charts
from deploy.report.charts import Figure
from deploy.report.latency import profiles_html
from deploy.report.markup import Keyed, chart, definitions, missing, section, table
from deploy.report.schema import Report
from deploy.report.text import escape, number

_HEADS = ("Change", "Tolerance|n", "Resolvable|n")


def latency_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of measurements and of the comparison in pairs."""
    if not report.profiles and report.comparison is None:
        return section("latency", "Latency", missing(report, "profiles", "nothing was profiled", name="latency"))
    inside = profiles_html(report, drawn) if report.profiles else missing(report, "profiles", "nothing was profiled")
    inside += "<h3>Side by side</h3>"
    if report.comparison is None:
        inside += missing(report, "comparison", "the files were not compared in pairs")
    else:
        inside += _comparison(report.comparison, drawn)
    return section("latency", "Latency", inside)


def _comparison(comparison: Comparison, drawn: dict[str, Figure]) -> str:
    said = f"<p>{escape(comparison.text)}</p>"
    figure = charts.paired(comparison)
    caption = f"Paired time ratios; band: {comparison.confidence:.0%} interval of the median".replace("%", " %")
    return said + chart(drawn, "chart-pairs", caption, figure) + _method(comparison)


def gate_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the gate."""
    title = "Gate"
    verdict = report.gate
    if verdict is None:
        return section("gate", title, missing(report, "gate", "the gate was not run", name="gate verdict"))
    inside = f"<p>{escape(verdict.text)}</p>"
    caption = "Bounds of the slow-down, look by look"
    inside += chart(drawn, "chart-gate", caption, charts.funnel(verdict)) + definitions(_gate_rows(verdict))
    if len(verdict.findings) > 1:
        inside += table("Metrics", ["Metric", "Verdict", *_HEADS], [_finding(each) for each in verdict.findings])
    return section("gate", title, inside + _method(verdict))


def _gate_rows(verdict: Verdict) -> Iterable[tuple[str, str | None]]:
    control = verdict.control
    yield "exit code", str(verdict.exit_code)
    yield "tolerance", escape(number(verdict.tolerance, "share"))
    yield "slow-down", _interval(verdict.slowdown, verdict.low, verdict.high)
    yield "baseline against itself", _interval(control.value, control.low, control.high)
    resolution = verdict.resolution
    yield "smallest change resolvable", "none" if resolution is None else escape(number(resolution, "share"))
    yield "pairs", f"{verdict.pairs} in {verdict.seconds:.1f} s of {verdict.budget:g} s"
    yield "chance of a wrong verdict", escape(f"at most {verdict.alpha * 100:g} %, for FAIL and for PASS each")
    yield "measured with", escape(verdict.conditions.describe())


def _finding(found: Finding) -> list[str | Keyed]:
    tone = {"pass": "ok", "fail": "no"}.get(found.status, "part")
    counted = found.change is not None and found.low is None and found.unit in ("bytes", "count")
    change = escape(number(found.change, "share")) if counted else _interval(found.change, found.low, found.high)
    finest = "none" if found.unit == "ms" else "every change" if counted else "not stated"
    return [
        escape(found.metric),
        f'<span class="tag {tone}">{found.status}</span>',
        Keyed(change if found.status != "unmeasured" else "not measured", found.change),
        Keyed(escape(number(found.tolerance, "share")), found.tolerance),
        Keyed(finest if found.resolution is None else escape(number(found.resolution, "share")), found.resolution),
    ]


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "no look was reached"
    if low is None or high is None:
        return escape(f"{number(value, 'share')} (too few pairs for an interval)")
    return escape(f"{number(value, 'share')} (between {number(low, 'share')} and {number(high, 'share')})")


def _method(measured: Comparison | Verdict) -> str:
    method = measured.methodology
    rows = [
        ("timing", escape(method.timing)),
        ("order", escape(method.order)),
        ("inputs", escape(f"{method.inputs}; seed {method.seed}")),
        ("warm-up", escape(f"{method.warmup}: {measured.warmup.runs} rounds")),
        ("intervals", escape(method.intervals)),
    ]
    return f"<details><summary>How it was measured</summary>{definitions(rows)}</details>"
