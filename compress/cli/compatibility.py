"""``compress compatibility``: which file runs where, and what would mend the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.devices import device_options
from compress.cli.options import force_option, json_option, size_option, timeout_option
from compress.cli.outputs import report_outputs
from compress.pipeline.compatibility import CAPABILITIES

EXAMPLES = """\b
Examples:
  compress compatibility small.onnx
  compress compatibility base.onnx small.onnx --runtime onnxruntime-cpu --runtime openvino
  compress compatibility small.onnx --capability 8.6 --capability 8.9 -o matrix.html -o matrix.json
  compress compatibility small.onnx --device here --device ssh://pi@board --no-compile
  compress compatibility segment.onnx --size height=512 --no-compile
\b
Exit codes: 0 the matrix was established, whatever it says; 2 a file is damaged, or an argument is wrong;
4 a device cannot be reached.
"""


def _capabilities(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"\d{1,2}\.\d", value):
            raise click.BadParameter(f"{value!r}: write a compute capability such as 8.6")
    return tuple(dict.fromkeys(values))


@click.command(short_help="Which file runs in which runtime, and compiles for which GPU.", epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--runtime", "runtimes", multiple=True, help="Where to try; repeatable.  [every known one]")
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="X.Y",
    default=CAPABILITIES,
    show_default=True,
    callback=_capabilities,
    help="Compute capability to compile for, ahead of time; repeatable.",
)
@device_options
@click.option("--no-compile", is_flag=True, help="Try runtimes alone.")
@size_option
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Per operator.")
@timeout_option(300.0, "Seconds after which a trial or a compilation is taken to hang.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For inputs.")
@report_outputs
@force_option
@json_option
def command(files: tuple[Path, ...], as_json: bool, no_compile: bool, **options: Any) -> None:
    """Try FILEs in every runtime, and compile them for every GPU generation.

    Says whether each loads and runs, how far its outputs are from a reference, which nodes fall back to which provider,
    which operators are missing, and which other opset or type would help. Every answer is from a trial, in a process
    of its own; the rest is "not tested here".
    """
    from compress.pipeline.compatibility import CompatibilityRequest, reasons, rows, run

    console = Console(as_json=as_json)
    if no_compile:
        options["capabilities"] = ()
    matrix = run(CompatibilityRequest(files=files, **options), console)
    console.result(matrix.model_dump(mode="json"))
    console.table(*rows(matrix))
    for line in reasons(matrix):
        console.line(line)
    for reference in dict.fromkeys(cell.reference for cell in matrix.cells if cell.reference):
        console.line(f"errors are relative to the largest value of an output, computed in {reference}")
    for path in options["outputs"]:
        console.line(f"wrote {path}")
