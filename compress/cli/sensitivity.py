"""``compress sensitivity``: which widths can be narrowed cheaply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.options import (
    AGGREGATIONS,
    CRITERIA,
    DATA_HELP,
    force_option,
    json_option,
    loading_options,
    restart_option,
    take,
)
from compress.cli.outputs import page_outputs
from compress.pipeline.tables import metric, percent

EXAMPLES = """\b
Examples:
  compress sensitivity model.pt                                     change of the outputs; model.sensitivity.html
  compress sensitivity model.pt --data imagefolder:photos -o report.html -o report.json
  compress sensitivity model.pt --data digits --criterion fisher --keep-ratio 0.5 --keep-ratio 0.25
"""


@click.command(short_help="What narrowing each layer alone would cost.", epilog=EXAMPLES)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@loading_options
@click.option("--data", metavar="REF", help=f"Measure accuracy on this: {DATA_HELP} Else the change of the outputs.")
@click.option(
    "--keep-ratio",
    "keep_ratios",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=(0.875, 0.75, 0.5, 0.25),
    show_default=True,
    help="Share of a layer's channels to keep; repeatable.",
)
@click.option("--criterion", metavar="NAME", default="l2", show_default=True, help=f"{', '.join(CRITERIA)}.")
@click.option("--aggregation", type=click.Choice(AGGREGATIONS), default="mean", show_default=True)
@click.option("--granularity", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Layers that are not scanned; may be repeated.")
@click.option(
    "--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Of the validation part of --data."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For samples and inputs.")
@page_outputs
@force_option
@restart_option
@json_option
def command(checkpoint: Path, as_json: bool, **options: Any) -> None:
    """Cut every width of CHECKPOINT alone to several shares and measure what it does, without training.

    With --data that is the accuracy lost. Without, it is the relative change of the outputs on fixed random inputs,
    which says how differently the network computes, not whether that matters.
    """
    from compress.pipeline.loading import Loading
    from compress.pipeline.sensitivity import Scan, SensitivityRequest, run
    from compress.pipeline.sensitivity_page import by_group

    console = Console(as_json=as_json)
    parts = take(Scan, options), take(Loading, options)
    request = SensitivityRequest(checkpoint, *parts, **options)
    with resumable(request.how_to_resume()):
        scan = run(request, console)
    console.result(scan.to_json())
    rows = [
        (name, points[0].width, ", ".join(f"{point.kept}: {_shown(point.damage)}" for point in points),
         percent(points[-1].macs))
        for name, points in sorted(by_group(scan.points).items(), key=lambda row: -row[1][-1].damage)
    ]  # fmt: skip
    console.table(
        ("group", "channels", "kept: damage", "MACs left at the narrowest"), rows, title="Most sensitive first"
    )
    console.line(f"damage: {scan.measured}")
    if request.data is not None:
        console.line(f"whole network: {metric(scan.whole)}")
    for path in request.destinations:
        console.line(f"wrote {path}")


def _shown(damage: float) -> str:
    return f"{damage:.3f}"
