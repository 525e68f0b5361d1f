"""``compress gate``: may the new file replace the old one? The answer is the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.options import json_option, measuring_options, parse_share

EXAMPLES = """\b
Examples:
  compress gate base.onnx new.onnx --max-regression 5%
  compress gate base.onnx new.onnx --threads 4 --budget 120 --json
\b
Exit codes: 0 not slower than allowed; 1 slower; 3 undecided, or asked for less than this machine can resolve.
"""


@click.command(short_help="May the new file replace the old one? (exit code)", epilog=EXAMPLES)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--max-regression",
    default="5%",
    show_default=True,
    callback=parse_share,
    help="How much slower than BASELINE the CANDIDATE may be: 5% or 0.05.",
)
@click.option("--runtime", default="onnxruntime-cpu", show_default=True, help="Where to run; see compress doctor.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds after which it gives up as undecided.",
)
@measuring_options
@json_option
@click.pass_context
def command(context: click.Context, baseline: Path, candidate: Path, as_json: bool, **options: Any) -> None:
    """Compare the latency of two ONNX files by paired, randomised, interleaved runs."""
    import deploy

    console = Console(as_json=as_json)
    with console.bar("comparing") as progress:
        verdict = deploy.gate(baseline, candidate, progress=progress, **options)
    console.result(verdict.model_dump(mode="json"))
    console.line(verdict.text)
    context.exit(verdict.exit_code)
