"""``compress evaluate``: accuracy of a checkpoint or an ONNX file on data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.options import DATA_HELP, json_option, loading_options, take
from compress.pipeline.tables import metric

EXAMPLES = """\b
Examples:
  compress evaluate small.pt2 --data imagefolder:photos
  compress evaluate small.onnx --data digits --json
  compress evaluate model.pt --model timm:resnet50 --data file.py:loaders --metric file.py:miou
"""


@click.command(short_help="Accuracy of a checkpoint or an ONNX file.", epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="REF", help=DATA_HELP)
@click.option("--loss", metavar="FILE.py:FUNCTION", help="Loss instead of cross-entropy.")
@click.option("--metric", metavar="FILE.py:FUNCTION", help="Metric instead of top-1 and top-5.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples per run.")
@loading_options
@json_option
def command(file: Path, as_json: bool, **options: Any) -> None:
    """Measure FILE (any checkpoint, or ONNX) on the validation part of the data."""
    from compress.pipeline.evaluate import run
    from compress.pipeline.finetuning import TrainingOptions
    from compress.pipeline.loading import Loading

    console = Console(as_json=as_json)
    loading = take(Loading, options)
    data = options.pop("data")
    metrics = run(file, data, loading, TrainingOptions(**options), console)
    console.result({"file": str(file), "data": data, "metrics": metrics})
    console.line(f"{file} on {data}: {metric(metrics)}")
