"""The sections of the page, in order. Those without content stand together at its end, and say why."""

from __future__ import annotations

import re
from collections.abc import Callable

from deploy.report import provenance
from deploy.report.charts import Figure
from deploy.report.compatibility import matrix_html
from deploy.report.deciding import gate_html, latency_html
from deploy.report.explanation import why_html
from deploy.report.figures import figures_html
from deploy.report.layers import layers_html
from deploy.report.markup import missing, section, table
from deploy.report.operators import operators_html
from deploy.report.points import points_html
from deploy.report.schema import Report
from deploy.report.searching import search_html
from deploy.report.spaces import spaces_html
from deploy.report.text import NOTHING, code, escape, number, pairs

Charts = dict[str, Figure]

# A section of which nothing is there but the reason for it.
_ABSENT = re.compile(r'<section id="[\w-]+">\n<h2>([^<]*)</h2>\n(<p class="absent">[^<]*</p>)\n</section>')


def render_all(report: Report, drawn: Charts) -> str:
    """Return all sections as HTML; the charts they need are added to ``drawn`` by element id."""
    parts: list[Callable[[Report, Charts], str]] = [
        figures_html,
        points_html,
        search_html,
        spaces_html,
        _failures,
        latency_html,
        gate_html,
        operators_html,
        why_html,
        matrix_html,
        layers_html,
        _verification,
        _engines,
        provenance.source_html,
        provenance.steps_html,
        provenance.environment,
    ]
    made = [part(report, drawn) for part in parts]
    absent = [_ABSENT.fullmatch(each) for each in made]
    lines = "".join(found[2] for found in absent if found)
    rest = [section("absent", "Not in this report", lines)] if lines else []
    return "\n".join([*(each for each, found in zip(made, absent, strict=True) if not found), *rest])


def _failures(report: Report, drawn: Charts) -> str:
    """What could not be measured; nothing failed is nothing to say, where something was measured."""
    title = "Not measured"
    if not report.failures:
        reason = "everything that was asked for was measured" if report.profiles else "nothing was measured"
        return section("failures", title, missing(report, "failures", reason, name="failed measurements"))
    rows = [
        [
            code(each.file),
            escape(each.runtime),
            escape(each.target),
            f"{each.threads} {'thread' if each.threads == 1 else 'threads'}, batch {each.batch}",
            f'<span class="tag no">{each.kind}</span>',
            escape(each.reason) + (f"<small>{escape(each.hint)}</small>" if each.hint else ""),
        ]
        for each in report.failures
    ]
    heads = ["File", "Runtime", "Device", "With", "What happened", "Reason"]
    return section("failures", title, table("Failures", heads, rows))


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
