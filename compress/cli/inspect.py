"""``compress inspect``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.options import force_option, json_option, loading_options, take
from compress.cli.outputs import page_outputs

EXAMPLES = """\b
Examples:
  compress inspect model.pt             a checkpoint: architecture, inputs, MACs, widths that can shrink
  compress inspect model.pt -o net.html the same as a page with a picture of the network
  compress inspect small.pt2 --verify   also proves on this network that the analysis of its channels is right
  compress inspect small.onnx           inputs, outputs, size, what was recorded at export
  compress inspect plan.json            the channels that a plan keeps
"""


@click.command(short_help="What is in a file.", epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Permute every group of channels and compare the function in float64.")
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Show these layers as pruning with --ignore would.")
@loading_options
@page_outputs
@force_option
@json_option
def command(file: Path, as_json: bool, **options: Any) -> None:
    """Say what FILE is: a checkpoint, a network of this tool, an ONNX file or a pruning plan."""
    from compress.pipeline.inspect import InspectRequest, run
    from compress.pipeline.loading import Loading

    console = Console(as_json=as_json)
    request = InspectRequest(file, take(Loading, options), **options)
    sheet = run(request, console)
    console.result(sheet.data)
    for name, value in sheet.lines:
        console.line(f"{name}: {value}")
    for table in sheet.tables:
        console.table(table.columns, table.rows, title=table.title)
    for path in request.outputs:
        console.line(f"wrote {path}")
