"""``compress report``: everything that is known about two deployment files, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.options import force_option, json_option, measuring_options, parse_share
from compress.cli.outputs import report_outputs
from compress.pipeline.tables import change, figure

EXAMPLES = """\b
Examples:
  compress report base.onnx small.onnx                          report.html and report.json beside small.onnx
  compress report base.onnx small.onnx --data digits -o r.html  with the accuracy of both files
  compress report base.onnx small.onnx --programs base.pt2 small.pt2
"""


@click.command(short_help="Everything known about two ONNX files, as one page.", epilog=EXAMPLES)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--programs",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="BASE NEW",
    help="The networks the files were exported from. Default: those that the export records beside the files name.",
)
@click.option("--data", metavar="REF", help="Measure the accuracy of both files on this data.")
@click.option("--title", help="Headline of the page.")
@click.option("--max-regression", default="5%", show_default=True, callback=parse_share, help="For the gate's verdict.")
@click.option("--runtime", default="onnxruntime-cpu", show_default=True, help="Where to run; see compress doctor.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="Measuring time per file.",
)
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
def command(baseline: Path, candidate: Path, as_json: bool, **options: Any) -> None:
    """Report on CANDIDATE against BASELINE (ONNX files that compress export wrote).

    The page says what went in, what was done, MACs, parameters, size, accuracy and latency before and after, every
    layer, the numerical verification, the engines, and the gate's verdict. The exit code is 0 whatever the verdict:
    use compress gate to act on it.
    """
    from compress.pipeline.report import ReportRequest, run

    console = Console(as_json=as_json)
    request = ReportRequest(baseline, candidate, **options)
    report = run(request, console)
    console.result(report.model_dump(mode="json"))
    rows = [
        (row.name, figure(row.before, row.unit), figure(row.after, row.unit), change(row.before, row.after, row.unit))
        for row in report.figures
    ]
    console.table(("", "before", "after", "after/before"), rows)
    if report.gate is not None:
        console.line(f"gate: {report.gate.text}")
    for path in request.destinations:
        console.line(f"wrote {path}")
