"""Measurements device by device: tables of what is comparable, distributions, sweeps over batch and threads."""

from __future__ import annotations

from deploy.environment import Environment
from deploy.records import Profile, Quantile
from deploy.report import charts, sweeps
from deploy.report.charts import Figure
from deploy.report.markup import Keyed, chart, definitions, panel_list, table
from deploy.report.panels import Group, groups
from deploy.report.schema import Report
from deploy.report.text import NOTHING, code, escape, number, pairs

_HEADS = ["File", "p50|n", "p90|n", "p95|n", "p99|n", "Throughput|n", "Peak memory|n", "Load|n"]


def profiles_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the profiles grouped by device and by what may be compared, with charts and conditions."""
    found = groups(report.profiles)
    targets = list(dict.fromkeys(group.target for group in found))
    inside = _devices(found, targets, drawn) if len(targets) > 1 else ""
    for target in targets:
        mine = [group for group in found if group.target == target]
        inside += f"<h3>Device: {code(target)}</h3>" if len(targets) > 1 else ""
        here = mine[0].profiles[0].environment
        inside += _device(here) if here != report.environment or len(targets) > 1 else ""
        inside += _incomparable(mine)
        inside += panel_list(
            "Conditions",
            [(group.title, _group(group, found.index(group), drawn)) for group in mine],
            always=len(found) > 1,
        )
        inside += sweeps.html([profile for group in mine for profile in group.profiles], targets.index(target), drawn)
    note = '<p class="note">Small: 95 % interval; for memory, what the process took before the file was loaded.</p>'
    return inside + note


def environment_html(here: Environment) -> str:
    """Return the machine that something was measured on."""
    load = "not told" if here.load_average is None else f"{here.load_average:.2f}"
    rows = [
        ("processor", escape(f"{here.processor} ({here.architecture})")),
        ("cores", f"{here.usable_cores} usable of {here.logical_cores} logical"),
        ("memory", escape(number(here.memory, "bytes")) if here.memory is not None else "not told"),
        ("system", escape(here.system)),
        ("Python", escape(here.python)),
        ("frequency governor", escape(here.governor) if here.governor else "not told by the system"),
        ("load average", load),
        ("versions", pairs(here.versions) or "none recorded"),
    ]
    return definitions(rows)


def _devices(found: list[Group], targets: list[str], drawn: dict[str, Figure]) -> str:
    """The files' medians, a row for every device and condition: figures of one row were measured alike."""
    titles = [group.title for group in found]
    shared = [group for group in found if titles.count(group.title) > 1]
    if not shared:
        return '<p class="absent">no comparison of devices: nothing was measured under the same conditions on two</p>'
    shared.sort(key=lambda group: titles.index(group.title))
    files = list(dict.fromkeys(profile.file.name for group in shared for profile in group.profiles))
    rows: list[list[str | Keyed]] = []
    for group in shared:
        by_file = {profile.file.name: profile.p50.value for profile in group.profiles}
        first = by_file.get(files[0])
        cells = [_median(by_file.get(name), first if index else None) for index, name in enumerate(files)]
        rows.append([f"{code(group.target)}<small>{escape(group.title)}</small>", *cells])
    heads = ["Device", *(f"{code(name)}|n" for name in files)]
    said = (
        f'<p class="lead">Median latency on {len(targets)} devices; small: against the first file on the same device. '
        "Files are compared within a row; different rows tell devices apart.</p>"
    )
    figure = sweeps.devices(shared, files)
    picture = chart(drawn, "chart-devices", "Median latency by device", figure)
    return f"<h3>Devices compared</h3>{said}{table('Devices compared', heads, rows)}{picture}"


def _median(value: float | None, first: float | None) -> Keyed:
    ratio = f"<small>× {value / first:.3g}</small>" if value and first else ""
    return Keyed(f"{escape(number(value, 'ms'))}{ratio}" if value is not None else "not measured", value)


def _device(here: Environment) -> str:
    return (
        f"<details><summary>{escape(here.processor)}, {escape(here.system)}</summary>{environment_html(here)}</details>"
    )


def _incomparable(mine: list[Group]) -> str:
    """What tells the groups of one device apart; figures of different groups are not put side by side."""
    reasons = [mine[0].profiles[0].incomparable(group.profiles[0]) for group in mine[1:]]
    differing = dict.fromkeys(part for each in reasons if each for part in each.split("different ")[1].split(", "))
    if not differing:
        return ""
    return (
        f'<p class="absent">{len(mine)} tables, because their figures are not comparable: measured with different '
        f"{escape(', '.join(differing))}.</p>"
    )


def _group(group: Group, place: int, drawn: dict[str, Figure]) -> str:
    inside = table("Profiles", _HEADS, [_row(profile) for profile in group.profiles])
    identifier = f"chart-latency-{place}" if place else "chart-latency"
    inside += chart(drawn, identifier, "Latency of every run", charts.latencies(group.profiles))
    return inside + "".join(_conditions(profile) for profile in group.profiles)


def _row(profile: Profile) -> list[str | Keyed]:
    idle = "" if profile.idle_memory is None else f"<small>{escape(number(profile.idle_memory, 'bytes'))} idle</small>"
    memory = "not told" if profile.peak_memory is None else escape(number(profile.peak_memory, "bytes")) + idle
    first = escape(number(profile.first_inference, "ms"))
    return [
        f"{code(profile.file.name)}<small>{escape(number(profile.file.size, 'bytes'))}</small>",
        *(_quantile(each) for each in (profile.p50, profile.p90, profile.p95, profile.p99)),
        Keyed(escape(number(profile.throughput, "per second")), profile.throughput),
        Keyed(memory, profile.peak_memory),
        Keyed(f"{escape(number(profile.load_time, 'ms'))}<small>first run {first}</small>", profile.load_time),
    ]


def _quantile(quantile: Quantile | None) -> Keyed:
    if quantile is None:
        return Keyed(f"{NOTHING}<small>not recorded</small>", None)
    low = NOTHING if quantile.low is None else f"{quantile.low:.3g}"
    high = "too few runs" if quantile.high is None else f"{quantile.high:.3g}"
    return Keyed(f"{escape(number(quantile.value, 'ms'))}<small>{low} to {high}</small>", quantile.value)


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
        ("clock and heat", escape(_sensors(profile))),
        ("memory, load, first run", "a fresh process for this file alone"),
        ("SHA-256", code(profile.file.sha256)),
    ]
    return f"<details><summary>How {code(profile.file.name)} was measured</summary>{definitions(rows)}</details>"


def _sensors(profile: Profile) -> str:
    """The range of clock and temperature during the measurement, in one phrase."""
    samples = profile.sensors
    if not samples:
        return profile.no_sensors or "not recorded"
    said = []
    for unit, values in (
        ("MHz", [each.clock for each in samples if each.clock is not None]),
        ("°C", [each.temperature for each in samples if each.temperature is not None]),
    ):
        if values:
            said.append(f"{min(values):.0f} to {max(values):.0f} {unit}")
    slowed = [each.throttled for each in samples if each.throttled is not None]
    if slowed:
        said.append(f"slowed for heat {max(slowed) - min(slowed)} times")
    return f"{', '.join(said)} in {len(samples)} samples" if said else "sampled, and nothing was told"
