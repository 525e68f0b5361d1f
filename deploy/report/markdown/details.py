"""The folded parts of the Markdown: measurements, layers, the explanation, verification, provenance, environment."""

from __future__ import annotations

from collections import Counter

from deploy.records import Profile
from deploy.report.explanation import saving
from deploy.report.markdown.text import code, folded, table, text
from deploy.report.panels import groups
from deploy.report.schema import LayerRow, Report
from deploy.report.text import NOTHING, change, number, value_text

_MOST_LAYERS, _MOST_PROFILES, _MOST_GROUPS, _MOST_ROWS, _MOST_STEPS = 40, 20, 12, 25, 12


def all_of(report: Report) -> list[str]:
    """Return every folded part for which the report has content."""
    return [_why(report), _profiles(report), _layers(report), _verified(report), _steps(report), _environment(report)]


def _why(report: Report) -> str:
    """What would pay is worth reading without a click; the rows behind it are not."""
    why = report.why
    if why is None:
        return ""
    advice = "\n".join(
        f"{index}. {text(each.change)}: {text(each.because)} ({text(saving(each))})"
        for index, each in enumerate(why.advice, 1)
    )
    longest = sorted(
        why.rows, key=lambda row: -max((side.milliseconds for side in (row.base, row.new) if side), default=0)
    )
    rows = [
        [
            code(row.name),
            number(row.base.milliseconds, "ms") if row.base else NOTHING,
            number(row.new.milliseconds, "ms") if row.new else NOTHING,
            row.new.bound if row.new else NOTHING,
            text("; ".join(row.remarks)) or NOTHING,
        ]
        for row in longest[:_MOST_ROWS]
    ]
    heads = ["layer", "before|n", "after|n", "bound by", "remarks"]
    left = f"\n\nThe {_MOST_ROWS} longest of {len(why.rows)}." if len(why.rows) > _MOST_ROWS else ""
    inside = table(heads, rows) + left
    parts = ["### Why it is as fast as it is", text(why.verdict, 2000), advice, folded("Layers side by side", inside)]
    return "\n\n".join(part for part in parts if part)


def _profiles(report: Report) -> str:
    """A table for everything that was measured alike: what was not is not put side by side."""
    if not report.profiles:
        return ""
    heads = ["file", "p50|n", "p90|n", "p99|n", "throughput|n", "peak memory|n", "size|n"]
    found = groups(report.profiles)
    parts = [
        f"{text(group.target)}: {text(group.title)}\n\n{table(heads, map(_profile, group.profiles[:_MOST_PROFILES]))}"
        for group in found[:_MOST_GROUPS]
    ]
    if len(found) > 1:
        parts.insert(0, "Figures of different tables were not measured alike and are not comparable.")
    if len(found) > _MOST_GROUPS:
        parts.append(f"… and {len(found) - _MOST_GROUPS} more sets of conditions.")
    return folded("Measurements", "\n\n".join(parts))


def _profile(profile: Profile) -> list[str]:
    quantiles = [number(each.value, "ms") for each in (profile.p50, profile.p90, profile.p99)]
    memory = "not told" if profile.peak_memory is None else number(profile.peak_memory, "bytes")
    tail = [number(profile.throughput, "per second"), memory, number(profile.file.size, "bytes")]
    return [f"{code(profile.file.name)} {text(profile.file.precision)}", *(text(each) for each in (*quantiles, *tail))]


def _layers(report: Report) -> str:
    if not report.layers:
        return ""
    counts = Counter(layer.status for layer in report.layers)
    said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    first = sorted(report.layers, key=lambda layer: -_saved(layer))
    rows = [
        [
            code(layer.name),
            text(_arrow(layer.width_before, layer.width_after, "")),
            text(_arrow(layer.macs_before, layer.macs_after, "count")),
            layer.status,
            text(layer.reason or NOTHING, 120),
        ]
        for layer in first[:_MOST_LAYERS]
    ]
    left = f"\n\nThe {_MOST_LAYERS} that saved most." if len(report.layers) > _MOST_LAYERS else ""
    heads = ["layer", "width|n", "MACs|n", "status", "why"]
    return folded(f"Layers: {said}", table(heads, rows) + left)


def _verified(report: Report) -> str:
    if not report.verification and not report.engines:
        return ""
    verdicts = {True: "agrees", False: "**differs**", None: "not verified"}
    rows = [
        [code(each.artifact), verdicts[each.passed], text(_flat(each.figures), 200) or NOTHING]
        for each in report.verification[:_MOST_STEPS]
    ]
    rows += [
        [
            code(each.file or f"sm {each.capability}"),
            text(each.status),
            text(each.message or f"{each.precision}, sm {each.capability}"),
        ]
        for each in report.engines[:_MOST_STEPS]
    ]
    return folded("Verification and engines", table(["file", "verdict", "figures"], rows))


def _steps(report: Report) -> str:
    files = [(name, each) for name, each in (("in", report.source), ("out", report.result)) if each is not None]
    came = [
        [name, code(each.file), code(each.model or "unknown"), code(each.sha256 or "not computed")]
        for name, each in files
    ]
    done = [
        f"{index}. {text(step.verb)} {code(_flat(step.arguments), 400)}"
        for index, step in enumerate(report.steps[-_MOST_STEPS:], 1)
    ]
    parts = [table(["", "file", "model", "SHA-256"], came) if came else "", "\n".join(done)]
    inside = "\n\n".join(part for part in parts if part)
    return folded("What went in and what was done", inside) if inside else ""


def _environment(report: Report) -> str:
    here = report.environment
    if here is None:
        return ""
    load = "not told" if here.load_average is None else f"{here.load_average:.2f}"
    rows = [
        ["processor", f"{here.processor} ({here.architecture}), {here.usable_cores} usable cores"],
        ["memory", "not told" if here.memory is None else number(here.memory, "bytes")],
        ["system", f"{here.system}, Python {here.python}, load average {load}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in here.versions.items()) or "none recorded"],
    ]
    return folded("Environment", table(["", ""], [[name, text(value, 1000)] for name, value in rows]))


def _saved(layer: LayerRow) -> int:
    return (layer.macs_before or 0) - (layer.macs_after or 0)


def _arrow(before: int | None, after: int | None, unit: str) -> str:
    shown = [NOTHING if value is None else number(value, unit) if unit else str(value) for value in (before, after)]
    told = f" ({change(before, after, 'count')})" if before and after is not None and before != after else ""
    return shown[0] if before == after else f"{shown[0]} → {shown[1]}{told}"


def _flat(values: dict[str, object]) -> str:
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items() if value is not None)
