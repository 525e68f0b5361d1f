"""``compress profile``: how fast, how large, how much memory; several files interleaved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.options import force_option, json_option, measuring_options
from compress.cli.outputs import report_outputs
from compress.pipeline.tables import amount, milliseconds, size

EXAMPLES = """\b
Examples:
  compress profile small.onnx
  compress profile base.onnx small.onnx --threads 2 --batch 8
  compress profile base.onnx small.onnx -o profile.html -o profile.json
"""


@click.command(short_help="Latency, throughput, memory and size of ONNX files.", epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    default=("onnxruntime-cpu",),
    show_default=True,
    help="Where to run; repeatable; compress doctor lists them.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="Measuring time per file.",
)
@measuring_options
@report_outputs
@force_option
@json_option
def command(files: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure ONNX FILEs: latency p50/p90/p99, throughput, peak memory, load time, size."""
    from compress.pipeline.profile import ProfileRequest, run

    console = Console(as_json=as_json)
    outcome = run(ProfileRequest(files=files, **options), console)
    console.result({"profiles": [profile.model_dump(mode="json") for profile in outcome]})
    rows = [
        (
            profile.file.name,
            milliseconds(profile.p50.value),
            milliseconds(profile.p90.value),
            milliseconds(profile.p99.value),
            f"{amount(profile.throughput)}/s",
            size(profile.peak_memory) if profile.peak_memory else "unknown",
            milliseconds(profile.load_time),
            size(profile.file.size),
        )
        for profile in outcome
    ]
    console.table(("file", "p50", "p90", "p99", "throughput", "peak memory", "load", "size"), rows)
    for conditions in dict.fromkeys(profile.conditions.describe() for profile in outcome):
        console.line(
            f"measured on {conditions}; {outcome[0].runs} runs each after {outcome[0].warmup.runs} warm-up runs"
        )
    for path in options["outputs"]:
        console.line(f"wrote {path}")
