"""``compress export``: a network becomes verified deployment files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.options import force_option, json_option, loading_options, parse_sizes, take
from compress.operators import PLATFORMS
from compress.pipeline.sparse_export import SparseOptions, summary
from compress.pipeline.tables import percent, size

if TYPE_CHECKING:
    from compress.pipeline.export import ExportOutcome
    from exporters import Artifact

_INCOMPLETE = 2  # an engine that was asked for is missing, and the reason was given

EXAMPLES = """\b
Examples:
  compress export small.pt2                        ONNX beside it
  compress export small.pt2 --onnx --trt -o out    ONNX and TensorRT engines
  compress export --trt                            the newest network this tool wrote in this folder
  compress export small.pt2 --trt --precision fp16 --compute-capability 8.7
  compress export sparse.pt2 --onnx --sparse       operators that skip zeros, and the library that has them
  compress export any.onnx --sparse --measure      the same, chosen by measuring on this machine
"""


@click.command(short_help="Write ONNX and TensorRT engines, verified.", epilog=EXAMPLES)
@click.argument("checkpoint", type=click.Path(path_type=Path), required=False)
@click.option("--onnx", is_flag=True, help="Write ONNX (the default where nothing is asked for).")
@click.option("--trt", is_flag=True, help="Compile TensorRT engines, one per compute capability and precision.")
@click.option(
    "--compute-capability",
    "capabilities",
    multiple=True,
    metavar="X.Y",
    default=("8.6", "8.9"),
    show_default=True,
    help="GPU generation to compile for; repeatable.",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["fp32", "fp16"]),
    default=("fp32",),
    show_default=True,
    help="Precision of the engines; repeatable.",
)
@click.option("--sparse", is_flag=True, help="Write ONNX whose operators skip zeros, and the library that has them.")
@click.option(
    "--target-platform",
    type=click.Choice(PLATFORMS),
    help="Machine to write the library of --sparse for  [this one]",
)
@click.option("--measure", is_flag=True, help="Choose sparse layers by measuring on this machine, not by rule.")
@click.option("--sparse-storage", is_flag=True, help="Write ONNX that stores zeros sparsely: smaller, nothing faster.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="For --measure.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Sparse layers are chosen for.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="NAME=N",
    callback=parse_sizes,
    help="Size of another dynamic dimension of the input that sparse layers are chosen for; repeatable.",
)
@click.option("--data", metavar="REF", help="Verify on real inputs from this data set as well as random ones.")
@loading_options
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="[the checkpoint's folder]")
@force_option
@json_option
def command(checkpoint: Path | None, as_json: bool, **options: Any) -> None:
    """Write CHECKPOINT as ONNX and TensorRT engines, verified against the network as far as they can run here.

    CHECKPOINT may be an ONNX file for --sparse, --sparse-storage and --trt.
    """
    from compress.pipeline.export import ExportRequest, run
    from compress.pipeline.loading import Loading

    console = Console(as_json=as_json)
    loading = take(Loading, options)
    sparse = take(SparseOptions, options)
    with resumable("what was written is whole; run the same command again, with --force to replace it"):
        outcome = run(ExportRequest(checkpoint=checkpoint, loading=loading, sparse=sparse, **options), console)
    console.result(outcome.record)
    show(outcome, console)
    if outcome.failures:
        click.get_current_context().exit(_INCOMPLETE)


def show(outcome: ExportOutcome, console: Console) -> None:
    """Print what was written as a table for people."""
    rows = [(item.path.name, item.kind, size(item.path.stat().st_size), item.status) for item in outcome.artifacts]
    console.table(("file", "kind", "size", "status"), rows)
    for item in outcome.artifacts:
        figures = item.verification
        if "max_error" in figures:
            console.line(
                f"{item.path.name}: largest error {figures['max_error']:.2g} of the output's scale on "
                f"{figures['samples']} samples ({figures['allowed']:.2g} allowed)"
            )
        if "layers" in item.metadata and item.kind == "onnx-sparse":
            _show_layers(item, console)
    said = (item.metadata["two_four"]["text"] for item in outcome.artifacts if "two_four" in item.metadata)
    for text in dict.fromkeys(said):
        if text:
            console.line(text)
    for failure in outcome.failures:
        console.line(
            f"no engine for compute capability {failure.compute_capability}, {failure.precision}: {failure.reason}"
        )
    count = len(outcome.artifacts)
    console.line(f"wrote {count} {'file' if count == 1 else 'files'} and {outcome.record_path}")


def _show_layers(item: Artifact, console: Console) -> None:
    """Print what was decided on the layers that the operators could compute, and on the whole."""
    rows = [
        (
            layer["name"],
            "x".join(map(str, layer["weight"])),
            layer["pattern"] or "dense",
            percent(layer["zeros"]),
            "sparse" if layer["chosen"] else "dense",
            layer["why"],
        )
        for layer in item.metadata["layers"]
        if layer["zeros"] is not None
    ]
    console.table(("layer", "weight", "pattern", "zeros", "chosen", "why"), rows)
    for line in summary(item):
        console.line(line)
