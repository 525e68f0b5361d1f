"""The table and chart of profiles."""

from __future__ import annotations

from deploy.records import Profile, Quantile
from deploy.report import charts
from deploy.report.charts import Figure
from deploy.report.markup import chart, definitions, table
from deploy.report.schema import Report
from deploy.report.text import NOTHING, code, escape, number

_HEADS = ["File", "p50|n", "p90|n", "p99|n", "Throughput|n", "Peak memory|n", "Load|n"]


def profiles_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the profiles as a table, a chart and the conditions; incomparable profiles are said to be so."""
    profiles = report.profiles
    inside = table("Profiles", _HEADS, [_row(profile) for profile in profiles])
    inside += '<p class="note">Small: 95 % interval; for memory, what the process took before the file was loaded.</p>'
    for profile in profiles[1:]:
        reason = profiles[0].incomparable(profile)
        if reason:
            names = f"{code(profile.file.name)} is not comparable with {code(profiles[0].file.name)}"
            inside += f'<p class="absent">{names}: {escape(reason)}</p>'
    inside += chart(drawn, "chart-latency", "Latency of every run", charts.latencies(profiles))
    return inside + "".join(_conditions(profile) for profile in profiles)


def _row(profile: Profile) -> list[str]:
    idle = "" if profile.idle_memory is None else f"<small>{escape(number(profile.idle_memory, 'bytes'))} idle</small>"
    memory = "not told" if profile.peak_memory is None else escape(number(profile.peak_memory, "bytes")) + idle
    first = escape(number(profile.first_inference, "ms"))
    return [
        f"{code(profile.file.name)}<small>{escape(number(profile.file.size, 'bytes'))}</small>",
        _quantile(profile.p50),
        _quantile(profile.p90),
        _quantile(profile.p99),
        escape(number(profile.throughput, "per second")),
        memory,
        f"{escape(number(profile.load_time, 'ms'))}<small>first run {first}</small>",
    ]


def _quantile(quantile: Quantile) -> str:
    low = NOTHING if quantile.low is None else f"{quantile.low:.3g}"
    high = "too few runs" if quantile.high is None else f"{quantile.high:.3g}"
    return f"{escape(number(quantile.value, 'ms'))}<small>{low} to {high}</small>"


def _conditions(profile: Profile) -> str:
    method, warm = profile.methodology, profile.warmup
    drift = "stationary" if warm.stationary else "still drifting when it was cut short"
    settings = ", ".join(f"{key} {value}" for key, value in profile.conditions.settings.items())
    rows = [
        ("measured with", escape(profile.conditions.describe())),
        ("provider", escape(profile.conditions.provider)),
        ("settings", escape(settings) if settings else None),
        ("inputs", escape(", ".join(f"{name} {kind}" for name, kind in profile.conditions.inputs.items()))),
        ("values", escape(f"{method.inputs}; seed {method.seed}")),
        ("timing", escape(method.timing)),
        ("order", escape(method.order)),
        ("precision", escape(profile.file.precision)),
        ("warm-up", escape(f"{method.warmup}: {warm.runs} runs in {warm.seconds:.2f} s, {drift}")),
        ("runs counted", str(profile.runs)),
        ("intervals", escape(method.intervals)),
        ("memory, load, first run", "a fresh process for this file alone"),
        ("SHA-256", code(profile.file.sha256)),
    ]
    return f"<details><summary>How {code(profile.file.name)} was measured</summary>{definitions(rows)}</details>"
