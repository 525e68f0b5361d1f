"""``compress calibrate``: a latency model of a network on the runtime and device where it will run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.options import force_option, json_option, loading_options, seconds_option, take, timeout_option
from compress.pipeline.tables import milliseconds, percent

EXAMPLES = """\b
Examples:
  compress calibrate model.pt                              model.latency.json, for ONNX Runtime on one thread
  compress calibrate model.pt --sparse --threads 2 -o cpu.latency.json
  compress calibrate timm:mobilenetv2_100 --device ssh://pi@raspberrypi.local
  compress calibrate --update cpu.latency.json other.pt    add the kinds of layers of another network
"""


@click.command(short_help="Measure a latency model that pruning and search can aim by.", epilog=EXAMPLES)
@click.argument("model_or_reference", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("--runtime", default="onnxruntime-cpu", show_default=True, help="Where it will run; see compress doctor.")
@click.option(
    "--device", default="here", show_default=True, metavar="NAME|ssh://USER@HOST[:PORT]", help="Where to run."
)
@click.option(
    "--devices",
    "devices_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file that names devices. [./devices.yaml, or ~/.config/compress/devices.yaml]",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Per operator.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Samples per run.")
@click.option("--sparse", is_flag=True, help="Vary the zeros in weights, too, in the pattern 4x1.")
@click.option(
    "--configurations",
    type=click.IntRange(min=12),
    default=48,
    show_default=True,
    help="Widths and densities to measure and fit to.",
)
@click.option("--held-out", type=click.IntRange(min=2), default=16, show_default=True, help="To measure and predict.")
@click.option("--step", type=click.IntRange(min=1), default=4, show_default=True, help="Channels, of which multiples.")
@click.option(
    "--lowest-width",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Share of a width that is kept at least: the model says nothing of less.",
)
@click.option(
    "--lowest-density",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Share of weights that is not zero, at least; for --sparse.",
)
@seconds_option(0.6, "Measuring time per configuration.")
@timeout_option(120.0)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For configurations and order.")
@loading_options
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="[MODEL's name.latency.json]")
@click.option("--update", type=click.Path(path_type=Path), metavar="FILE", help="Add to this latency model.")
@click.option("--restart", is_flag=True, help="Forget what an interrupted calibration measured.")
@force_option
@json_option
def command(model_or_reference: Path, as_json: bool, **options: Any) -> None:
    """Measure configurations of MODEL on the runtime and device where it will run, and fit a latency model.

    MODEL is a checkpoint or the name of an architecture; weights do not matter. Whole networks of random widths are
    measured in place, beside the dense one; their layers' times become tables, and configurations that were not fitted
    to tell how far they can be trusted. What was measured is kept: an interrupted calibration goes on.
    """
    from compress.pipeline.calibration import CalibrationRequest, Plan, run
    from compress.pipeline.calibration_bench import Conditions
    from compress.pipeline.loading import Loading

    console = Console(as_json=as_json)
    parts = take(Plan, options), take(Conditions, options), take(Loading, options)
    request = CalibrationRequest(model_or_reference, *parts, **options)
    with resumable(request.how_to_resume()):
        outcome = run(request, console)
    console.result(outcome.to_json())
    rows = [
        (percent(one.milliseconds / outcome.dense), milliseconds(told), milliseconds(one.milliseconds),
         f"{told / one.milliseconds - 1:+.1%}".replace("%", " %"))
        for told, one in sorted(zip(outcome.predicted, outcome.held_out, strict=True), key=lambda pair: pair[0])
    ]  # fmt: skip
    console.table(("of the dense time", "predicted", "measured", "error"), rows, title="Held-out configurations")
    network, found = outcome.model.networks[-1], outcome.model.networks[-1].held_out
    console.line(f"{outcome.model.key.describe()}")
    console.line(
        f"dense {milliseconds(network.milliseconds)} (spread over the calibration {percent(network.drift)}); median "
        f"error {percent(found.error)}, rank correlation {found.spearman:.3f} over {found.configurations} "
        "configurations that were not fitted to"
    )
    console.line(f"wrote {outcome.path}: {len(outcome.model.kinds)} kinds of layers")
