"""``compress profile``: how fast, how large, how much memory; several files interleaved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.devices import device_options
from compress.cli.measured import show, trouble
from compress.cli.options import force_option, json_option, seconds_option, size_option, timeout_option
from compress.cli.outputs import report_outputs

EXAMPLES = """\b
Examples:
  compress profile small.onnx
  compress profile base.onnx small.onnx --threads 1 --threads 2 --batch 1 --batch 8
  compress profile base.onnx small.onnx --runtime onnxruntime-cpu --runtime openvino
  compress profile small.onnx --operators
  compress profile base.onnx small.onnx -o profile.html -o profile.json -o profile.md
  compress profile small.onnx --device ssh://pi@raspberrypi.local
  compress profile base.onnx small.onnx --device all --device here -o devices.html

\b
Exit codes: 0 all was measured; 2 a file was refused, crashed its runtime or hung, 4 a runtime or device is not
available: what could be measured is shown and written all the same.
"""


@click.command(short_help="Latency, throughput, memory and size of deployment files.", epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    help="Where to run; repeatable; compress doctor lists them. [onnxruntime-cpu; engines: the TensorRT that compiled "
    "them]",
)
@click.option(
    "--threads",
    multiple=True,
    type=click.IntRange(min=1),
    help="Per operator; repeatable. [1, or what devices.yaml says]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    default=(1,),
    show_default=True,
    help="Samples per run; repeatable.",
)
@size_option
@seconds_option(3.0, "Measuring time per file under each set of conditions.")
@device_options
@click.option("--operators", is_flag=True, help="Time every operator, too, and name the layers that it computes.")
@timeout_option(120.0)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For inputs and order.")
@report_outputs
@force_option
@json_option
@click.pass_context
def command(context: click.Context, files: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure FILEs (ONNX, TensorRT engines): latency p50 to p99, throughput, peak memory, load time, size.

    Files are measured interleaved in random order, in a process of their own: one that crashes its runtime, or hangs,
    is told, and the others are measured all the same. On a device behind ssh, a runner and the files are copied there,
    and removed afterwards; it needs Python 3.9, numpy and the runtime.
    """
    from compress.pipeline.profile import ProfileRequest, run, write_reports

    console = Console(as_json=as_json)
    measured = run(ProfileRequest(files=files, **options), console)
    console.result(
        {
            "profiles": [profile.model_dump(mode="json") for profile in measured.profiles],
            "failures": [failure.model_dump(mode="json") for failure in measured.failures],
        }
    )
    show(console, measured.profiles, measured.failures, operators=options["operators"])
    if options["outputs"]:
        write_reports(measured, options["outputs"], force=options["force"])
        console.line(f"wrote {', '.join(map(str, options['outputs']))}")
    text, code = trouble(measured)
    if text:
        console.say(f"error: {text}")
    context.exit(code)
