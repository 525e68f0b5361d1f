"""The sections of the page, in order. A section without content says that it is missing and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from deploy.records import Comparison, Verdict
from deploy.report import charts
from deploy.report.charts import Figure
from deploy.report.latency import profiles_html
from deploy.report.markup import chart, definitions, missing, section, table
from deploy.report.schema import FigureRow, LayerRow, Report, Source, StepRow
from deploy.report.summary import find
from deploy.report.text import NOTHING, change, code, escape, number, pairs

Charts = dict[str, Figure]


def render_all(report: Report, drawn: Charts) -> str:
    """Return all sections as HTML; the charts they need are added to ``drawn`` by element id."""
    parts: list[Callable[[Report, Charts], str]] = [
        _source,
        _steps,
        _figures,
        _layers,
        _latency,
        _verification,
        _engines,
        _gate,
        _environment,
    ]
    return "\n".join(part(report, drawn) for part in parts)


def _source(report: Report, drawn: Charts) -> str:
    inside = _file(report.source) if report.source else missing(report, "source", "it was not said what went in")
    if report.result:
        inside += f"<h3>What came out</h3>{_file(report.result)}"
    return section("source", "What went in", inside)


def _file(source: Source) -> str:
    rows = [
        ("file", code(source.file)),
        ("model", code(source.model) if source.model else "no model reference"),
        ("kind", escape(source.kind) if source.kind else None),
        ("size", escape(number(source.size, "bytes")) if source.size is not None else None),
        ("SHA-256", code(source.sha256) if source.sha256 else "not computed"),
        *[("note", escape(note)) for note in source.notes],
    ]
    return definitions(rows)


def _steps(report: Report, drawn: Charts) -> str:
    if not report.steps:
        return section("steps", "What was done", missing(report, "steps", "no steps were recorded"))
    items = "".join(f"<li>{_step(step)}</li>" for step in report.steps)
    return section("steps", "What was done", f'<ol class="steps">{items}</ol>')


def _step(step: StepRow) -> str:
    when = f"<time>{escape(step.when)}</time>" if step.when else ""
    metrics = f'<div class="result">Result</div>{pairs(step.metrics)}' if step.metrics else ""
    facts = dict(step.versions)
    if step.seed is not None:
        facts["seed"] = str(step.seed)
    if step.input_sha256:
        facts["input SHA-256"] = step.input_sha256
    more = f"<details><summary>Seed, versions, input</summary>{pairs(facts)}</details>" if facts else ""
    return f"<strong>{escape(step.verb)}</strong>{when}{pairs(step.arguments)}{metrics}{more}"


def _figures(report: Report, drawn: Charts) -> str:
    title = "Before and after"
    if not report.figures:
        return section("figures", title, missing(report, "figures", "no figures were given"))
    notes = list(dict.fromkeys(row.conditions for row in report.figures if row.conditions))
    rows = [_figure(row, notes) for row in report.figures]
    heads = ["Figure", "Before|n", "After|n", "Change|n", "Ratio|n"]
    inside = table("Figures before and after", heads, rows)
    inside += "".join(f'<p class="note"><sup>{index}</sup> {escape(note)}</p>' for index, note in enumerate(notes, 1))
    if find(report, "accuracy") is None:
        inside += missing(report, "accuracy", "not measured", name="accuracy")
    if find(report, "latency") is None and not report.profiles:
        inside += missing(report, "latency", "not measured", name="latency")
    inside += chart(
        drawn, "chart-ratios", "After, relative to before (the line is unchanged)", charts.ratios(report.figures)
    )
    return section("figures", title, inside)


def _figure(row: FigureRow, notes: list[str]) -> list[str]:
    mark = f"<sup>{notes.index(row.conditions) + 1}</sup>" if row.conditions else ""
    if row.before is None and row.after is None:
        reason = f'<small class="absent">{escape(row.missing or "not given")}</small>'
        return [f"{escape(row.name)}{mark}{reason}", NOTHING, NOTHING, NOTHING, NOTHING]
    tone = "same"
    if row.before is not None and row.after is not None and row.before != row.after:
        tone = "better" if (row.after < row.before) == (row.better == "lower") else "worse"
    times = f"{row.after / row.before:.3f}" if row.before and row.after is not None else NOTHING
    reason = f"<small>{escape(row.missing)}</small>" if row.missing else ""
    return [
        f"{escape(row.name)}{mark}{reason}",
        escape(number(row.before, row.unit)),
        escape(number(row.after, row.unit)),
        f'<span class="{tone}">{escape(change(row.before, row.after, row.unit))}</span>',
        times,
    ]


def _layers(report: Report, drawn: Charts) -> str:
    title = "Layers"
    if not report.layers:
        return section("layers", title, missing(report, "layers", "no layers were recorded"))
    counts = Counter(layer.status for layer in report.layers)
    said = ", ".join(
        f"{counts[status]} {status}" for status in ("pruned", "kept", "protected", "frozen") if counts[status]
    )
    heads = ["Layer", "Kind", "Width|n", "MACs|n", "Status", "Reason"]
    inside = f'<p class="lead">{len(report.layers)} layers: {said}.</p>'
    figure = charts.widths(report.layers)
    inside += chart(drawn, "chart-widths", "Width of every layer, before and after", figure)
    inside += table("Layers, what became of them, and why", heads, [_layer(layer) for layer in report.layers])
    return section("layers", title, inside)


def _layer(layer: LayerRow) -> list[str]:
    reason = escape(layer.reason) if layer.reason else "no reason given" if layer.status != "kept" else NOTHING
    return [
        code(layer.name),
        escape(layer.kind),
        _arrow(layer.width_before, layer.width_after, "channels"),
        _arrow(layer.macs_before, layer.macs_after, "count"),
        f'<span class="tag {layer.status}">{layer.status}</span>',
        reason,
    ]


def _arrow(before: int | None, after: int | None, unit: str) -> str:
    show: Callable[[int | None], str] = lambda value: (  # noqa: E731
        NOTHING if value is None else str(value) if unit == "channels" else number(value, unit)
    )
    return escape(show(before)) if before == after else escape(f"{show(before)} → {show(after)}")


def _latency(report: Report, drawn: Charts) -> str:
    if not report.profiles and report.comparison is None:
        return section("latency", "Latency", missing(report, "profiles", "nothing was profiled", name="latency"))
    inside = profiles_html(report, drawn) if report.profiles else missing(report, "profiles", "nothing was profiled")
    inside += "<h3>Side by side</h3>"
    if report.comparison is None:
        inside += missing(report, "comparison", "the files were not compared in pairs")
    else:
        inside += _comparison(report.comparison, drawn)
    return section("latency", "Latency", inside)


def _comparison(comparison: Comparison, drawn: Charts) -> str:
    said = f"<p>{escape(comparison.text)}</p>"
    figure = charts.paired(comparison)
    caption = f"Paired time ratios; band: {comparison.confidence:.0%} interval of the median".replace("%", " %")
    return said + chart(drawn, "chart-pairs", caption, figure) + _method(comparison)


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


def _verification(report: Report, drawn: Charts) -> str:
    title = "Numerical verification"
    if not report.verification:
        return section("verification", title, missing(report, "verification", "no exported file was verified"))
    rows = []
    for entry in report.verification:
        label = {True: '<span class="tag ok">agrees</span>', False: '<span class="tag no">differs</span>'}
        verdict = '<span class="tag">not verified</span>' if entry.passed is None else label[entry.passed]
        digest = f"<small>{code(entry.sha256[:16])}…</small>" if entry.sha256 else ""
        rows.append([code(entry.artifact) + digest, verdict, pairs(entry.figures) or "no figures given"])
    return section("verification", title, table("Verified files", ["File", "Verdict", "Figures"], rows))


def _engines(report: Report, drawn: Charts) -> str:
    title = "TensorRT engines"
    if not report.engines:
        return section("engines", title, missing(report, "engines", "no engine was compiled"))
    rows = [
        [
            escape(engine.capability),
            escape(engine.precision),
            escape(engine.status),
            escape(number(engine.size, "bytes")),
            code(engine.file) if engine.file else NOTHING,
            escape(engine.message) if engine.message else NOTHING,
        ]
        for engine in report.engines
    ]
    heads = ["Capability", "Precision", "Status", "Size|n", "File", "Message"]
    return section("engines", title, table("TensorRT engines", heads, rows))


def _gate(report: Report, drawn: Charts) -> str:
    title = "Gate"
    verdict = report.gate
    if verdict is None:
        return section("gate", title, missing(report, "gate", "the gate was not run", name="gate verdict"))
    inside = f"<p>{escape(verdict.text)}</p>"
    caption = "Bounds of the slow-down, look by look"
    inside += chart(drawn, "chart-gate", caption, charts.funnel(verdict)) + definitions(_gate_rows(verdict))
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


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "no look was reached"
    if low is None or high is None:
        return escape(f"{number(value, 'share')} (too few pairs for an interval)")
    return escape(f"{number(value, 'share')} (between {number(low, 'share')} and {number(high, 'share')})")


def _environment(report: Report, drawn: Charts) -> str:
    title, here = "Environment", report.environment
    if here is None:
        return section("environment", title, missing(report, "environment", "it was not recorded"))
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
    return section("environment", title, definitions(rows))
