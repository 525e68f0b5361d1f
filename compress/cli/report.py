"""``compress report``: everything that is known about deployment files, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli.console import Console
from compress.cli.options import force_option, json_option, measuring_options, parse_tolerance, seconds_option
from compress.cli.outputs import report_outputs
from compress.pipeline.tables import change, figure

if TYPE_CHECKING:
    from deploy.report import Report

EXAMPLES = """\b
Examples:
  compress report base.onnx small.onnx                          report.html and report.json beside small.onnx
  compress report base.onnx small.onnx --data digits -o r.html  with the accuracy of both files
  compress report base.onnx s.onnx m.onnx l.onnx --data digits  several candidates: accuracy against latency and size
  compress report base.onnx small.onnx -o comment.md            for a pull request
  compress report base.onnx small.onnx --programs base.pt2 small.pt2
  compress report base.onnx small.onnx --with why --with compatibility
  compress report --from report.json -o report.html -o r.md     another form of a report: nothing is measured
  compress report --from a.json --from pi.json -o both.html     several reports as one
"""
# What a report that was written earlier can be given; everything else is about measuring.
RENDERING = {"sources", "title", "outputs", "force", "as_json"}


@click.command(short_help="Everything known about ONNX files, as one page.", epilog=EXAMPLES)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[BASELINE CANDIDATE...]")
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="REPORT.json",
    help="Write another form of this report, without measuring; several become one.",
)
@click.option(
    "--programs",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="BASE NEW",
    help="The networks the files were exported from. Default: those that the export records beside the files name.",
)
@click.option("--data", metavar="REF", help="Measure the accuracy of all files on this data.")
@click.option(
    "--with",
    "parts",
    multiple=True,
    type=click.Choice(["why", "compatibility"]),
    help="Also explain the candidate's time, or try all files in every runtime: both take a while; repeatable.",
)
@click.option("--title", help="Headline of the page.")
@click.option(
    "--max-regression", default="5%", show_default=True, callback=parse_tolerance, help="For the gate's verdict."
)
@click.option("--runtime", default="onnxruntime-cpu", show_default=True, help="Where to run; see compress doctor.")
@seconds_option(3.0, "Measuring time per file.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Longest gate, in seconds.",
)
@measuring_options
@report_outputs
@force_option
@json_option
@click.pass_context
def command(
    context: click.Context, files: tuple[Path, ...], sources: tuple[Path, ...], as_json: bool, **options: Any
) -> None:
    """Report on CANDIDATEs against BASELINE (ONNX files that compress export wrote).

    The page says what went in, what was done, MACs, parameters, size, accuracy and latency before and after, accuracy
    against latency and size of all candidates, every layer, operators, the numerical verification, the engines, and the
    gate's verdict. Pairs, layers and gate are about the first candidate. The exit code is 0 whatever the verdict: use
    compress gate to act on it.
    """
    console = Console(as_json=as_json)
    if sources:
        _render(context, files, sources, options, console)
        return
    if len(files) < 2:
        raise click.UsageError("name a BASELINE and at least one CANDIDATE, or --from REPORT.json", context)
    from compress.pipeline.reporting import ReportRequest, run

    request = ReportRequest(files[0], files[1:], **options)
    report = run(request, console)
    console.result(report.model_dump(mode="json"))
    rows = [
        (row.name, figure(row.before, row.unit), figure(row.after, row.unit), change(row.before, row.after, row.unit))
        for row in report.figures
    ]
    console.table(("", "before", "after", "after/before"), rows)
    if len(report.points) > 2:
        _points(report, console)
    for failure in report.failures:
        console.line(f"not measured: {failure.file} in {failure.runtime}: {failure.kind}: {failure.reason}")
    if report.gate is not None:
        console.line(f"gate: {report.gate.text}")
    for path in request.destinations:
        console.line(f"wrote {path}")


def _render(
    context: click.Context,
    files: tuple[Path, ...],
    sources: tuple[Path, ...],
    options: dict[str, Any],
    console: Console,
) -> None:
    from compress.pipeline.rendering import RenderRequest, run

    given = {
        option.opts[0]
        for option in context.command.params
        if option.name not in RENDERING
        and option.name is not None
        and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
        and isinstance(option, click.Option)
    }
    if files or given:
        what = ", ".join(sorted(given)) or "files"
        raise click.UsageError(f"--from measures nothing: it does not go with {what}", context)
    request = RenderRequest(sources, options["title"], options["outputs"], options["force"])
    report = run(request)
    console.result(report.model_dump(mode="json"))
    for path in request.destinations:
        console.line(f"wrote {path}")


def _points(report: Report, console: Console) -> None:
    rows = [
        (
            point.name,
            figure(point.accuracy, "share"),
            figure(point.latency.value if point.latency else None, "ms"),
            figure(point.size, "bytes"),
            figure(point.macs, "count"),
        )
        for point in report.points
    ]
    console.table(("configuration", "accuracy", "latency p50", "size", "MACs"), rows)
