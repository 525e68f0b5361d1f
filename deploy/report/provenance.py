"""Where the files come from: what went in, what was done, what came out, on which machine."""

from __future__ import annotations

from deploy.report.charts import Figure
from deploy.report.latency import environment_html
from deploy.report.markup import definitions, missing, section
from deploy.report.schema import Report, Source, StepRow
from deploy.report.text import code, escape, number, pairs


def source_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the files that went in and came out."""
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


def steps_html(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the steps that were recorded, in order."""
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


def environment(report: Report, drawn: dict[str, Figure]) -> str:
    """Return the section of the machine that made the report."""
    if report.environment is None:
        return section("environment", "Environment", missing(report, "environment", "it was not recorded"))
    return section("environment", "Environment", environment_html(report.environment))
